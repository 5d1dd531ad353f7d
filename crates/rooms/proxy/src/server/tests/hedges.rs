//! Second requests to another instance, over real sockets: who is asked, whose answer counts, and what is held against whom.

use spec::{BalanceBy, EdgePolicy, Hedge, HedgeAfter, ProxyProtocol};
use tokio::sync::watch;

use super::*;
use crate::status::{EndpointStatus, HedgeStatus};

/// At once, as far as a test can tell.
const SOON: Hedge = Hedge { after: HedgeAfter::Time(Duration::from_millis(2)), share: 10_000 };

/// An edge that sends everything to these, in turn, and asks a second one so.
async fn edge(hedge: Hedge, backends: &[&Backend]) -> TestEdge {
    with(EdgePolicy { hedge: Some(hedge), balance: BalanceBy::RoundRobin, ..EdgePolicy::default() }, backends)
        .await
}

async fn with(policy: EdgePolicy, backends: &[&Backend]) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    let addresses: Vec<_> = backends.iter().map(|b| b.address).collect();
    let mut share = share(&addresses, &[]);
    share.pools.values_mut().for_each(|pool| pool.policy = policy.clone());
    edge.apply(share).await;
    edge
}

/// An instance that answers nothing until it is let go, and tells which heads it got and how often its client left.
struct Silent {
    backend: Backend,
    heads: Arc<std::sync::Mutex<Vec<String>>>,
    left: Arc<AtomicUsize>,
    go: watch::Sender<bool>,
}

impl Silent {
    async fn saying(answer: &'static str) -> Self {
        let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
        let left = Arc::new(AtomicUsize::new(0));
        let (go, gate) = watch::channel(false);
        let (seen, gone) = (heads.clone(), left.clone());
        let backend = Backend::new(move |mut stream, _| {
            let (seen, gone, mut gate) = (seen.clone(), gone.clone(), gate.clone());
            async move {
                while let Some(head) = next_head(&mut stream).await {
                    seen.lock().expect("no panic").push(head);
                    let mut byte = [0];
                    tokio::select! {
                        _ = gate.wait_for(|open| *open) => {}
                        _ = stream.read(&mut byte) => {
                            gone.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                    }
                    if answer.is_empty() {
                        return;
                    }
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        Self { backend, heads, left, go }
    }

    async fn new() -> Self {
        Self::saying("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await
    }

    /// First requests, which bear no mark; on a slow machine second ones come for others too.
    fn firsts(&self) -> usize {
        self.heads.lock().expect("no panic").iter().filter(|head| !head.contains("x-sea-again")).count()
    }

    fn asked(&self) -> usize {
        self.heads.lock().expect("no panic").len()
    }
}

fn hedges(edge: &TestEdge) -> HedgeStatus {
    edge.server.status().pools[0].hedges.expect("the service wants them")
}

fn status_of(edge: &TestEdge, backend: &Backend) -> EndpointStatus {
    let pools = edge.server.status().pools;
    let found = pools.iter().flat_map(|pool| &pool.endpoints).find(|e| e.address == backend.address);
    found.expect("it is in the table").clone()
}

#[tokio::test]
async fn the_quicker_answer_counts_and_the_slow_instance_is_left_alone() {
    let (silent, quick) = (Silent::new().await, Backend::plain("quick").await);
    let edge = edge(SOON, &[&silent.backend, &quick]).await;
    while silent.firsts() < 3 {
        assert_eq!(body(&edge.ask(&get("/a")).await), "quick /a ");
    }
    // Its connections are closed, and nothing is held against it.
    until(|| silent.left.load(Ordering::SeqCst) == silent.asked()).await;
    edge.at_rest(&silent.backend).await;
    let slow = status_of(&edge, &silent.backend);
    assert_eq!((slow.answered.lost, slow.answered.failed, slow.ejected, slow.retried), (0, 0, 0, 0));
    let hedges = hedges(&edge);
    assert_eq!(hedges.won as usize, silent.firsts());
    assert!(hedges.sent >= hedges.won, "{hedges:?}");
}

#[tokio::test]
async fn a_second_request_says_that_it_is_one_and_is_not_doubled_again() {
    let (one, other) = (Silent::new().await, Silent::new().await);
    let edge = edge(SOON, &[&one.backend, &other.backend]).await;
    let http = edge.http;
    let asked = tokio::spawn(async move { ask(http, &get("/a")).await });
    until(|| one.asked() + other.asked() == 2).await;
    let heads =
        [one.heads.lock().expect("no panic").clone(), other.heads.lock().expect("no panic").clone()].concat();
    let marked: Vec<_> = heads.iter().map(|head| head.matches("x-sea-again: 1\r\n").count()).collect();
    assert!(marked == [0, 1] || marked == [1, 0], "{heads:?}");
    let unmarked: Vec<_> = heads.iter().map(|head| head.replace("x-sea-again: 1\r\n", "")).collect();
    assert_eq!(unmarked[0], unmarked[1]);
    one.go.send(true).expect("it waits");
    assert_eq!(body(&asked.await.expect("an answer")), "late");
    // What was sent twice further out goes to one instance.
    let before = hedges(&edge);
    other.go.send(true).expect("it waits");
    let again = "GET / HTTP/1.1\r\nHost: a\r\nX-Sea-Again: 1\r\nConnection: close\r\n\r\n";
    assert_eq!(body(&edge.ask(again).await), "late");
    assert_eq!(hedges(&edge), before);
}

#[tokio::test]
async fn nothing_that_does_something_is_sent_twice() {
    let (one, other) = (Silent::new().await, Silent::new().await);
    let edge = edge(SOON, &[&one.backend, &other.backend]).await;
    let http = edge.http;
    let requests = [
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: text/event-stream\r\n\r\n",
    ];
    let asked: Vec<_> = requests.map(|request| tokio::spawn(async move { ask(http, request).await })).into();
    until(|| one.asked() + other.asked() == requests.len()).await;
    // A request that may be doubled comes later, and is, so the others have had their time.
    let looks = tokio::spawn(async move { ask(http, &get("/")).await });
    until(|| one.asked() + other.asked() == requests.len() + 2).await;
    assert_eq!(hedges(&edge).sent, 1);
    one.go.send(true).expect("it waits");
    other.go.send(true).expect("it waits");
    for answer in asked.into_iter().chain([looks]) {
        assert_eq!(status(&answer.await.expect("an answer")), "200");
    }
}

#[tokio::test]
async fn a_bad_answer_counts_only_when_no_other_can_come() {
    const BROKEN: &str = "HTTP/1.1 500 Broken\r\nContent-Length: 6\r\n\r\nbroken";
    // The one that fails is heard first, and the other still does better.
    let (one, other) = (Silent::saying(BROKEN).await, Silent::new().await);
    let edge = edge(SOON, &[&one.backend, &other.backend]).await;
    let http = edge.http;
    let asked = tokio::spawn(async move { ask(http, &get("/")).await });
    until(|| one.asked() == 1 && other.asked() == 1).await;
    one.go.send(true).expect("it waits");
    until(|| edge.in_flight(&one.backend) == 0).await;
    other.go.send(true).expect("it waits");
    assert_eq!(body(&asked.await.expect("an answer")), "late");
    // Both fail: the client hears it.
    let (one, other) = (Silent::saying(BROKEN).await, Silent::saying(BROKEN).await);
    let edge = self::edge(SOON, &[&one.backend, &other.backend]).await;
    let http = edge.http;
    let asked = tokio::spawn(async move { ask(http, &get("/")).await });
    until(|| one.asked() == 1 && other.asked() == 1).await;
    one.go.send(true).expect("it waits");
    other.go.send(true).expect("it waits");
    assert_eq!(body(&asked.await.expect("an answer")), "broken");
}

#[tokio::test]
async fn an_instance_that_dies_in_the_race_loses_it() {
    // Whichever of them is asked first.
    for _ in 0..4 {
        let (one, other) = (Silent::saying("").await, Silent::new().await);
        let edge = edge(SOON, &[&one.backend, &other.backend]).await;
        let http = edge.http;
        let asked = tokio::spawn(async move { ask(http, &get("/")).await });
        until(|| one.asked() == 1 && other.asked() == 1).await;
        one.go.send(true).expect("it waits");
        until(|| edge.in_flight(&one.backend) == 0).await;
        other.go.send(true).expect("it waits");
        assert_eq!(body(&asked.await.expect("an answer")), "late");
        assert_eq!((one.asked(), other.asked()), (1, 1));
    }
}

#[tokio::test]
async fn second_requests_are_a_share_of_the_first() {
    let (one, other) = (Silent::new().await, Silent::new().await);
    let edge = edge(Hedge { share: 2_500, ..SOON }, &[&one.backend, &other.backend]).await;
    let http = edge.http;
    // Each thread counts for itself, and has nothing saved up.
    let asked: Vec<_> = (0..16).map(|_| tokio::spawn(async move { ask(http, &get("/")).await })).collect();
    until(|| {
        let HedgeStatus { sent, unpaid, .. } = hedges(&edge);
        sent + unpaid == 16
    })
    .await;
    let HedgeStatus { sent, .. } = hedges(&edge);
    assert!((3..=4).contains(&sent), "{sent} of 16");
    one.go.send(true).expect("it waits");
    other.go.send(true).expect("it waits");
    for answer in asked {
        assert_eq!(body(&answer.await.expect("an answer")), "late");
    }
}

#[tokio::test]
async fn a_service_of_one_instance_is_asked_once() {
    let alone = Silent::new().await;
    let edge = edge(SOON, &[&alone.backend]).await;
    let http = edge.http;
    let asked = tokio::spawn(async move { ask(http, &get("/")).await });
    until(|| alone.asked() == 1).await;
    alone.go.send(true).expect("it waits");
    assert_eq!(body(&asked.await.expect("an answer")), "late");
    assert_eq!(hedges(&edge), HedgeStatus::default());
}

#[tokio::test]
async fn the_delay_is_learnt_from_answers() {
    let (one, other) = (Backend::plain("one").await, Backend::plain("other").await);
    let after = HedgeAfter::Quantile(9_500);
    let edge = edge(Hedge { after, share: 10_000 }, &[&one, &other]).await;
    let mut stream = edge.connect().await;
    for _ in 0..150 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
        let _ = read_until(&mut stream, " / ").await;
    }
    assert!(hedges(&edge).sent <= 50, "no more than what is slower than usual: {:?}", hedges(&edge));
    // One of them falls silent: who is sent there first is answered by the other. This thread knows the delay.
    let silent = Silent::new().await;
    let mut share = share(&[silent.backend.address, other.address], &[]);
    share.pools.values_mut().for_each(|pool| pool.policy = edge.policy());
    let mut edge = edge;
    edge.apply(share).await;
    while silent.asked() == 0 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
        assert!(read_until(&mut stream, " / ").await.ends_with("other / "));
    }
}

#[tokio::test]
async fn streams_of_http_2_are_hedged_like_any_other() {
    let (silent, quick) = (Silent::new().await, Backend::plain("quick").await);
    let edge = edge(SOON, &[&silent.backend, &quick]).await;
    let (mut client, connection) =
        h2::client::handshake(edge.connect().await).await.expect("the edge speaks HTTP/2");
    let connection = tokio::spawn(connection);
    while silent.firsts() < 2 {
        client = client.ready().await.expect("room for a stream");
        let request = http::Request::get("http://a/x").body(()).expect("a request");
        let (answer, _) = client.send_request(request, true).expect("it is sent");
        let mut body = answer.await.expect("an answer").into_body();
        let mut text = Vec::new();
        while let Some(piece) = body.data().await {
            text.extend_from_slice(&piece.expect("a piece"));
        }
        assert_eq!(String::from_utf8_lossy(&text), "quick /x ");
    }
    assert_eq!(hedges(&edge).won as usize, silent.firsts());
    connection.abort();
}

#[tokio::test]
async fn a_second_connection_opens_with_its_client_too() {
    let (one, other) = (Silent::new().await, Silent::new().await);
    let policy =
        EdgePolicy { hedge: Some(SOON), proxy_protocol: Some(ProxyProtocol::V1), ..EdgePolicy::default() };
    let edge = with(policy, &[&one.backend, &other.backend]).await;
    let http = edge.http;
    let asked = tokio::spawn(async move { ask(http, &get("/")).await });
    until(|| one.asked() == 1 && other.asked() == 1).await;
    for silent in [&one, &other] {
        assert!(silent.heads.lock().expect("no panic")[0].starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "));
        let _ = silent.go.send(true);
    }
    assert_eq!(body(&asked.await.expect("an answer")), "late");
}
