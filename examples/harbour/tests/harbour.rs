//! The three programs, run together as in production, but on ports of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

#[test]
fn a_berth_is_booked_on_the_page_and_freed_again() {
    let harbour = Harbour::open("booked");
    let page = harbour.web.get("/");
    assert!(page.contains("200 OK") && page.contains("x-version: v9"), "{page}");
    assert!(page.contains("Kittiwake") && page.contains("<option value=\"A1\">"), "{page}");

    let booked = harbour.web.post("/bookings", "ship=Argo+%26+co&length_m=8&nights=2&berth=A1");
    assert!(booked.contains("303 See Other"), "{booked}");
    let page = harbour.web.get("/");
    assert!(page.contains("Argo &amp; co") && !page.contains("<option value=\"A1\">"), "{page}");

    let again = harbour.web.post("/bookings", "ship=Rival&length_m=8&nights=2&berth=A1");
    assert!(again.contains("409 Conflict") && again.contains("berth A1 is taken"), "{again}");
    let freed = harbour.web.post("/bookings/4/cancel", "");
    assert!(freed.contains("303 See Other"), "{freed}");
    assert!(harbour.web.get("/").contains("<option value=\"A1\">"));
}

#[test]
fn bookings_need_the_key() {
    let harbour = Harbour::open("key");
    let wish = r#"{"ship":"Argo","length_m":8,"berth":"A1","nights":1,"price_cents":1}"#;
    let refused = harbour.booking.post("/bookings", wish);
    assert!(refused.contains("401 Unauthorized"), "{refused}");
}

#[test]
fn metrics_health_and_log_lines_tell_what_happened() {
    let mut harbour = Harbour::open("told");
    assert!(harbour.web.get("/healthz").contains("200 OK"));
    assert!(harbour.web.get("/nowhere").contains("404 Not Found"));
    assert!(harbour.web.check());
    let metrics = harbour.web.get("/metrics");
    assert!(metrics.contains("harbour_build_info{service=\"web\",version=\"v9\"} 1\n"), "{metrics}");
    let count = "http_request_duration_seconds_count{method=\"GET\",route=\"unknown\",status=\"404\"} 1\n";
    assert!(metrics.contains(count), "{metrics}");
    assert!(harbour.booking.get("/metrics").contains("harbour_berths_taken 3\n"));

    let line = harbour.web.line(|line| line["path"] == "/nowhere");
    assert!(line["request_id"].is_string() && line["took_ms"].is_number(), "{line}");
    assert_eq!(
        (&line["level"], &line["service"], &line["version"]),
        (&"info".into(), &"web".into(), &"v9".into())
    );
}

#[test]
fn a_stop_signal_ends_it_in_order() {
    let mut harbour = Harbour::open("stopped");
    let mut kept = harbour.web.connect();
    harbour.web.terminate();
    harbour.web.line(|line| line["message"] == "stopping: not ready any more");
    // It still answers what comes while it drains, not ready any more, and says that the connection ends.
    kept.write_all(b"GET /readyz HTTP/1.1\r\nhost: harbour\r\n\r\n").unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("503 Service Unavailable") && answer.contains("connection: close"), "{answer}");
    assert!(harbour.web.child.wait().unwrap().success());
}

#[test]
fn the_page_survives_a_booking_that_is_being_replaced() {
    let mut harbour = Harbour::open("replaced");
    let port = harbour.booking.port;
    harbour.booking.terminate();
    harbour.booking.child.wait().unwrap();
    let folder = harbour.folder.clone();
    // The page is asked first, and waits; the successor comes up while it does.
    let mut asked = harbour.web.connect();
    asked.write_all(b"GET / HTTP/1.1\r\nhost: harbour\r\nconnection: close\r\n\r\n").unwrap();
    harbour.booking = Program::start(env!("CARGO_BIN_EXE_booking"), &folder, &[("PORT", &port.to_string())]);
    let mut answer = String::new();
    asked.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK") && answer.contains("Kittiwake"), "{answer}");
}

/// All three, with a database and a key in a folder that goes with them.
struct Harbour {
    web: Program,
    booking: Program,
    _pricing: Program,
    folder: PathBuf,
}

impl Harbour {
    fn open(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("harbour-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("key"), "a secret\n").unwrap();
        let mut migrate = Command::new(env!("CARGO_BIN_EXE_booking"));
        let migrated = migrate.arg("migrate").env("BOOKING_DB", folder.join("harbour.db")).output().unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stdout));
        let booking = Program::start(env!("CARGO_BIN_EXE_booking"), &folder, &[]);
        let pricing = Program::start(env!("CARGO_BIN_EXE_pricing"), &folder, &[]);
        let others = [booking.port, pricing.port].map(|port| format!("localhost:{port}"));
        let told = [("BOOKING", others[0].as_str()), ("PRICING", others[1].as_str()), ("DRAIN_MS", "1000")];
        let web = Program::start(env!("CARGO_BIN_EXE_web"), &folder, &told);
        Self { web, booking, _pricing: pricing, folder }
    }
}

impl Drop for Harbour {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One of them, running.
struct Program {
    path: &'static str,
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Program {
    fn start(path: &'static str, folder: &Path, told: &[(&str, &str)]) -> Self {
        let mut command = Command::new(path);
        command.env("PORT", "0").env("VERSION", "v9").env("DRAIN_MS", "0");
        command.env("BOOKING_DB", folder.join("harbour.db")).env("BOOKING_KEY_FILE", folder.join("key"));
        command.envs(told.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self { path, child, lines, port: 0 };
        program.port = program.line(|line| line["port"].is_u64())["port"].as_u64().unwrap() as u16;
        program
    }

    /// The first log line that is like this. Every line must be JSON.
    fn line(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut text = String::new();
            assert!(self.lines.read_line(&mut text).unwrap() > 0, "the log ended");
            let line = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"));
            if wanted(&line) {
                return line;
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: harbour\r\nconnection: close\r\ncontent-length: {length}"
        );
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask("GET", path, "")
    }

    fn post(&self, path: &str, body: &str) -> String {
        self.ask("POST", path, body)
    }

    fn check(&self) -> bool {
        Command::new(self.path).arg("check").env("PORT", self.port.to_string()).status().unwrap().success()
    }

    fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
