//! The edge with real sockets and instances of every temper; this file holds what the tests share.

mod asks;
mod between;
mod bodies;
mod bonds;
mod bounds;
mod cached;
mod calls;
mod crowds;
mod dated;
mod echo;
mod failures;
mod files;
mod frames;
mod hedges;
mod hops;
mod issued;
mod odd;
mod parts;
mod ports;
mod preface;
mod press;
mod priorities;
mod purged;
mod replaced;
mod rules;
mod secure;
mod slow;
mod sparing;
mod splits;
mod streams;
mod strict;
mod tables;
mod telling;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::ContainerId;
use plan::tls::{Issued, RuleHttps, TlsShare};
use plan::traffic::{Endpoint, Listener, Pool, RouteRule, RouteShare};
use spec::{PathPrefix, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Addresses, HttpsFront, Manner, Server};
use crate::explain::Ask;
use crate::handover::Handover;
use crate::limits::Settings;
use crate::table::Document;

/// Nothing in these tests takes longer, unless it hangs.
const LONG: Duration = Duration::from_secs(20);

/// An edge of two threads, its folder, and what it was told last.
pub(super) struct TestEdge {
    server: Server,
    http: SocketAddr,
    https: SocketAddr,
    generation: u64,
    trusted: Vec<base::Cidr>,
    prefaced: Vec<base::Cidr>,
    issued: Issued,
    _folder: tempfile::TempDir,
}

/// Quick where the defaults are patient.
fn quick() -> Settings {
    Settings {
        tick: Duration::from_millis(10),
        hold: Duration::from_secs(10),
        linger: Duration::from_millis(500),
        last_call: Duration::from_millis(100),
        ..Settings::default()
    }
}

impl TestEdge {
    async fn start(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let any = vec![([127, 0, 0, 1], 0).into()];
        let any = Addresses { http: any.clone(), https: HttpsFront::At(any) };
        let mut server = Server::start(folder.path().into(), &any, 2, settings, Handover::default())
            .await
            .expect("an edge");
        server.open_doors(Vec::new()).await.expect("its threads");
        let (http, https) = (server.http()[0], server.https()[0]);
        Self {
            server,
            http,
            https,
            generation: 0,
            trusted: Vec::new(),
            prefaced: Vec::new(),
            issued: Issued::default(),
            _folder: folder,
        }
    }

    /// An edge that sends everything to these.
    async fn to(settings: Settings, backends: &[&Backend]) -> Self {
        let mut edge = Self::start(settings).await;
        edge.send_to(backends).await;
        edge
    }

    async fn send_to(&mut self, backends: &[&Backend]) {
        let addresses: Vec<_> = backends.iter().map(|b| b.address).collect();
        self.apply(share(&addresses, &[])).await;
    }

    async fn apply(&mut self, share: RouteShare) {
        self.generation += 1;
        let shares = BTreeMap::from([("shop".to_string(), share)]);
        self.server
            .apply(Document {
                generation: self.generation,
                shares,
                trusted: self.trusted.clone(),
                prefaced: self.prefaced.clone(),
                issued: self.issued.clone(),
            })
            .await
            .expect("a good table");
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.http).await.expect("the edge accepts")
    }

    /// One request on a connection of its own, and all that comes back.
    async fn ask(&self, request: &str) -> String {
        ask(self.http, request).await
    }

    /// What the explanation of a request says in the step of this name.
    async fn explained(&self, (method, url): (&str, &str), fields: &[(&str, &str)], step: &str) -> String {
        let (host, target) = url.split_at(url.find('/').expect("a path"));
        let ask = Ask {
            method: method.into(),
            secure: false,
            host: host.into(),
            port: None,
            target: target.into(),
            fields: fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            client: [127, 0, 0, 1].into(),
        };
        let steps = self.server.explain(&ask).await.steps;
        steps.into_iter().find(|it| it.name == step).map(|it| it.found).unwrap_or_default()
    }

    fn policy(&self) -> spec::EdgePolicy {
        self.server.document.shares["shop"].pools["web"].policy.clone()
    }

    fn in_flight(&self, backend: &Backend) -> u64 {
        self.server.look().in_flight.get(&id(backend.address)).copied().unwrap_or(0)
    }

    /// Waits until the backend has nothing more to do.
    async fn at_rest(&self, backend: &Backend) {
        until(|| self.in_flight(backend) == 0).await;
    }
}

/// The instance that listens there.
fn id(address: SocketAddr) -> ContainerId {
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&address.port().to_be_bytes());
    ContainerId::from_bytes(bytes)
}

/// A share with one pool, a rule for every request, and these ports.
fn share(addresses: &[SocketAddr], listeners: &[(SocketAddr, Protocol)]) -> RouteShare {
    let endpoints = addresses.iter().map(|address| Endpoint { instance: id(*address), address: *address });
    let pool = Pool { service: "shop/web".into(), endpoints: endpoints.collect(), ..Pool::default() };
    let listener = |(address, protocol): &(SocketAddr, Protocol)| Listener {
        address: *address,
        protocol: *protocol,
        pool: "web".into(),
        between: false,
    };
    RouteShare {
        rules: vec![RouteRule {
            host: None,
            path: PathPrefix::root(),
            strip_prefix: false,
            pool: "web".into(),
            https: RuleHttps::default(),
            rules: spec::RouteRules::default(),
            users: None,
            asks: String::new(),
        }],
        listeners: listeners.iter().map(listener).collect(),
        pools: BTreeMap::from([("web".to_string(), pool)]),
        tls: TlsShare::default(),
    }
}

/// Waits for a condition, which must come true.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("the condition comes true in time");
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the edge accepts");
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    rest(&mut stream).await
}

/// Everything until the end.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut text)).await.expect("an end in time");
    if let Err(error) = read {
        text.extend_from_slice(format!("<{}>", error.kind()).as_bytes());
    }
    String::from_utf8_lossy(&undated(&text)).into_owned()
}

/// Everything until the text ends like this.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let read = async {
        while !text.ends_with(end.as_bytes()) {
            match stream.read_u8().await {
                Ok(byte) => text.push(byte),
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&text)),
            }
        }
    };
    tokio::time::timeout(LONG, read).await.unwrap_or_else(|_| panic!("no {end:?} in time"));
    String::from_utf8_lossy(&undated(&text)).into_owned()
}

/// Without the dates that the edge gives to answers, which are other ones each time; backends write theirs in capitals.
fn undated(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b"date: ")).collect::<Vec<_>>().concat()
}

/// A head with its empty line.
async fn head(stream: &mut TcpStream) -> String {
    read_until(stream, "\r\n\r\n").await
}

/// The body of a whole answer.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

/// A request without a body that ends its connection.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

/// An instance: what it does with each connection is up to the test.
pub(super) struct Backend {
    address: SocketAddr,
    /// Connections so far.
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Backend {
    /// Runs `serve` for each connection, with the number of the connection from 0 up.
    async fn new<F, D>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        Self::at(([127, 0, 0, 1], 0).into(), serve).await
    }

    async fn at<F, D>(address: SocketAddr, serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(serve(stream, counter.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { address, connections, accepting }
    }

    /// Answers every request without a body with its name and path, and keeps connections open.
    async fn plain(name: &'static str) -> Self {
        Self::new(move |stream, _| answer_all(stream, name)).await
    }

    /// Answers every request with `done`, from when it is told that the gate is open.
    async fn gated() -> (tokio::sync::watch::Sender<bool>, Self) {
        let (go, gate) = tokio::sync::watch::channel(false);
        let backend = Self::new(move |mut stream, _| {
            let mut gate = gate.clone();
            async move {
                while next_head(&mut stream).await.is_some() {
                    gate.wait_for(|open| *open).await.expect("the gate opens");
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.is_err() {
                        return;
                    }
                }
            }
        });
        (go, backend.await)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The head of the next request, or nothing at the end.
async fn next_head(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Answers requests with name and path; reads bodies that have a length.
async fn answer_all(mut stream: TcpStream, name: &'static str) {
    while let Some(head) = next_head(&mut stream).await {
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let text = format!("{name} {path} {}", String::from_utf8_lossy(&body));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", text.len(), text);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
