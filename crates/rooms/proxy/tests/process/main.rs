//! The edge as a process and the daemon's hand on it: found again, replaced, never doubled.

mod crash;
mod instance;
mod load;
mod sides;
mod upgrade;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base::ContainerId;
use plan::ports::Traffic;
use plan::tls::{RuleHttps, TlsShare};
use plan::traffic::{Endpoint, Listener, Pool, RouteRule, RouteShare};
use proxy::{Edge, EdgeConfig, HttpsFront};
use spec::{PathPrefix, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};

use load::Load;

const LONG: Duration = Duration::from_secs(20);

fn config(root: &Path, port: u16) -> EdgeConfig {
    of_program("one", root, port)
}

/// From a program of this identity.
fn of_program(identity: &str, root: &Path, port: u16) -> EdgeConfig {
    let http: SocketAddr = ([127, 0, 0, 1], port).into();
    let root_text = root.to_str().expect("a plain path");
    let args = ["--root", root_text, "--threads", "2", "--http", &http.to_string()].map(Into::into).into();
    let program = env!("CARGO_BIN_EXE_sea-edge").into();
    EdgeConfig {
        root: root.into(),
        program,
        args,
        http: vec![http],
        https: HttpsFront::Never,
        trusted: Vec::new(),
        prefaced: Vec::new(),
        identity: identity.into(),
    }
}

/// An instance that answers every connection with its name.
async fn instance(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

fn share(host: &str, address: SocketAddr, listeners: &[SocketAddr]) -> RouteShare {
    let endpoint = Endpoint { instance: ContainerId::from_bytes([9; 32]), address };
    RouteShare {
        rules: vec![RouteRule {
            host: Some(host.into()),
            path: PathPrefix::root(),
            strip_prefix: false,
            pool: "web".into(),
            https: RuleHttps::default(),
            rules: spec::RouteRules::default(),
            users: None,
            asks: String::new(),
        }],
        listeners: listeners
            .iter()
            .map(|address| Listener {
                address: *address,
                protocol: Protocol::Http,
                pool: "web".into(),
                between: false,
            })
            .collect(),
        pools: BTreeMap::from([(
            "web".into(),
            Pool { service: "shop/web".into(), endpoints: vec![endpoint], ..Pool::default() },
        )]),
        tls: TlsShare::default(),
    }
}

async fn ask(address: SocketAddr, host: &str) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    tokio::time::timeout(LONG, talk).await.expect("an answer in time").unwrap_or_else(|e| e.to_string())
}

/// A port that is free at this moment, on which the edge then listens.
fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

/// Waits until no edge but the last is there.
async fn alone(edge: &Edge) {
    let ended = async {
        while edge.status().await.expect("a status").leaving > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, ended).await.expect("those that were replaced end");
}

/// An answer that takes its time.
struct Download(TcpStream);

impl Download {
    /// Waits until it has begun.
    async fn begin(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("the edge accepts");
        stream
            .write_all(b"GET /slow HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
            .await
            .expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n.") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        Self(stream)
    }

    /// How many bytes it has at its end.
    async fn rest(&mut self) -> usize {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LONG, self.0.read_to_end(&mut rest)).await.expect("an end in time");
        read.expect("an orderly end") + 1
    }
}

/// A WebSocket, as far as the edge knows: bytes that come back.
struct Socket(TcpStream);

impl Socket {
    async fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("the edge accepts");
        let request =
            "GET /socket HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("the edge reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self(stream)
    }

    async fn echoes(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("the edge reads");
        let mut back = vec![0; text.len()];
        let read = tokio::time::timeout(LONG, self.0.read_exact(&mut back)).await.expect("an echo in time");
        read.expect("an echo");
        assert_eq!(back, text.as_bytes());
    }
}

/// An instance that answers each datagram with it and with the address that it came from.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut buf = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut buf).await {
            let text = format!("{} {from}", String::from_utf8_lossy(&buf[..count]));
            let _ = socket.send_to(text.as_bytes(), from).await;
        }
    });
    address
}

/// A share that publishes an instance of UDP.
fn datagrams(port: SocketAddr, instance: SocketAddr) -> RouteShare {
    let mut share = share("a.example", instance, &[]);
    share.listeners.push(Listener {
        address: port,
        protocol: Protocol::Udp,
        pool: "web".into(),
        between: false,
    });
    share
}

/// Sends a text and waits for its echo; gives the address that the instance saw.
async fn say(client: &UdpSocket, text: &str) -> String {
    client.send(text.as_bytes()).await.expect("it is sent");
    let mut buf = [0; 512];
    let count = tokio::time::timeout(LONG, client.recv(&mut buf)).await.expect("in time").expect("an echo");
    let back = String::from_utf8_lossy(&buf[..count]).into_owned();
    back.strip_prefix(&format!("{text} ")).expect("the same text").to_owned()
}

fn end(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process");
    rustix::process::kill_process(pid, signal).expect("it runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_outlives_its_daemon_and_is_found_again_with_its_routes() {
    let root = tempfile::tempdir().expect("a folder");
    let address = instance("one").await;
    let first = Edge::open(config(root.path(), 0)).await.expect("an edge");
    first.apply("shop", share("a.example", address, &[])).await.expect("a table");
    let (pid, http) = (first.status().await.expect("a status").pid, first.http().await[0]);
    first.release().await;
    assert!(ask(http, "a.example").await.ends_with("one"), "it serves while nobody holds it");
    let second = Edge::open(config(root.path(), 0)).await.expect("the same edge");
    assert_eq!(second.status().await.expect("a status").pid, pid);
    assert_eq!(second.owners().await, ["shop"]);
    second.apply("other", share("b.example", address, &[])).await.expect("a table");
    assert!(ask(http, "a.example").await.ends_with("one"), "the first owner's routes are still there");
    assert!(ask(http, "b.example").await.ends_with("one"));
    second.apply("shop", RouteShare::default()).await.expect("a table");
    assert!(ask(http, "a.example").await.contains("x-sea-refused: no-route"));
    second.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_runs_learns_which_proxies_are_trusted() {
    let root = tempfile::tempdir().expect("a folder");
    let address = instance("one").await;
    let here: base::Cidr = "127.0.0.0/8".parse().expect("a range");
    for (trusted, want) in [(vec![], "address"), (vec![here], "ends with one"), (vec![], "address")] {
        let edge = Edge::open(EdgeConfig { trusted, ..config(root.path(), 0) }).await.expect("an edge");
        let mut share = share("a.example", address, &[]);
        share.rules[0].rules.allow = vec!["192.0.2.7/32".parse().expect("a range")];
        edge.apply("shop", share).await.expect("a table");
        let host = "a.example\r\nX-Forwarded-For: 192.0.2.7";
        let answer = ask(edge.http().await[0], host).await;
        let good = if want == "address" {
            answer.contains("x-sea-refused: address")
        } else {
            answer.ends_with("one")
        };
        assert!(good, "{answer}");
    }
    let edge = Edge::open(config(root.path(), 0)).await.expect("an edge");
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_killed_is_replaced_and_serves_the_same_table() {
    let root = tempfile::tempdir().expect("a folder");
    let address = instance("one").await;
    let edge = Edge::open(config(root.path(), 0)).await.expect("an edge");
    edge.apply("shop", share("a.example", address, &[])).await.expect("a table");
    let pid = edge.status().await.expect("a status").pid;
    let http = edge.http().await;
    end(pid, rustix::process::Signal::KILL);
    let new = async {
        loop {
            match edge.status().await {
                Ok(status) if status.pid != pid => return status,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let status = tokio::time::timeout(LONG, new).await.expect("a new edge in time");
    assert_eq!((&status.http, &edge.http().await), (&http, &http), "the chosen port stays");
    assert!(ask(http[0], "a.example").await.ends_with("one"));
    assert_eq!(edge.look().await.expect("what is seen").sending, [ContainerId::from_bytes([9; 32])]);
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_an_error_that_names_its_holder_and_changes_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let address = instance("one").await;
    let edge = Edge::open(config(root.path(), 0)).await.expect("an edge");
    edge.apply("shop", share("a.example", address, &[])).await.expect("a table");
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = taken.local_addr().expect("an address");
    let report = edge.apply("shop", share("b.example", address, &[port])).await.expect_err("it is taken");
    assert_eq!(report.kind, base::Kind::Conflict);
    assert!(report.because[0].contains(&format!("TCP address `{port}` is in use by")), "{report}");
    assert!(report.because[0].contains(&format!("(process {})", std::process::id())), "{report}");
    let http = edge.http().await[0];
    assert!(ask(http, "a.example").await.ends_with("one"));
    drop(taken);
    edge.apply("shop", share("b.example", address, &[port])).await.expect("it is free now");
    assert!(ask(port, "x").await.ends_with("one"));
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_roots_do_not_share_an_address() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let edge = Edge::open(config(one.path(), 0)).await.expect("an edge");
    let port = edge.http().await[0].port();
    let error = Edge::open(config(two.path(), port)).await.err().expect("the address is taken");
    // The daemon of the other root has the socket too, and is older than its edge.
    let holder = format!("(process {})", std::process::id());
    assert!(error.to_string().contains("is in use by `") && error.to_string().contains(&holder), "{error}");
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_callers_of_the_control_socket_harm_nobody() {
    let root = tempfile::tempdir().expect("a folder");
    let edge = Edge::open(config(root.path(), 0)).await.expect("an edge");
    let socket = root.path().join("edge/edge.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&socket).expect("it exists").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    for bytes in [
        &b"\xff\xff\xff\xff"[..],
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x05hello",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00\x00\x00\x06\"look\"",
        b"\x00",
        b"",
    ] {
        let mut stream = UnixStream::connect(&socket).await.expect("it accepts");
        stream.write_all(bytes).await.expect("it reads");
        stream.shutdown().await.expect("a half-close");
        let mut answer = Vec::new();
        // It may be reset, with bytes of ours unread.
        let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.expect("an end in time");
        assert!(answer.is_empty(), "{bytes:?} was answered");
    }
    assert!(edge.status().await.is_ok());
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_with_a_long_path_works_and_a_torn_table_does_no_harm() {
    let base = tempfile::tempdir().expect("a folder");
    let root = base.path().join("a-folder-with-quite-a-long-name".repeat(5));
    std::fs::create_dir_all(root.join("edge")).expect("a folder");
    std::fs::write(root.join("edge/table.json"), b"{\"version\":1,\"docu").expect("a file");
    let edge = Edge::open(config(&root, 0)).await.expect("an edge");
    assert!(edge.owners().await.is_empty());
    edge.apply("shop", share("a.example", instance("one").await, &[])).await.expect("a table");
    assert!(ask(edge.http().await[0], "a.example").await.ends_with("one"));
    edge.stop().await.expect("it ends");
}
