//! Who is refused first when a service has more to do than it can, over real sockets.

use spec::{EdgePolicy, Limit, Priority, PriorityMatch, Urgency};
use tokio::sync::watch;

use super::*;
use crate::status::ClassStatus;

/// `/pay` is critical, `/export` can be done later; so many at once, so many wait.
fn policy(requests: u32, queue: u32) -> EdgePolicy {
    let of = |path: &str, class| PriorityMatch {
        path: Some(PathPrefix(path.into())),
        methods: Vec::new(),
        header: None,
        value: None,
        class,
    };
    let matches = vec![of("/pay", Urgency::Critical), of("/export", Urgency::Sheddable)];
    EdgePolicy {
        limit: Some(Limit { requests: Some(requests), queue, wait: LONG }),
        priority: Some(Priority { matches }),
        ..EdgePolicy::default()
    }
}

async fn apply(edge: &mut TestEdge, policy: EdgePolicy, backend: &Backend) {
    let mut share = share(&[backend.address], &[]);
    share.pools.values_mut().for_each(|pool| pool.policy = policy.clone());
    edge.apply(share).await;
}

/// Answers each request after some milliseconds of work.
async fn working() -> Backend {
    Backend::new(|mut stream, _| async move {
        while next_head(&mut stream).await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.is_err() {
                return;
            }
        }
    })
    .await
}

/// A client that asks over one connection again and again, `most` times or until it is told to stop: how many answers of
/// each status it had.
async fn client(
    http: SocketAddr,
    path: &'static str,
    most: usize,
    stop: watch::Receiver<bool>,
) -> [usize; 2] {
    let mut stream = TcpStream::connect(http).await.expect("the edge accepts");
    let mut answers = [0, 0];
    while answers.iter().sum::<usize>() < most && !*stop.borrow() {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the edge reads");
        let head = head(&mut stream).await;
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        stream.read_exact(&mut body).await.expect("a body");
        let refused = status(&head) == "503";
        assert!(refused || status(&head) == "200", "{head}");
        if refused {
            assert!(head.contains("retry-after: "), "{head}");
            assert!(head.contains("refused: shed") || head.contains("refused: overloaded"), "{head}");
        }
        answers[usize::from(refused)] += 1;
    }
    answers
}

fn classes(edge: &TestEdge) -> Vec<ClassStatus> {
    edge.server.status().pools[0].classes.clone()
}

#[tokio::test]
async fn at_three_times_the_load_the_urgent_are_served_whole() {
    let backend = working().await;
    let mut edge = TestEdge::start(quick()).await;
    // Of twelve that ask all the time four are served at once, and three of them are urgent.
    apply(&mut edge, policy(4, 4), &backend).await;
    let (stop, stopped) = watch::channel(false);
    let http = edge.http;
    let start = |path, most| tokio::spawn(client(http, path, most, stopped.clone()));
    let others: Vec<_> = (0..9).map(|_| start("/export", usize::MAX)).collect();
    let urgent: Vec<_> = (0..3).map(|_| start("/pay", 100)).collect();
    for one in urgent {
        assert_eq!(one.await.expect("no panic"), [100, 0]);
    }
    stop.send(true).expect("the others ask");
    let mut sums = [0, 0];
    for one in others {
        let answers = one.await.expect("no panic");
        sums = [sums[0] + answers[0], sums[1] + answers[1]];
    }
    assert!(sums[0] > 0 && sums[1] > 0, "{sums:?}");
    let counts: Vec<_> = classes(&edge).iter().map(|c| (c.let_in as usize, c.refused as usize)).collect();
    assert_eq!(counts, [(300, 0), (0, 0), (sums[0], sums[1])]);
}

#[tokio::test]
async fn a_more_urgent_request_takes_the_place_of_one_that_waits() {
    let (go, backend) = Backend::gated().await;
    let mut edge = TestEdge::start(quick()).await;
    apply(&mut edge, policy(1, 1), &backend).await;
    let http = edge.http;
    let spawn = |request: String| tokio::spawn(async move { ask(http, &request).await });
    let first = spawn(get("/"));
    until(|| edge.in_flight(&backend) == 1).await;
    let waits = spawn(get("/export"));
    let lined_up = async {
        while !edge.explained(("GET", "a/export"), &[], "limit").await.ends_with("1 wait") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, lined_up).await.expect("it waits");
    // Another like it finds no place, and a stranger makes himself no more urgent than he is.
    for request in [get("/export"), get("/export").replace("Host", "Priority: u=0\r\nHost")] {
        let answer = edge.ask(&request).await;
        assert!(answer.contains("x-sea-refused: overloaded"), "{answer}");
    }
    // A stream of HTTP/2 that is urgent takes its place.
    let (mut client, connection) =
        h2::client::handshake(edge.connect().await).await.expect("the edge speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let request = http::Request::get("http://a/pay").body(()).expect("a request");
    let (urgent, _) = client.send_request(request, true).expect("it is sent");
    let answer = waits.await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("x-sea-refused: shed"), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    go.send(true).expect("the instance waits");
    assert_eq!(urgent.await.expect("an answer").status(), 200);
    assert_eq!(body(&first.await.expect("an answer")), "done");
    connection.abort();
}

#[tokio::test]
async fn a_service_that_asks_may_say_how_urgent_it_is() {
    let (go, backend) = Backend::gated().await;
    let mut edge = TestEdge::start(quick()).await;
    edge.trusted = vec!["127.0.0.0/8".parse().expect("a range")];
    apply(&mut edge, policy(1, 0), &backend).await;
    let http = edge.http;
    let first = tokio::spawn(async move { ask(http, &get("/")).await });
    until(|| edge.in_flight(&backend) == 1).await;
    let with = |line: &str| get("/").replace("Host", &format!("{line}\r\nHost"));
    // All are refused, and counted for what they are.
    for line in ["Priority: u=1", "Priority: u=6", "Priority: u=1\r\nX-Forwarded-For: 192.0.2.7"] {
        assert_eq!(status(&edge.ask(&with(line)).await), "503");
    }
    let refused: Vec<_> = classes(&edge).iter().map(|class| class.refused).collect();
    assert_eq!(
        refused,
        [1, 1, 1],
        "by its own word, by its own word, and a stranger's that a proxy passes on"
    );
    go.send(true).expect("the instance waits");
    assert_eq!(body(&first.await.expect("an answer")), "done");
}
