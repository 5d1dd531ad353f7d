//! Instances that let a connection wait: a full backlog looks the same as a container that was killed.

use std::time::Duration;

use base::{Clock, SystemClock};
use rustix::net::{AddressFamily, SocketType};

use super::*;

/// An instance that listens and whose backlog is full: a new connection to it hangs.
struct Full {
    address: SocketAddr,
    listener: Option<std::net::TcpListener>,
    _filler: TcpStream,
}

impl Full {
    async fn new() -> Self {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        // No place at all means room for one.
        rustix::net::listen(&socket, 0).expect("it listens");
        let listener = std::net::TcpListener::from(socket);
        let address = listener.local_addr().expect("an address");
        let filler = TcpStream::connect(address).await.expect("the one place");
        until(|| waiting(address) == 1).await;
        Self { address, listener: Some(listener), _filler: filler }
    }

    /// Has it answer from now on.
    fn wake(&mut self, name: &'static str) {
        let listener = self.listener.take().expect("it slept");
        listener.set_nonblocking(true).expect("a mode");
        let listener = TcpListener::from_std(listener).expect("a listener");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_all(stream, name));
            }
        });
    }
}

/// How many connections wait in the backlog, from the kernel's table.
fn waiting(address: SocketAddr) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table");
    let port = format!(":{:04X}", address.port());
    let row = table.lines().map(|l| l.split_ascii_whitespace().collect::<Vec<_>>());
    let mut row = row.filter(|r| r.get(1).is_some_and(|a| a.ends_with(&port)) && r.get(3) == Some(&"0A"));
    let queues = row.next().and_then(|r| r[4].split_once(':').map(|(_, queue)| queue.to_owned()));
    queues.and_then(|queue| u64::from_str_radix(&queue, 16).ok()).unwrap_or(0)
}

/// Another instance is asked after a moment, or never.
fn company_after(connect: Duration) -> Settings {
    Settings { connect, ..quick() }
}

const SOON: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::from_secs(3600);

impl TestEdge {
    async fn send_to_all(&mut self, addresses: &[SocketAddr]) {
        self.apply(share(addresses, &[])).await;
    }

    /// Connections that are being made to it, or are at work.
    fn busy(&self, address: SocketAddr) -> u64 {
        self.server.look().in_flight.get(&id(address)).copied().unwrap_or(0)
    }

    /// Asks in the background.
    fn asking(&self, path: &'static str) -> JoinHandle<String> {
        let http = self.http;
        tokio::spawn(async move { ask(http, &get(path)).await })
    }

    fn is_avoided(&self, address: SocketAddr) -> bool {
        let status = self.server.status();
        status.pools[0].endpoints.iter().any(|e| e.address == address && e.avoided)
    }
}

#[tokio::test]
async fn an_instance_that_hangs_costs_a_moment_and_is_then_passed_over() {
    let (full, good) = (Full::new().await, Backend::plain("good").await);
    let settings = Settings { avoid_first: NEVER, avoid_most: NEVER, ..company_after(SOON) };
    let mut edge = TestEdge::start(settings).await;
    edge.send_to_all(&[full.address, good.address]).await;
    let mut times = Vec::new();
    for n in 0..20 {
        let began = SystemClock.now();
        let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(body(&edge.ask(request).await), "good / x", "request {n}");
        times.push(SystemClock.now().since(began));
    }
    assert!(edge.is_avoided(full.address));
    assert!(!edge.is_avoided(good.address));
    times.sort_unstable();
    // The kernel's second try comes after one second: none may have waited for that.
    assert!(times[19] < Duration::from_millis(900), "{times:?}");
    until(|| edge.busy(full.address) == 0).await;
}

#[tokio::test]
async fn a_slow_connection_stays_in_the_race_and_the_first_that_is_made_wins() {
    for winner in [0, 1] {
        let mut both = [Full::new().await, Full::new().await];
        let mut edge = TestEdge::start(company_after(SOON)).await;
        edge.send_to_all(&both.each_ref().map(|full| full.address)).await;
        let asked = edge.asking("/x");
        until(|| both.iter().all(|full| edge.busy(full.address) == 1)).await;
        both[winner].wake("awake");
        assert_eq!(body(&asked.await.expect("an answer")), "awake /x ");
        until(|| both.iter().all(|full| edge.busy(full.address) == 0)).await;
    }
}

#[tokio::test]
async fn a_connection_to_an_instance_that_leaves_the_table_is_given_up() {
    let (full, good) = (Full::new().await, Backend::plain("good").await);
    let mut edge = TestEdge::start(company_after(NEVER)).await;
    edge.send_to_all(&[full.address]).await;
    let asked = edge.asking("/x");
    until(|| edge.busy(full.address) == 1).await;
    edge.send_to_all(&[]).await;
    until(|| edge.busy(full.address) == 0 && edge.server.status().held == 1).await;
    edge.send_to_all(&[good.address]).await;
    assert_eq!(body(&asked.await.expect("an answer")), "good /x ");
}

#[tokio::test]
async fn a_new_instance_is_asked_at_once_while_the_old_one_hangs() {
    let (full, good) = (Full::new().await, Backend::plain("good").await);
    let mut edge = TestEdge::start(company_after(NEVER)).await;
    edge.send_to_all(&[full.address]).await;
    let asked = edge.asking("/x");
    until(|| edge.busy(full.address) == 1).await;
    edge.send_to_all(&[full.address, good.address]).await;
    assert_eq!(body(&asked.await.expect("an answer")), "good /x ");
}

#[tokio::test]
async fn a_pool_that_is_gone_gets_nothing_more() {
    let full = Full::new().await;
    let hold = Duration::from_millis(100);
    let mut edge = TestEdge::start(Settings { hold, ..company_after(SOON) }).await;
    edge.send_to_all(&[full.address]).await;
    let asked = edge.asking("/");
    until(|| edge.busy(full.address) == 1).await;
    edge.apply(RouteShare::default()).await;
    assert!(asked.await.expect("an answer").contains("x-sea-refused: no-instance"));
    assert_eq!(edge.busy(full.address), 0);
}

/// An instance that is just starting again: its host says that nobody listens.
async fn refusing() -> SocketAddr {
    let gone = Backend::plain("gone").await;
    gone.accepting.abort();
    until(|| gone.accepting.is_finished()).await;
    gone.address
}

#[tokio::test]
async fn one_that_starts_again_is_waited_for_until_the_hold_is_over() {
    let hold = Duration::from_millis(400);
    let mut edge = TestEdge::start(Settings { hold, ..company_after(SOON) }).await;
    edge.send_to_all(&[refusing().await]).await;
    let began = SystemClock.now();
    assert!(edge.ask(&get("/")).await.contains("x-sea-refused: unreachable"));
    assert!(SystemClock.now().since(began) >= hold);
}

#[tokio::test]
async fn the_hold_begins_anew_with_an_instance_that_appears() {
    let (one, two) = (refusing().await, refusing().await);
    let hold = Duration::from_secs(1);
    let mut edge = TestEdge::start(Settings { hold, ..company_after(SOON) }).await;
    edge.send_to_all(&[one]).await;
    let asked = edge.asking("/");
    until(|| edge.server.status().held == 1).await;
    let began = SystemClock.now();
    edge.send_to_all(&[one, two]).await;
    assert!(asked.await.expect("an answer").contains("x-sea-refused: unreachable"));
    assert!(SystemClock.now().since(began) >= hold);
}

#[tokio::test]
async fn one_that_says_nothing_costs_a_caller_a_moment_once_and_others_nothing() {
    let mut full = Full::new().await;
    let (connect, hold) = (Duration::from_millis(100), Duration::from_secs(60));
    let avoid_first = Duration::from_secs(60);
    let mut edge = TestEdge::start(Settings { hold, avoid_first, ..company_after(connect) }).await;
    edge.send_to_all(&[full.address]).await;
    assert!(edge.ask(&get("/")).await.contains("x-sea-refused: unreachable"));
    for _ in 0..20 {
        assert!(edge.ask(&get("/")).await.contains("x-sea-refused: unreachable"));
    }
    // None of them was held up, and soon one finds out that it is back.
    full.wake("late");
    let mut answer = edge.ask(&get("/")).await;
    while answer.contains("x-sea-refused: unreachable") {
        answer = edge.ask(&get("/")).await;
    }
    assert_eq!(body(&answer), "late / ");
}

#[tokio::test]
async fn a_backlog_that_frees_up_is_tried_again_before_the_kernel_does() {
    // Nobody but a fresh try gets through: the kernel's own comes after a second.
    let mut full = Full::new().await;
    let mut edge = TestEdge::start(company_after(SOON)).await;
    edge.send_to_all(&[full.address]).await;
    let asked = edge.asking("/");
    until(|| edge.busy(full.address) == 1 && edge.is_avoided(full.address)).await;
    let began = SystemClock.now();
    full.wake("late");
    assert_eq!(body(&asked.await.expect("an answer")), "late / ");
    assert!(SystemClock.now().since(began) < Duration::from_millis(900));
}
