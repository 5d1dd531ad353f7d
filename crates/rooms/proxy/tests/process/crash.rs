//! An edge that is killed: whoever connects before there is another waits for it.

use rustix::process::Signal;

use super::instance::Instance;
use super::*;

/// An edge with an app that answers as `a.example`.
struct Begun {
    root: tempfile::TempDir,
    one: Instance,
    edge: Edge,
    pid: u32,
    http: SocketAddr,
}

impl Begun {
    async fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let one = Instance::start("one").await;
        let edge = Edge::open(config(root.path(), 0)).await.expect("an edge");
        edge.apply("shop", share("a.example", one.address, &[])).await.expect("a table");
        let (pid, http) = (edge.status().await.expect("a status").pid, edge.http().await[0]);
        Self { root, one, edge, pid, http }
    }
}

/// Kills an edge; what it accepts while it dies is lost with it.
pub(super) async fn kill(pid: u32) {
    end(pid, Signal::KILL);
    let dead = async {
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while stat().rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, dead).await.expect("it is dead in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_come_after_a_kill_are_answered_by_the_next_edge() {
    let root = tempfile::tempdir().expect("a folder");
    let one = Instance::start("one").await;
    let edge = Edge::open(config(root.path(), 0)).await.expect("an edge");
    let port = free_port();
    edge.apply("shop", share("a.example", one.address, &[port])).await.expect("a table");
    let http = edge.http().await[0];
    for round in 0..5 {
        let pid = edge.status().await.expect("a status").pid;
        let began = std::time::Instant::now();
        kill(pid).await;
        let waiting: Vec<_> = (0..20)
            .map(|n| {
                let address = if n % 2 == 0 { http } else { port };
                tokio::spawn(async move { (ask(address, "a.example").await, began.elapsed()) })
            })
            .collect();
        let mut first = LONG;
        for client in waiting {
            let (answer, took) = client.await.expect("no panic");
            assert!(answer.ends_with("one"), "round {round}: {answer}");
            first = first.min(took);
        }
        println!("answered {first:?} after the kill");
        let new = edge.status().await.expect("a status");
        assert_ne!(new.pid, pid, "round {round}");
    }
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_that_come_after_a_kill_are_carried_by_the_next_edge() {
    let root = tempfile::tempdir().expect("a folder");
    let echo = echo().await;
    let edge = Edge::open(config(root.path(), 0)).await.expect("an edge");
    let port = free_port();
    edge.apply("shop", datagrams(port, echo)).await.expect("a table");
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    client.connect(port).await.expect("an address");
    say(&client, "before").await;
    kill(edge.status().await.expect("a status").pid).await;
    say(&client, "after").await;
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_back_is_closed_in_the_daemon_too() {
    let root = tempfile::tempdir().expect("a folder");
    let one = Instance::start("one").await;
    let edge = Edge::open(config(root.path(), 0)).await.expect("an edge");
    let port = free_port();
    edge.apply("shop", share("a.example", one.address, &[port])).await.expect("a table");
    assert!(ask(port, "a.example").await.ends_with("one"));
    edge.apply("shop", share("a.example", one.address, &[])).await.expect("a table");
    let closed = async {
        while TcpStream::connect(port).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, closed).await.expect("the port is closed");
    std::net::TcpListener::bind(port).expect("anybody may have it");
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_finds_an_edge_can_replace_it_too() {
    let Begun { root, one: _one, edge: first, pid, http } = Begun::new().await;
    first.release().await;
    let second = Edge::open(config(root.path(), 0)).await.expect("the same edge");
    kill(pid).await;
    assert!(ask(http, "a.example").await.ends_with("one"));
    assert_ne!(second.status().await.expect("a status").pid, pid);
    second.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_both_die_the_next_daemon_begins_with_the_last_routes() {
    let Begun { root, one: _one, edge: first, pid, http } = Begun::new().await;
    first.release().await;
    end(pid, Signal::KILL);
    let second = Edge::open(config(root.path(), 0)).await.expect("another edge");
    assert_eq!(second.http().await, [http]);
    assert!(ask(http, "a.example").await.ends_with("one"));
    second.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_told_to_end_finishes_beside_its_successor() {
    let Begun { root: _root, one, edge, pid, http } = Begun::new().await;
    let mut download = Download::begin(http).await;
    let load = Load::start(http, 1);
    load.goes_on(10).await;
    end(pid, Signal::TERM);
    let other = async {
        loop {
            match edge.status().await {
                Ok(status) if status.pid != pid => return status,
                Ok(_) | Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let status = tokio::time::timeout(LONG, other).await.expect("a new edge in time");
    assert_eq!(status.leaving, 1);
    load.goes_on(10).await;
    load.end().await;
    one.go();
    assert_eq!(download.rest().await, instance::SLOW_BYTES);
    drop(download);
    alone(&edge).await;
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edges_that_are_killed_at_once_again_and_again_are_started_less_often_and_nobody_is_refused() {
    let Begun { root, one: _one, edge, http, .. } = Begun::new().await;
    let mut deaths = edge.deaths();
    let socket = root.path().join("edge/edge.sock");
    let killer = tokio::spawn(async move {
        loop {
            if let Ok(caller) = UnixStream::connect(&socket).await
                && let Some(pid) = caller.peer_cred().ok().and_then(|cred| cred.pid())
            {
                kill(u32::try_from(pid).expect("a process")).await;
            }
            tokio::task::yield_now().await;
        }
    });
    let seen = deaths.wait_for(|deaths| deaths.early > 6).await.map(|deaths| *deaths);
    killer.abort();
    assert!(killer.await.expect_err("it goes on for ever").is_cancelled());
    let seen = seen.expect("the edge is looked after");
    assert!(seen.pause >= Duration::from_millis(200), "{seen:?}");
    // It waits in the socket for as long as the pause is.
    assert!(ask(http, "a.example").await.ends_with("one"));
    let status = edge.status().await.expect("a status");
    assert!(status.died >= seen.total, "{status:?}");
    let over = tokio::time::timeout(LONG, deaths.wait_for(|deaths| deaths.early == 0)).await;
    assert_eq!(over.expect("in time").expect("the edge is looked after").pause, Duration::ZERO);
    edge.stop().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_hangs_is_ended_and_another_has_its_place() {
    let Begun { root, one: _one, edge: first, pid, http } = Begun::new().await;
    first.release().await;
    end(pid, Signal::STOP);
    let second = Edge::open(config(root.path(), 0)).await.expect("another edge");
    assert_ne!(second.status().await.expect("a status").pid, pid);
    assert!(ask(http, "a.example").await.ends_with("one"));
    second.stop().await.expect("it ends");
}
