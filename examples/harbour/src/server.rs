//! An HTTP/1.1 server on plain threads, one a connection, with a bound on how many.
//!
//! It stops in order: first every answer says that its connection ends, then no new connections are taken, then the
//! requests in flight end.

use std::io::{self, BufReader, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::body::{Silent, read_body};
use crate::http::{Head, Request, Response, header, pairs, read_head};

/// Further connections wait in the kernel's queue.
const CONNECTIONS: usize = 512;
const STACK: usize = 256 << 10;
/// An idle connection is ours to close after this; clients are quicker.
const IDLE: Duration = Duration::from_secs(120);

/// What answers requests.
pub(crate) type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// A server that runs until [`Running::stop`].
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: thread::JoinHandle<()>,
}

struct Shared {
    handler: Box<Handler>,
    /// Answers say that their connection ends.
    draining: AtomicBool,
    /// No new connections.
    closed: AtomicBool,
    load: Mutex<Load>,
    changed: Condvar,
}

#[derive(Default)]
struct Load {
    connections: usize,
    in_flight: usize,
}

/// How long the parts of stopping may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// New requests are still served for so long.
    pub drain: Duration,
    /// Requests in flight may take so long to end.
    pub grace: Duration,
}

/// Listens on this port of all addresses; 0 picks one.
pub fn start(
    port: u16,
    handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> io::Result<Running> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared {
        handler: Box::new(handler),
        draining: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        load: Mutex::default(),
        changed: Condvar::new(),
    });
    let accepting = thread::Builder::new().name("accept".into()).spawn({
        let shared = Arc::clone(&shared);
        move || shared.accept(&listener)
    })?;
    Ok(Running { address, shared, accepting })
}

impl Running {
    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on every answer says that its connection ends. [`Self::stop`] does the rest.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
    }

    /// Stops in order. True when every request in flight has ended in its time.
    pub fn stop(self, timing: Timing) -> bool {
        self.drain();
        thread::sleep(timing.drain);
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which sees that it is closed and drops the listener.
        let _ =
            TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, self.port()).into(), Duration::from_secs(1));
        let _ = self.accepting.join();
        let load = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(load, timing.grace, |load| load.in_flight > 0);
        waited.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let waited = self.changed.wait_while(self.lock(), |load| load.connections >= CONNECTIONS);
            drop(waited);
            let accepted = listener.accept();
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            // A connection that broke before we took it, or a moment without file descriptors.
            let Ok((stream, _)) = accepted else {
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            let counted = Counted::new(self, |load| &mut load.connections);
            // No thread to be had: the connection is dropped, which its client sees at once.
            let _ = thread::Builder::new().stack_size(STACK).spawn(move || {
                // Its end, orderly or not, matters to that client alone.
                let _ = counted.shared.serve(stream);
            });
        }
    }

    fn serve(self: &Arc<Self>, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let mut out = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        loop {
            let request = match read_request(&mut reader) {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Response::error("damaged", 400, &error.to_string()).write(&mut out, false, false);
                }
                Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                    return Response::error("damaged", 413, &error.to_string()).write(&mut out, false, false);
                }
                Err(error) => return Err(error),
            };
            let counted = Counted::new(self, |load| &mut load.in_flight);
            let response = (self.handler)(&request);
            let keep_alive = request.keep_alive && !self.draining.load(Ordering::SeqCst);
            let written = response.write(&mut out, keep_alive, request.method == "HEAD");
            drop(counted);
            written?;
            if !keep_alive {
                return Ok(());
            }
        }
    }
}

/// One more of something, until it is dropped, be it by a panic.
struct Counted {
    shared: Arc<Shared>,
    which: fn(&mut Load) -> &mut usize,
}

impl Counted {
    fn new(shared: &Arc<Shared>, which: fn(&mut Load) -> &mut usize) -> Self {
        *which(&mut shared.lock()) += 1;
        Self { shared: Arc::clone(shared), which }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *(self.which)(&mut self.shared.lock()) -= 1;
        self.shared.changed.notify_all();
    }
}

fn read_request(from: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let Some(Head { first, headers }) = read_head(from)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (method, target, version) = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version), None) if target.starts_with('/') => {
            (method, target, version)
        }
        _ => return Err(crate::http::invalid("the request line is not `method /path version`")),
    };
    let keep = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(crate::http::invalid("the version is not HTTP/1.1")),
    };
    let closing = header(&headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let body = read_body(from, &headers, Silent::Empty)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: pairs(query),
        headers,
        body,
        keep_alive: keep && !closing,
    }))
}

/// Runs the work and says how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let before = Instant::now();
    let result = work();
    (before.elapsed(), result)
}
