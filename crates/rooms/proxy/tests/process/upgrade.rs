//! An edge that another replaces while it serves: nothing is lost, and what is under way ends where it began.

use super::instance::{Instance, SLOW_BYTES};
use super::load::Kept;
use super::*;

/// A program of its own for each upgrade, with another number of threads.
fn upgraded(root: &Path, number: usize) -> EdgeConfig {
    let mut config = of_program(&format!("number {number}"), root, 0);
    config.args[3] = (1 + number % 3).to_string().into();
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_under_load_lose_nothing_and_let_everything_end() {
    let root = tempfile::tempdir().expect("a folder");
    let one = Instance::start("one").await;
    let mut edge = Edge::open(upgraded(root.path(), 0)).await.expect("an edge");
    let (port, other) = (free_port(), free_port());
    edge.apply("shop", share("a.example", one.address, &[port])).await.expect("a table");
    let http = edge.http().await[0];
    let (front, published) = (Load::start(http, 2), Load::start(port, 1));
    let mut socket = Socket::open(http).await;
    let mut download = Download::begin(http).await;
    for number in 1..=6 {
        front.goes_on(5).await;
        published.goes_on(5).await;
        let before = edge.status().await.expect("a status").pid;
        edge.release().await;
        edge = Edge::open(upgraded(root.path(), number)).await.expect("another edge");
        assert_ne!(edge.status().await.expect("a status").pid, before, "upgrade {number}");
        assert_eq!(edge.http().await, [http]);
        socket.echoes(&format!("after upgrade {number}")).await;
        // Ports come and go between the upgrades.
        let ports = if number % 2 == 0 { &[][..] } else { &[other][..] };
        edge.apply("other", share("b.example", one.address, ports)).await.expect("a table");
        let right = async {
            while TcpStream::connect(other).await.is_ok() != (number % 2 == 1) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, right).await.expect("the port is as the table says");
    }
    front.goes_on(5).await;
    published.goes_on(5).await;
    let answered = front.end().await + published.end().await;
    let seen = edge.look().await.expect("what is seen");
    let id = ContainerId::from_bytes([9; 32]);
    assert_eq!(seen.in_flight[&id], 2, "the WebSocket and the download are with the first edge");
    assert_eq!(seen.answered[&id].failed + seen.answered[&id].lost, 0);
    println!("{answered} requests through 6 upgrades");
    one.go();
    assert_eq!(download.rest().await, SLOW_BYTES);
    socket.echoes("to the end").await;
    drop((socket, download));
    alone(&edge).await;
    assert!(edge.look().await.expect("what is seen").in_flight.is_empty());
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_was_replaced_goes_by_new_tables_and_its_requests_count() {
    let root = tempfile::tempdir().expect("a folder");
    let (one, two) = (Instance::start("one").await, Instance::start("two").await);
    let first = Edge::open(upgraded(root.path(), 0)).await.expect("an edge");
    first.apply("shop", share("a.example", one.address, &[])).await.expect("a table");
    let http = first.http().await[0];
    let (mut resting, mut other) = (Kept::to(http).await, Kept::to(http).await);
    assert_eq!(resting.ask().await, ("one".into(), false));
    assert_eq!(other.ask().await, ("one".into(), false));
    let mut download = Download::begin(http).await;
    first.release().await;
    let edge = Edge::open(upgraded(root.path(), 1)).await.expect("another edge");
    assert_eq!(other.ask().await, ("one".into(), true), "a last answer, which says so");
    let mut next = share("a.example", two.address, &[]);
    next.pools.values_mut().for_each(|pool| pool.endpoints[0].instance = ContainerId::from_bytes([2; 32]));
    edge.apply("shop", next).await.expect("a table");
    assert_eq!(resting.ask().await, ("two".into(), true), "not where it may be stopped any moment");
    let seen = edge.look().await.expect("what is seen");
    let (old, new) = (ContainerId::from_bytes([9; 32]), ContainerId::from_bytes([2; 32]));
    assert_eq!(seen.sending, std::slice::from_ref(&new));
    assert_eq!(seen.in_flight[&old], 1, "the download holds its instance");
    one.go();
    assert_eq!(download.rest().await, SLOW_BYTES);
    drop((download, resting, other));
    alone(&edge).await;
    let seen = edge.look().await.expect("what is seen");
    assert!(seen.in_flight.is_empty());
    assert_eq!((seen.answered[&old].good, seen.answered[&new].good), (4, 1), "what it did is not forgotten");
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_daemon_finds_edges_that_are_not_done() {
    let root = tempfile::tempdir().expect("a folder");
    let (one, two) = (Instance::start("one").await, Instance::start("two").await);
    let first = Edge::open(upgraded(root.path(), 0)).await.expect("an edge");
    first.apply("shop", share("a.example", one.address, &[])).await.expect("a table");
    let http = first.http().await[0];
    let mut resting = Kept::to(http).await;
    assert_eq!(resting.ask().await.0, "one");
    first.release().await;
    Edge::open(upgraded(root.path(), 1)).await.expect("another edge").release().await;
    let edge = Edge::open(upgraded(root.path(), 1)).await.expect("the same edge");
    assert_eq!(edge.status().await.expect("a status").leaving, 1);
    edge.apply("shop", share("a.example", two.address, &[])).await.expect("a table");
    assert_eq!(resting.ask().await, ("two".into(), true));
    drop(resting);
    alone(&edge).await;
    let left = std::fs::read_dir(root.path().join("edge/leaving")).expect("a folder").count();
    assert_eq!(left, 0, "nothing stays behind");
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_edges_that_are_not_done_the_oldest_end() {
    let root = tempfile::tempdir().expect("a folder");
    let one = Instance::start("one").await;
    let mut edge = Edge::open(upgraded(root.path(), 0)).await.expect("an edge");
    edge.apply("shop", share("a.example", one.address, &[])).await.expect("a table");
    let http = edge.http().await[0];
    let mut resting = Vec::new();
    for number in 1..=10 {
        let mut kept = Kept::to(http).await;
        assert_eq!(kept.ask().await, ("one".into(), false));
        resting.push(kept);
        edge.release().await;
        edge = Edge::open(upgraded(root.path(), number)).await.expect("another edge");
    }
    for kept in &mut resting[..2] {
        kept.is_closed().await;
    }
    let eight = async {
        while edge.status().await.expect("a status").leaving != 8 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, eight).await.expect("two have ended");
    for kept in &mut resting[2..] {
        assert_eq!(kept.ask().await, ("one".into(), true));
    }
    drop(resting);
    alone(&edge).await;
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_udp_ports_keep_their_instance_and_it_keeps_them() {
    let root = tempfile::tempdir().expect("a folder");
    let echo = echo().await;
    let first = Edge::open(upgraded(root.path(), 1)).await.expect("an edge");
    let port = free_port();
    first.apply("shop", datagrams(port, echo)).await.expect("a table");
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    client.connect(port).await.expect("an address");
    let as_whom = say(&client, "before").await;
    first.release().await;
    let edge = Edge::open(upgraded(root.path(), 2)).await.expect("another edge");
    assert_eq!(say(&client, "after").await, as_whom, "the instance sees the same client");
    let id = ContainerId::from_bytes([9; 32]);
    assert_eq!(edge.look().await.expect("what is seen").in_flight.get(&id), Some(&1));
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_cannot_be_replaced_serves_on() {
    let root = tempfile::tempdir().expect("a folder");
    let one = Instance::start("one").await;
    let first = Edge::open(upgraded(root.path(), 0)).await.expect("an edge");
    first.apply("shop", share("a.example", one.address, &[])).await.expect("a table");
    let (pid, http) = (first.status().await.expect("a status").pid, first.http().await[0]);
    let mut kept = Kept::to(http).await;
    first.release().await;
    let broken = EdgeConfig { program: "/bin/false".into(), ..upgraded(root.path(), 1) };
    let edge = Edge::open(broken).await.expect("the same edge");
    assert_eq!(edge.status().await.expect("a status").pid, pid);
    assert_eq!(kept.ask().await, ("one".into(), false));
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_heir_that_is_killed_before_it_takes_over_changes_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let one = Instance::start("one").await;
    let edge = Edge::open(upgraded(root.path(), 0)).await.expect("an edge");
    edge.apply("shop", share("a.example", one.address, &[])).await.expect("a table");
    let (pid, http) = (edge.status().await.expect("a status").pid, edge.http().await[0]);
    // What an heir asks for, up to the word that counts.
    let mut line = UnixStream::connect(root.path().join("edge/edge.sock")).await.expect("it accepts");
    for word in [r#"{"hello":{"version":4}}"#, r#""hand_over""#] {
        let length = u32::try_from(word.len()).expect("short").to_be_bytes();
        line.write_all(&[&length[..], word.as_bytes()].concat()).await.expect("it reads");
        let size = line.read_u32().await.expect("an answer");
        line.read_exact(&mut vec![0; size as usize]).await.expect("a whole answer");
    }
    drop(line);
    assert!(ask(http, "a.example").await.ends_with("one"));
    assert_eq!(edge.status().await.expect("a status").pid, pid);
    crash::kill(pid).await;
    assert!(ask(http, "a.example").await.ends_with("one"));
    edge.stop().await.expect("it ends");
}
