//! What does not end with one answer: event streams, bodies that are answered while they are sent, WebSockets.
//!
//! Nothing waits for a clock: each side goes on only when the other has shown that it got the last piece.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::load::{Load, Order};
use e2e::{Sea, process, until_ok};

const APP: &str = r#"
name: streams
services:
  web:
    image: python:3.11-slim
    command: [python3, -u, /app.py]
    configs: [{source: app, target: /app.py}]
    environment: {VERSION: "${VERSION:-v0}"}
    expose: ["8000"]
    stop_grace_period: 30s
    deploy: {replicas: 2, update_config: {monitor: 100ms, parallelism: 2}}
    x-sea: {route: "streams.example -> 8000"}
configs:
  app: {file: ./app.py}
"#;

/// Speaks HTTP by hand, since none of the image's servers streams in both directions at once.
const SERVER: &str = r#"
import base64, hashlib, os, signal, socketserver, sys, time

VERSION = os.environ["VERSION"]

class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            method, path, _ = line.decode().split()
            fields = {}
            while (line := self.rfile.readline().strip()):
                name, _, value = line.decode().partition(":")
                fields[name.lower()] = value.strip()
            {"/events": self.events, "/echo": self.echo, "/socket": self.socket}.get(path, self.plain)(fields)

    def say(self, text):
        self.wfile.write(text.encode())
        self.wfile.flush()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def plain(self, fields):
        self.say(f"HTTP/1.1 200 OK\r\nContent-Length: {len(VERSION)}\r\n\r\n{VERSION}")

    def events(self, fields):
        self.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.chunk(b"data: one\n\n")
        while not os.path.exists("/tmp/go"):
            time.sleep(0.02)
        self.chunk(b"data: two\n\n")
        self.chunk(b"")

    def echo(self, fields):
        self.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(self.rfile.readline(), 16):
            data = self.rfile.read(size)
            self.rfile.readline()
            self.chunk(data.upper())
        self.rfile.readline()
        self.chunk(b"")

    def socket(self, fields):
        key = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Accept: {accept}\r\n\r\n")
        while head := self.rfile.read(2):
            size = head[1] & 127
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(size)))
            if head[0] & 15 == 8:
                self.wfile.write(bytes([0x88, len(data)]) + data)
                return
            data = f"{VERSION} {data.decode()}".encode()
            self.wfile.write(bytes([0x81, len(data)]) + data)
            self.wfile.flush()

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

server = Server(("", 8000), Talk)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server.serve_forever()
"#;

/// A connection on which a test speaks by itself.
struct Talk {
    reader: BufReader<TcpStream>,
}

impl Talk {
    fn open(sea: &Sea, head: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(sea.http()?)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(head.replace('\n', "\r\n").as_bytes())?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// The head of the answer, in lower case.
    fn head(&mut self) -> Result<String> {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            ensure!(self.reader.read_line(&mut text)? > 0, "the connection ended after `{text}`");
        }
        Ok(text.to_ascii_lowercase())
    }

    fn send(&mut self, data: &[u8]) -> Result<()> {
        Ok(self.reader.get_mut().write_all(data)?)
    }

    fn take(&mut self, size: usize) -> Result<Vec<u8>> {
        let mut data = vec![0; size];
        self.reader.read_exact(&mut data)?;
        Ok(data)
    }

    fn chunk(&mut self) -> Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).with_context(|| format!("`{line}` is no size"))?;
        let data = self.take(size + 2)?;
        Ok(String::from_utf8_lossy(&data[..size]).into_owned())
    }

    /// Sends a text over a WebSocket and takes the answer.
    fn frame(&mut self, text: &str) -> Result<String> {
        const MASK: [u8; 4] = [1, 2, 3, 4];
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len())?];
        frame.extend(MASK);
        frame.extend(text.bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.send(&frame)?;
        let head = self.take(2)?;
        ensure!(head[0] == 0x81, "{head:?} is no text");
        Ok(String::from_utf8(self.take(usize::from(head[1]))?)?)
    }
}

fn up(sea: &Sea, version: &str) -> Result<()> {
    let output = sea.command(&["up", "-d", "--wait"]).env("VERSION", version).output()?;
    e2e::Done::new(format!("VERSION={version} sea up"), &output).exits(0);
    Ok(())
}

fn voyage() -> Result<Sea> {
    let sea = Sea::with_images(&["python"])?;
    sea.write("compose.yaml", APP);
    sea.write("app.py", SERVER);
    up(&sea, "v1")?;
    Ok(sea)
}

/// Begins the second release; new requests go to it when this returns.
fn begin_release(sea: &Sea) -> Result<Child> {
    let deploy = sea.command_for_this_daemon(&["up", "-d", "--wait", "-q"]).env("VERSION", "v2").spawn()?;
    until_ok("new requests go to the new release", 30, || {
        let answer = sea.get("streams.example", "/")?;
        ensure!(answer.body == "v2", "{answer:?}");
        Ok(())
    })?;
    Ok(deploy)
}

#[test]
fn events_arrive_while_the_stream_is_open() -> Result<()> {
    let sea = voyage()?;
    let mut stream = Talk::open(&sea, "GET /events HTTP/1.1\nHost: streams.example\n\n")?;
    let head = stream.head()?;
    ensure!(head.starts_with("http/1.1 200") && head.contains("text/event-stream"), "{head}");
    ensure!(stream.chunk()? == "data: one\n\n", "the first event");
    // Only now may the server go on: had the edge waited for more, the first event would not be here.
    for index in ["1", "2"] {
        sea.sea(&["exec", "--index", index, "web", "touch", "/tmp/go"]).exits(0);
    }
    ensure!(stream.chunk()? == "data: two\n\n", "the second event");
    ensure!(stream.chunk()?.is_empty(), "the end");
    sea.end()
}

#[test]
fn a_body_is_answered_while_it_is_sent() -> Result<()> {
    let sea = voyage()?;
    let head = "POST /echo HTTP/1.1\nHost: streams.example\nTransfer-Encoding: chunked\n\n";
    let mut stream = Talk::open(&sea, head)?;
    let answer = stream.head()?;
    ensure!(answer.starts_with("http/1.1 200"), "{answer}");
    for word in ["ahoy", "cast off", "land"] {
        stream.send(format!("{:x}\r\n{word}\r\n", word.len()).as_bytes())?;
        let back = stream.chunk()?;
        ensure!(back == word.to_uppercase(), "{word} came back as {back}");
    }
    stream.send(b"0\r\n\r\n")?;
    ensure!(stream.chunk()?.is_empty(), "the end");
    sea.end()
}

const SOCKET: &str = "GET /socket HTTP/1.1\nHost: streams.example\nConnection: Upgrade\nUpgrade: websocket\n\
                      Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n";

/// The edge that has the place of the root; others may finish what they have.
fn edge(sea: &Sea) -> Result<Vec<i32>> {
    let is_edge = |pid: &i32| process::arguments(*pid).get(1).is_some_and(|word| word == "edge");
    Ok(sea.traces().processes().into_iter().filter(is_edge).collect())
}

#[test]
fn streams_outlive_upgrades_of_the_edge_and_no_request_is_lost() -> Result<()> {
    let sea = voyage()?;
    let mut socket = Talk::open(&sea, SOCKET)?;
    ensure!(socket.head()?.starts_with("http/1.1 101"), "a WebSocket");
    let mut stream = Talk::open(&sea, "GET /events HTTP/1.1\nHost: streams.example\n\n")?;
    ensure!(stream.head()?.starts_with("http/1.1 200") && stream.chunk()? == "data: one\n\n", "a stream");
    let address = sea.http()?;
    let load = Load::begin(Order {
        address,
        host: "streams.example".into(),
        rate: 150,
        own: |answer| answer.status == 200 && answer.body.starts_with('v'),
    });
    let (ours, other) = (e2e::program(), sea.another_program()?);
    for program in [&other, &ours, &other] {
        let before = edge(&sea)?;
        sea.upgrade_daemon(program, &[])?;
        let new: Vec<_> = edge(&sea)?.into_iter().filter(|pid| !before.contains(pid)).collect();
        ensure!(new.len() == 1 && sea.http()? == address, "another edge at the same address: {new:?}");
        ensure!(socket.frame("ahoy")? == "v1 ahoy", "the WebSocket is with the first edge");
    }
    // A release right after: the instance that the stream is on counts as at work.
    let mut deploy = begin_release(&sea)?;
    ensure!(socket.frame("aye")? == "v1 aye", "beside the new release");
    for container in sea.json(&["ps"]).as_array().context("a list")? {
        let id = container["id"].as_str().context("an id")?;
        sea.sea(&["exec", id, "touch", "/tmp/go"]).exits(0);
    }
    ensure!(stream.chunk()? == "data: two\n\n" && stream.chunk()?.is_empty(), "the stream comes to its end");
    drop((socket, stream));
    ensure!(deploy.wait()?.success(), "the release ends well");
    load.end().lost_nothing();
    let releases = sea.json(&["releases"]);
    ensure!(releases[0]["status"] == "live" && releases[0]["receipt"]["lost"] == 0, "{releases}");
    sea.end()
}

#[test]
fn a_websocket_outlives_the_release_that_it_began_with() -> Result<()> {
    let sea = voyage()?;
    let mut socket = Talk::open(&sea, SOCKET)?;
    let answer = socket.head()?;
    ensure!(answer.starts_with("http/1.1 101"), "{answer}");
    ensure!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    ensure!(socket.frame("one")? == "v1 one", "before the release");
    let mut deploy = begin_release(&sea)?;
    ensure!(socket.frame("two")? == "v1 two", "beside the new release");
    // The daemon's death is none of its business.
    sea.replace_daemon()?;
    ensure!(socket.frame("three")? == "v1 three", "after the daemon");
    drop(socket);
    // Its own command may have ended with the daemon; asked again, it is followed to its end.
    deploy.wait()?;
    up(&sea, "v2")?;
    let status = sea.json(&["status"]);
    let instances = status["services"][0]["instances"].as_array().context("a list")?;
    ensure!(instances.len() == 2 && instances.iter().all(|one| one["state"] == "ready"), "{status}");
    let releases = sea.json(&["releases"]);
    ensure!(releases[0]["status"] == "live" && releases[0]["receipt"]["lost"] == 0, "{releases}");
    sea.end()
}
