//! What all three services have around their own routes: health, readiness, metrics, log lines, an orderly stop.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::metrics::Metrics;
use crate::server::{Timing, start, timed};
use crate::{Log, Request, Response, Settings};

/// A service's own part.
pub trait App: Send + Sync + 'static {
    /// Answers a request that is not one of the common ones.
    fn answer(&self, request: &Request) -> Response;

    /// Whether it can work now; if not, why.
    fn ready(&self) -> Result<(), String>;

    /// Its own lines for `/metrics`.
    fn metrics(&self) -> String;
}

/// A service around its app.
struct Service {
    settings: Settings,
    log: Log,
    app: Box<dyn App>,
    metrics: Metrics,
    in_flight: AtomicUsize,
    stopping: AtomicBool,
    /// Request ids are this and a number.
    boot: u64,
    next: AtomicU64,
}

/// The whole life of a service's process: `check` asks the running one how it is; no word at all serves.
pub fn run<A: App>(
    service: &'static str,
    port: u16,
    open: impl FnOnce(&Settings, &Log) -> Result<A, Box<dyn Error>>,
) -> ExitCode {
    let log = Log::new(service, "");
    let settings = match Settings::from_environment(service, port) {
        Ok(settings) => settings,
        Err(error) => {
            log.error("the environment makes no sense", json!({ "error": error.to_string() }));
            return ExitCode::from(2);
        }
    };
    if std::env::args().nth(1).as_deref() == Some("check") {
        return check(settings.port);
    }
    let log = Log::new(service, &settings.version);
    match open(&settings, &log).and_then(|app| serve(settings, log.clone(), Box::new(app))) {
        Ok(clean) => ExitCode::from(u8::from(!clean)),
        Err(error) => {
            log.error(&format!("{service} could not start"), json!({ "error": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is told to stop; true when every request was answered.
fn serve(settings: Settings, log: Log, app: Box<dyn App>) -> Result<bool, Box<dyn Error>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let mut boot = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut boot)?;
    let timing = Timing { drain: settings.drain, grace: settings.grace };
    let service = Arc::new(Service {
        settings,
        log: log.clone(),
        app,
        metrics: Metrics::default(),
        in_flight: AtomicUsize::new(0),
        stopping: AtomicBool::new(false),
        boot: u64::from_be_bytes(boot),
        next: AtomicU64::new(1),
    });
    let running = start(service.settings.port, {
        let service = Arc::clone(&service);
        move |request| service.handle(request)
    })?;
    log.info(&format!("serving on port {}", running.port()), json!({ "port": running.port() }));
    let signal = signals.forever().next();
    // Before anybody can see that it stops: who is told "not ready" is also told that the connection ends.
    running.drain();
    service.stopping.store(true, Ordering::SeqCst);
    log.info("stopping: not ready any more", json!({ "signal": signal }));
    let clean = running.stop(timing);
    if clean {
        log.info("stopped", json!({}));
    } else {
        log.error("stopped with requests unanswered", json!({}));
    }
    Ok(clean)
}

impl Service {
    /// One request, with its log line and its count.
    fn handle(&self, request: &Request) -> Response {
        let mut request = request.clone();
        let id = match request.header("x-request-id") {
            Some(id) => id.to_owned(),
            None => format!("{:016x}-{}", self.boot, self.next.fetch_add(1, Ordering::Relaxed)),
        };
        if request.header("x-request-id").is_none() {
            request.headers.push(("x-request-id".into(), id.clone()));
        }
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let (took, mut response) = timed(|| self.answer(&request));
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        response.headers.push(("x-version", self.settings.version.clone()));
        response.headers.push(("x-request-id", id.clone()));
        self.metrics.answered(&request.method, response.route, response.status, took);
        self.write_line(&request, &response, &id, took);
        response
    }

    fn answer(&self, request: &Request) -> Response {
        let reading = request.method == "GET" || request.method == "HEAD";
        match request.path.as_str() {
            "/healthz" if reading => Response::text("/healthz", 200, "ok\n"),
            "/readyz" if reading => self.readiness(),
            "/metrics" if reading => {
                let in_flight = self.in_flight.load(Ordering::SeqCst);
                let own = self.app.metrics();
                let page = self.metrics.page(self.settings.service, &self.settings.version, in_flight, &own);
                let mut response = Response::text("/metrics", 200, page);
                response.headers =
                    vec![("content-type", "text/plain; version=0.0.4; charset=utf-8".to_owned())];
                response
            }
            _ => self.app.answer(request),
        }
    }

    fn readiness(&self) -> Response {
        if self.stopping.load(Ordering::SeqCst) {
            return Response::text("/readyz", 503, "stopping\n");
        }
        match self.app.ready() {
            Ok(()) => Response::text("/readyz", 200, "ready\n"),
            Err(why) => Response::text("/readyz", 503, format!("{why}\n")),
        }
    }

    fn write_line(&self, request: &Request, response: &Response, id: &str, took: Duration) {
        let quiet = ["/healthz", "/readyz", "/metrics"].contains(&response.route) && response.status == 200;
        if quiet {
            return;
        }
        let took_ms = (took.as_secs_f64() * 100_000.0).round() / 100.0;
        let fields = json!({
            "request_id": id,
            "method": request.method,
            "path": request.path,
            "status": response.status,
            "took_ms": took_ms,
        });
        let message = format!("{} {} {}", request.method, request.path, response.status);
        if response.status >= 500 {
            self.log.error(&message, fields)
        } else {
            self.log.info(&message, fields)
        }
    }
}

/// Asks the service in this container whether it is ready; 0 is yes. Images without a shell need no other tool.
fn check(port: u16) -> ExitCode {
    match ask_readiness(port) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}

fn ask_readiness(port: u16) -> std::io::Result<u16> {
    use std::io::Write;
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0))
}
