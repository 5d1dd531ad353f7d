//! Calls to another service: few connections, kept; patience for a service that is just being replaced.

use std::fmt;
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Request;
use crate::body::{Silent, read_body};
use crate::http::{header, read_head};
use crate::names::resolve;

const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// A connection that was idle for longer may be closed at the other end.
const FRESH: Duration = Duration::from_secs(10);
const KEPT: usize = 32;
/// What goes on to the next service, so that one request can be followed through all of them.
const HANDED_ON: &[&str] = &["x-request-id", "traceparent", "tracestate", "baggage"];

/// One other service.
pub struct Client {
    /// As in `booking:8081`.
    address: String,
    /// How long to try to reach it, all in all.
    patience: Duration,
    /// Sent as `x-api-key`.
    key: Option<String>,
    kept: Mutex<Vec<(BufReader<TcpStream>, Instant)>>,
    turn: AtomicUsize,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct CallError {
    address: String,
    source: io::Error,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not call `{}`: {}", self.address, self.source)
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Whether the other side may have seen the request.
enum Failed {
    /// It has not: asking again cannot do anything twice.
    Unsent(io::Error),
    /// It may have.
    Sent(io::Error),
}

impl Client {
    /// A client of the service at this `name:port`.
    pub fn new(address: &str, patience: Duration, key: Option<String>) -> Self {
        Self { address: address.to_owned(), patience, key, kept: Mutex::default(), turn: AtomicUsize::new(0) }
    }

    /// Asks; the answer's status and its JSON. Tries again until it answers or patience ends.
    pub fn get(&self, path: &str, on_behalf_of: &Request) -> Result<(u16, Value), CallError> {
        self.call("GET", path, None, on_behalf_of)
    }

    /// Sends a change; tries again only while the other side cannot have seen it.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        on_behalf_of: &Request,
    ) -> Result<(u16, Value), CallError> {
        self.call(method, path, Some(body), on_behalf_of)
    }

    fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        from: &Request,
    ) -> Result<(u16, Value), CallError> {
        let wire = self.request(method, path, body, from);
        let until = Instant::now() + self.patience;
        loop {
            let source = match self.attempt(&wire, method == "GET") {
                Ok(answer) => return Ok(answer),
                Err(Failed::Unsent(source)) => source,
                Err(Failed::Sent(source)) if method == "GET" => source,
                Err(Failed::Sent(source)) => return Err(self.failed(source)),
            };
            if Instant::now() + PAUSE >= until {
                return Err(self.failed(source));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn failed(&self, source: io::Error) -> CallError {
        CallError { address: self.address.clone(), source }
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>, from: &Request) -> Vec<u8> {
        let host = self.address.split(':').next().unwrap_or_default();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        for name in HANDED_ON {
            if let Some(value) = from.header(name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if let Some(key) = &self.key {
            head.push_str(&format!("x-api-key: {key}\r\n"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        head.push_str(&format!(
            "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        head.into_bytes()
    }

    fn attempt(&self, wire: &[u8], repeatable: bool) -> Result<(u16, Value), Failed> {
        // A kept connection may have been closed just now, so only what may be repeated goes over one.
        let kept = if repeatable { self.take_kept() } else { None };
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().map_err(Failed::Unsent)?,
        };
        connection.get_mut().write_all(wire).map_err(Failed::Sent)?;
        let (answer, keep) = read_answer(&mut connection).map_err(Failed::Sent)?;
        if keep {
            let mut all = self.kept.lock().unwrap_or_else(|broken| broken.into_inner());
            if all.len() < KEPT {
                all.push((connection, Instant::now()));
            }
        }
        Ok(answer)
    }

    fn take_kept(&self) -> Option<BufReader<TcpStream>> {
        let mut all = self.kept.lock().unwrap_or_else(|broken| broken.into_inner());
        all.retain(|(_, since)| since.elapsed() < FRESH);
        all.pop().map(|(connection, _)| connection)
    }

    /// Connects to one of the name's addresses, another one each time.
    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let no_port = || io::Error::new(io::ErrorKind::InvalidInput, "the address is not `name:port`");
        let (name, port) = self.address.rsplit_once(':').ok_or_else(no_port)?;
        let port = port.parse().map_err(|_| no_port())?;
        let addresses = resolve(name)?;
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for step in 0..addresses.len() {
            let address = SocketAddr::new(addresses[(first + step) % addresses.len()], port);
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(ANSWER))?;
                    stream.set_write_timeout(Some(ANSWER))?;
                    return Ok(BufReader::new(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// The status and JSON of an answer, and whether the connection may be kept.
fn read_answer(from: &mut BufReader<TcpStream>) -> io::Result<((u16, Value), bool)> {
    let head = read_head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let status = head.first.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| damaged("the answer has no status"))?;
    let sized =
        ["content-length", "transfer-encoding"].iter().any(|name| header(&head.headers, name).is_some());
    let body = read_body(from, &head.headers, Silent::ToTheEnd)?;
    let closing =
        header(&head.headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    // What is not ours may answer with a page, as a proxy with an error does.
    let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(((status, value), sized && !closing))
}
