//! Clients that ask all the time, and for whom every request counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::LONG;

/// Clients of one address, until they are told to stop.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    counts: Vec<Arc<AtomicUsize>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// One client that keeps its connection, one that makes one for each request, one that speaks HTTP/2; each so
    /// often.
    pub(super) fn start(address: SocketAddr, often: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = Self { stop, counts: Vec::new(), clients: Vec::new() };
        for _ in 0..often {
            load.add(|stop, count| tokio::spawn(keeping(address, stop, count)));
            load.add(|stop, count| tokio::spawn(fresh(address, stop, count)));
            load.add(|stop, count| tokio::spawn(streams(address, stop, count)));
        }
        load
    }

    fn add(&mut self, begin: impl FnOnce(Arc<AtomicBool>, Arc<AtomicUsize>) -> JoinHandle<()>) {
        let count = Arc::new(AtomicUsize::new(0));
        self.clients.push(begin(self.stop.clone(), count.clone()));
        self.counts.push(count);
    }

    /// Waits until each client has had so many more answers.
    pub(super) async fn goes_on(&self, more: usize) {
        let before: Vec<_> = self.counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        let all = async {
            let ahead =
                |(count, before): (&Arc<AtomicUsize>, &usize)| count.load(Ordering::SeqCst) >= before + more;
            while !self.counts.iter().zip(&before).all(ahead) {
                assert!(self.clients.iter().all(|client| !client.is_finished()), "no client has met a flaw");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, all).await.expect("answers in time");
    }

    /// Ends it; gives how many requests were answered, which are all that were sent.
    pub(super) async fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.expect("no request is lost");
        }
        self.counts.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }
}

/// A connection that is kept, and used again until the edge says that it ends.
pub(super) struct Kept {
    stream: TcpStream,
    address: SocketAddr,
}

impl Kept {
    pub(super) async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("the edge accepts"), address }
    }

    /// One request; gives the body, and whether the edge said that it was the last.
    pub(super) async fn ask(&mut self) -> (String, bool) {
        self.stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.expect("the edge reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        self.stream.read_exact(&mut body).await.expect("a whole answer");
        (String::from_utf8_lossy(&body).into_owned(), head.contains("connection: close"))
    }

    /// Waits until the edge closes it.
    pub(super) async fn is_closed(&mut self) {
        let end = tokio::time::timeout(LONG, self.stream.read_u8()).await.expect("an end in time");
        assert_eq!(end.expect_err("no more").kind(), std::io::ErrorKind::UnexpectedEof);
    }
}

async fn keeping(address: SocketAddr, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) {
    let mut kept = Kept::to(address).await;
    while !stop.load(Ordering::SeqCst) {
        let (_, last) = tokio::time::timeout(LONG, kept.ask()).await.expect("an answer in time");
        if last {
            kept = Kept::to(kept.address).await;
        }
        count.fetch_add(1, Ordering::SeqCst);
    }
}

async fn fresh(address: SocketAddr, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) {
    while !stop.load(Ordering::SeqCst) {
        let answer = super::ask(address, "a.example").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// HTTP/2 in clear text: another connection only when the edge has said that this one ends.
async fn streams(address: SocketAddr, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) {
    'connections: while !stop.load(Ordering::SeqCst) {
        let stream = TcpStream::connect(address).await.expect("the edge accepts");
        let (send, connection) = h2::client::handshake(stream).await.expect("a preface");
        let driver = tokio::spawn(connection);
        while !stop.load(Ordering::SeqCst) {
            let ready = tokio::time::timeout(LONG, send.clone().ready()).await.expect("room in time");
            let Ok(mut ready) = ready else {
                driver.await.expect("no panic").expect("an orderly end");
                continue 'connections;
            };
            let request = http::Request::builder().uri("http://a.example/").body(()).expect("a request");
            let (answer, _) = ready.send_request(request, true).expect("a stream");
            let answer = tokio::time::timeout(LONG, answer).await.expect("an answer in time");
            let mut answer = answer.expect("an answer");
            assert_eq!(answer.status(), 200);
            while let Some(piece) = answer.body_mut().data().await {
                let piece = piece.expect("a whole answer");
                answer.body_mut().flow_control().release_capacity(piece.len()).expect("it was taken");
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
        driver.abort();
    }
}
