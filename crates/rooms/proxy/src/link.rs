//! A TCP connection that the runtime hears of only when something has to be waited for.
//!
//! Whose request is there when the connection is taken in, and whose answer is there soon, is served without a word to
//! `epoll`: two system calls and an event are spared, a tenth of what such a connection costs. All others are made known
//! when the kernel first has nothing to give or no room.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// So many reads and writes go without the runtime, which sees to it that nobody keeps a thread to itself.
const UNWATCHED: u8 = 16;

/// One end of a TCP connection.
pub(crate) struct Link {
    state: State,
    /// What is written goes out together with the end.
    parting: bool,
    /// The kernel has been told not to wait with acknowledgements.
    prompt: bool,
    /// The kernel had no room for all of what was written last.
    full: bool,
    /// Somebody has just asked, and there may be something to read.
    readable: bool,
}

enum State {
    /// The runtime does not know it; so often it may still be used so.
    Fresh(OwnedFd, u8),
    Known(TcpStream),
    /// It could not be made known, and is closed.
    Lost,
}

impl From<TcpStream> for Link {
    fn from(tcp: TcpStream) -> Self {
        Self::of(State::Known(tcp))
    }
}

impl Link {
    fn of(state: State) -> Self {
        Self { state, parting: false, prompt: false, full: false, readable: false }
    }

    /// Of a socket that was just taken in, and never blocks.
    pub(crate) fn fresh(socket: OwnedFd) -> Self {
        Self::of(State::Fresh(socket, UNWATCHED))
    }

    /// Has tasks woken by it from here on.
    pub(crate) fn make_known(&mut self) -> io::Result<()> {
        if let State::Fresh(..) = self.state
            && let State::Fresh(socket, _) = std::mem::replace(&mut self.state, State::Lost)
        {
            self.state = State::Known(TcpStream::from_std(socket.into())?);
        }
        Ok(())
    }

    /// As the runtime has it.
    pub(crate) fn into_tcp(mut self) -> io::Result<TcpStream> {
        self.make_known()?;
        match self.state {
            State::Known(tcp) => Ok(tcp),
            State::Fresh(..) | State::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        SocketAddr::try_from(rustix::net::getsockname(self.socket()?).ok()?).ok()
    }

    /// Ready when a read may give something. Where nobody has waited yet, only a read tells.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.state {
            State::Known(tcp) => {
                let polled = tcp.poll_read_ready(cx);
                self.readable = polled.is_ready();
                polled
            }
            State::Fresh(..) | State::Lost => Poll::Ready(Ok(())),
        }
    }

    /// Reads what is there, and tells how much; 0 is the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let wanted = space.len();
        let take = |socket: BorrowedFd<'_>| Ok(rustix::net::recv(socket, &mut *space, RecvFlags::empty())?.1);
        let count = ready!(self.poll_call(cx, Interest::READABLE, take))?;
        if count < wanted && count > 0 {
            self.settle(Interest::READABLE);
        }
        Poll::Ready(Ok(count))
    }

    /// Looks at what comes next, and leaves it there; tells how many bytes it saw.
    pub(crate) fn poll_peek(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let look = |socket: BorrowedFd<'_>| Ok(rustix::net::recv(socket, &mut *space, RecvFlags::PEEK)?.1);
        self.poll_call(cx, Interest::READABLE, look)
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let flags = self.flags();
        let give = |socket: BorrowedFd<'_>| Ok(rustix::net::send(socket, buf, flags)?);
        let count = ready!(self.poll_call(cx, Interest::WRITABLE, give))?;
        if count > 0 && count < buf.len() {
            self.settle(Interest::WRITABLE);
        }
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let flags = self.flags();
        let give =
            |socket: BorrowedFd<'_>| Ok(rustix::net::sendmsg(socket, bufs, &mut Default::default(), flags)?);
        let count = ready!(self.poll_call(cx, Interest::WRITABLE, give))?;
        if count > 0 && count < bufs.iter().map(|buf| buf.len()).sum() {
            self.settle(Interest::WRITABLE);
        }
        Poll::Ready(Ok(count))
    }

    fn flags(&self) -> SendFlags {
        if self.parting { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL }
    }

    /// What is written from here on may wait for [`Link::shut_down`], which is to follow at once: the end goes out in the
    /// last packet and needs none of its own, which spares a tenth of what a connection for one request costs.
    pub(crate) fn part(&mut self) {
        self.parting = true;
    }

    /// Whether something may be waiting for the end.
    pub(crate) fn is_parting(&self) -> bool {
        self.parting
    }

    /// Has what came acknowledged at once. At the front doors the kernel waits with that, since an answer is soon there and
    /// acknowledges too; a peer that sends a request in small pieces may wait for it with the next one (RFC 9293, section
    /// 3.7.4).
    pub(crate) fn acknowledge(&mut self) {
        if !std::mem::replace(&mut self.prompt, true)
            && let Some(socket) = self.socket()
        {
            let _ = rustix::net::sockopt::set_tcp_quickack(socket, true);
        }
    }

    /// Says that nothing more comes.
    pub(crate) fn shut_down(&self) -> io::Result<()> {
        let Some(socket) = self.socket() else { return Err(io::ErrorKind::NotConnected.into()) };
        Ok(rustix::net::shutdown(socket, Shutdown::Write)?)
    }

    /// Makes a system call until it does not block. They are our own: those of the C library look first whether their
    /// thread is to be cancelled, which costs a tenth of what our own code does.
    fn poll_call(
        &mut self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let blocked = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
            match &mut self.state {
                State::Fresh(socket, left) if *left > 0 => {
                    *left -= 1;
                    match call(socket.as_fd()) {
                        Err(error) if blocked(&error) => self.make_known()?,
                        Err(error) if is_interrupted(&error) => {}
                        done => return Poll::Ready(done),
                    }
                }
                State::Fresh(..) => self.make_known()?,
                // There nearly always is room, so that is asked about only after there was none.
                State::Known(tcp) if interest.is_writable() => {
                    if self.full {
                        ready!(tcp.poll_write_ready(cx))?;
                        self.full = false;
                    }
                    match call(tcp.as_fd()) {
                        Err(error) if blocked(&error) => self.settle(interest),
                        Err(error) if is_interrupted(&error) => {}
                        done => return Poll::Ready(done),
                    }
                }
                State::Known(tcp) => {
                    if !std::mem::take(&mut self.readable) {
                        ready!(tcp.poll_read_ready(cx))?;
                    }
                    match tcp.try_io(interest, || call(tcp.as_fd())) {
                        Err(error) if blocked(&error) || is_interrupted(&error) => {}
                        done => return Poll::Ready(done),
                    }
                }
                State::Lost => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
    }

    /// What was done in part shows that there is no more to do now, which spares a call that would say so. News that come
    /// from here on are told.
    fn settle(&mut self, interest: Interest) {
        self.full |= interest.is_writable();
        if let State::Known(tcp) = &self.state {
            let _ = tcp.try_io(interest, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }

    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Fresh(socket, _) => Some(socket.as_fd()),
            State::Known(tcp) => Some(tcp.as_fd()),
            State::Lost => None,
        }
    }

    /// Whether nothing has come that could be read, as far as the last look at all sockets told; nobody is woken by it. The
    /// last piece of an answer may have left readiness behind, so that the kernel is asked about that.
    pub(crate) fn is_quiet(&self) -> bool {
        match &self.state {
            State::Known(tcp) => {
                let seen = tcp.try_io(Interest::READABLE, || match self.has_ended() {
                    true => Ok(()),
                    false => Err(io::ErrorKind::WouldBlock.into()),
                });
                seen.is_err()
            }
            State::Fresh(..) | State::Lost => !self.has_ended(),
        }
    }

    /// Asks the kernel whether there are bytes, which may know of more than we were told of.
    pub(crate) fn has_arrived(&self) -> bool {
        matches!(self.peek(), Some(Ok((_, 1..))))
    }

    /// Asks the kernel whether there is an end, an error, or anything else to read.
    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.peek(), Some(Err(Errno::AGAIN)))
    }

    fn peek(&self) -> Option<rustix::io::Result<(usize, usize)>> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = rustix::net::recv(self.socket()?, &mut [0; 1][..], flags);
        Some(seen.map(|(_, count)| (count, count)))
    }
}

fn is_interrupted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

#[cfg(test)]
mod tests;
