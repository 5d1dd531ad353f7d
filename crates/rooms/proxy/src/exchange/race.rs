//! Connections that are being made for one request at the same time: the first that is made wins, the others end.
//!
//! A connection that is slow is not given up for the next: an instance whose backlog is full drops the first packet,
//! and the kernel repeats it a second later. It stays in the race while other instances are asked.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{Clock, Instant, SystemClock};
use rustix::io::Errno;
use tokio::net::TcpStream;

use crate::buffer::Input;
use crate::limits::{RACING, Settings};
use crate::local::{Flight, LocalEndpoint, LocalPool, Upstream};
use crate::stream::Stream;

/// The connections of one request that are not made yet, from the oldest to the newest.
#[derive(Default)]
pub(super) struct Race(Vec<Attempt>);

struct Attempt {
    flight: Flight,
    connecting: Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>,
    began: Instant,
    /// The instance was avoided before, and others wait for what comes of this.
    trial: bool,
    /// The instance is avoided because of this already.
    slow: bool,
    /// After so long it is made anew, when nothing else is left to try.
    patience: Duration,
}

impl Race {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a connection to this instance can be begun: none is under way, or it has had its time.
    pub(super) fn is_open_to(&self, endpoint: &Rc<LocalEndpoint>, now: Instant) -> bool {
        let attempt = self.0.iter().find(|a| a.is_to(endpoint));
        attempt.is_none_or(|a| now.since(a.began) >= a.patience)
    }

    /// Begins a connection; an older one to the same instance ends. A new first packet comes sooner than a repeated
    /// one, and as the old one got no answer, the instance knows nothing of it.
    pub(super) fn begin(&mut self, endpoint: &Rc<LocalEndpoint>, settings: &Settings, now: Instant) {
        let before = self.0.iter().position(|a| a.is_to(endpoint)).map(|at| self.0.remove(at));
        // Up to one second, the kernel's own time.
        let patience = before.map_or(settings.connect, |a| (a.patience * 2).min(settings.connect * 4));
        if self.0.len() >= RACING {
            self.0.remove(0);
        }
        self.0.push(Attempt {
            connecting: Box::pin(TcpStream::connect(endpoint.state.address)),
            trial: {
                endpoint.state.asked(now);
                endpoint.state.begin_trial(now, settings.connect)
            },
            flight: Flight::begin(endpoint),
            began: now,
            slow: false,
            patience,
        });
    }

    /// Ready with the first connection, or with nothing when one of them has failed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, settings: &Settings) -> Poll<Option<Upstream>> {
        for at in 0..self.0.len() {
            let Poll::Ready(made) = self.0[at].connecting.as_mut().poll(cx) else { continue };
            let attempt = self.0.remove(at);
            return Poll::Ready(match made {
                Ok(stream) => {
                    attempt.flight.0.state.connected(SystemClock.now());
                    prepare(&stream);
                    Some(Upstream {
                        stream: Stream::Plain(stream.into()),
                        input: Input::default(),
                        flight: attempt.flight,
                    })
                }
                Err(error) => {
                    if !is_ours(&error) {
                        attempt.blame(settings, is_silence(&error), SystemClock.now());
                    }
                    None
                }
            });
        }
        Poll::Pending
    }

    /// Has the instances avoided that let a connection wait for long while they made no other: one that is busy would
    /// rest while the others get its load too.
    pub(super) fn note_slow(&mut self, settings: &Settings, now: Instant) {
        let slow = |a: &&mut Attempt| !a.slow && now.since(a.began) >= settings.connect;
        for attempt in self.0.iter_mut().filter(slow) {
            attempt.slow = true;
            if !attempt.flight.0.state.has_connected_since(attempt.began) {
                attempt.blame(settings, true, now);
            }
        }
    }

    /// Ends the connections to instances that have left the pool.
    pub(super) fn keep_only(&mut self, pool: &LocalPool) {
        self.0.retain(|a| pool.endpoints.iter().any(|e| a.is_to(e)));
    }
}

/// One attempt at a connection to this instance, for what need not be done at any price.
pub(crate) async fn connect_once(endpoint: &Rc<LocalEndpoint>, settings: &Settings) -> Option<Upstream> {
    let (now, times) = (SystemClock.now(), (settings.avoid_first, settings.avoid_most));
    if endpoint.state.is_avoided(now) {
        return None;
    }
    let trial = endpoint.state.begin_trial(now, settings.connect);
    let flight = Flight::begin(endpoint);
    let connecting = TcpStream::connect(endpoint.state.address);
    match tokio::time::timeout(settings.connect * 4, connecting).await {
        Ok(Ok(stream)) => {
            endpoint.state.connected(SystemClock.now());
            prepare(&stream);
            Some(Upstream { stream: Stream::Plain(stream.into()), input: Input::default(), flight })
        }
        Ok(Err(error)) if is_ours(&error) => None,
        failed => {
            let silent = failed.map_or(true, |told| told.is_err_and(|error| is_silence(&error)));
            endpoint.state.connect_failed(SystemClock.now(), (trial, silent), times);
            None
        }
    }
}

impl Attempt {
    fn is_to(&self, endpoint: &Rc<LocalEndpoint>) -> bool {
        Rc::ptr_eq(&self.flight.0, endpoint)
    }

    fn blame(&self, settings: &Settings, silent: bool, now: Instant) {
        let times = (settings.avoid_first, settings.avoid_most);
        self.flight.0.state.connect_failed(now, (self.trial, silent), times);
    }
}

/// Whether it is this process, and not the instance, that cannot connect.
fn is_ours(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|errno| {
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL].contains(&errno)
    })
}

/// Whether nobody has said anything, as where a host is gone.
fn is_silence(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|errno| [Errno::TIMEDOUT, Errno::HOSTUNREACH, Errno::NETUNREACH].contains(&errno))
}

/// Options of connections to instances: no delay, a dead host is noticed within some ten seconds, and the kernel spends
/// nothing on models of a path that does not leave the machine.
fn prepare(stream: &TcpStream) {
    use rustix::net::sockopt;
    // None of these can fail on a connected TCP socket; if one does, the connection still works.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_tcp_congestion(stream, "reno");
    let _ = sockopt::set_tcp_user_timeout(stream, 10_000);
    let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(5));
    let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(2));
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
    let _ = sockopt::set_socket_keepalive(stream, true);
}

#[cfg(test)]
mod tests;
