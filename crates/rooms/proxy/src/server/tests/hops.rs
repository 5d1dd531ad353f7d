//! What hops tell each other: how long the client waits, and who has repeated a request.

use spec::{Breaking, EdgePolicy};

use super::*;

/// Answers with the head that it got as the body.
async fn mirror() -> Backend {
    Backend::new(|mut stream, _| async move {
        while let Some(head) = next_head(&mut stream).await {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn edge_with(policy: EdgePolicy, backends: &[&Backend]) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    let addresses: Vec<_> = backends.iter().map(|b| b.address).collect();
    let mut share = share(&addresses, &[]);
    share.pools.get_mut("web").expect("a pool").policy = policy;
    edge.apply(share).await;
    edge
}

fn with(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
}

/// The value of a field, in a head or an answer.
fn field<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

#[tokio::test]
async fn instances_are_told_how_long_the_client_waits() {
    let backend = mirror().await;
    let free = edge_with(EdgePolicy::default(), &[&backend]).await;
    assert_eq!(field(&free.ask(&with("")).await, "x-timeout-ms"), Vec::<&str>::new());
    assert_eq!(field(&free.ask(&with("X-Timeout-Ms: 9000\r\n")).await, "x-timeout-ms"), ["8995"]);
    // What is no time goes on as any field.
    assert_eq!(field(&free.ask(&with("x-timeout-ms: soon\r\n")).await, "x-timeout-ms"), ["soon"]);

    let bound = EdgePolicy { request: Some(Duration::from_secs(5)), ..EdgePolicy::default() };
    let bound = edge_with(bound, &[&backend]).await;
    assert_eq!(field(&bound.ask(&with("")).await, "x-timeout-ms"), ["4995"]);
    assert_eq!(
        field(&bound.ask(&with("x-timeout-ms: 9000\r\nx-timeout-ms: 8000\r\n")).await, "x-timeout-ms"),
        ["4995"]
    );
    assert_eq!(field(&bound.ask(&with("x-timeout-ms: 100\r\n")).await, "x-timeout-ms"), ["95"]);
}

#[tokio::test]
async fn a_client_that_has_gone_is_not_worked_for() {
    let backend = mirror().await;
    let edge = edge_with(EdgePolicy::default(), &[&backend]).await;
    let answer = edge.ask(&with("x-timeout-ms: 5\r\n")).await;
    assert_eq!((status(&answer), field(&answer, "x-sea-refused")), ("504", vec!["deadline"]), "{answer}");
    assert_eq!(backend.connections(), 0);

    // One that never answers, and a client that waits a tenth of a second.
    let silent =
        Backend::new(|mut stream, _| async move { while next_head(&mut stream).await.is_some() {} }).await;
    let edge = edge_with(EdgePolicy::default(), &[&silent]).await;
    let answer = edge.ask(&with("x-timeout-ms: 100\r\n")).await;
    assert_eq!((status(&answer), field(&answer, "x-sea-refused")), ("504", vec!["slow-answer"]), "{answer}");
}

/// Answers every request with this.
async fn says(answer: &'static str) -> Backend {
    Backend::new(move |mut stream, _| async move {
        while next_head(&mut stream).await.is_some() {
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_was_repeated_here_is_repeated_nowhere_else() {
    let cut = Backend::new(|mut stream, _| async move { drop(next_head(&mut stream).await) }).await;
    let edge = edge_with(EdgePolicy::default(), &[&cut]).await;
    let answer = edge.ask(&with("")).await;
    assert_eq!((status(&answer), field(&answer, "x-should-retry")), ("502", vec!["false"]), "{answer}");
    assert_eq!(cut.connections(), 3);
    // One that may not be repeated here is for whoever sent it to judge.
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let answer = edge.ask(post).await;
    assert_eq!((status(&answer), field(&answer, "x-should-retry").len()), ("502", 0), "{answer}");
}

#[tokio::test]
async fn what_a_hop_further_in_repeated_is_not_repeated_here() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nX-Should-Retry: false\r\nContent-Length: 0\r\n\r\n";
    let (one, other) = (says(busy).await, says(busy).await);
    let edge = edge_with(EdgePolicy::default(), &[&one, &other]).await;
    for _ in 0..4 {
        let answer = edge.ask(&with("")).await;
        assert_eq!((status(&answer), field(&answer, "x-should-retry")), ("503", vec!["false"]), "{answer}");
    }
    let seen = edge.server.look();
    let asked = |backend: &Backend| seen.answered[&id(backend.address)].failed;
    assert_eq!(asked(&one) + asked(&other), 4, "each was asked of one instance");
    let pools = edge.server.status().pools;
    assert!(pools[0].endpoints.iter().all(|one| one.spared == 0 && one.retried == 0), "{pools:?}");
}

/// Answers nothing while `hung` holds, and everything after that.
async fn hanging(hung: Arc<AtomicUsize>) -> Backend {
    Backend::new(move |mut stream, _| {
        let hung = hung.clone();
        async move {
            while next_head(&mut stream).await.is_some() {
                if hung.load(Ordering::SeqCst) == 1 {
                    // The connection stays, and says nothing.
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await
}

/// How many of so many requests at once got which answer: its status, and its code if the edge answered.
async fn tally(edge: &TestEdge, count: usize, fields: &'static str) -> BTreeMap<String, usize> {
    let address = edge.http;
    let asked: Vec<_> =
        (0..count).map(|_| tokio::spawn(async move { ask(address, &with(fields)).await })).collect();
    let mut counts = BTreeMap::new();
    for one in asked {
        let answer = one.await.expect("an answer");
        assert_eq!(status(&answer) == "503", !field(&answer, "retry-after").is_empty(), "{answer}");
        let code = field(&answer, "x-sea-refused").first().map_or(String::new(), |code| format!(" {code}"));
        *counts.entry(format!("{}{code}", status(&answer))).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_service_that_hangs_is_spared_and_found_again() {
    let hung = Arc::new(AtomicUsize::new(1));
    let backend = hanging(hung.clone()).await;
    let policy = EdgePolicy { first_byte: Some(Duration::from_millis(50)), ..EdgePolicy::default() };
    let edge = edge_with(policy, &[&backend]).await;
    // Both threads have seen enough when all are refused at once.
    let spared = async {
        loop {
            let counts = tally(&edge, 40, "").await;
            assert_eq!(counts.keys().filter(|key| !key.starts_with("50")).count(), 0, "{counts:?}");
            if counts.get("503 breaker") == Some(&40) {
                break;
            }
        }
    };
    tokio::time::timeout(LONG, spared).await.expect("the breaker opens");

    // Whoever only looks makes no trial call: it stays so for ever.
    let told = explained(&edge).await;
    assert!(told.starts_with("open for "), "{told}");
    let over = async { while explained(&edge).await != "open until the next call, which is a trial" {} };
    tokio::time::timeout(LONG, over).await.expect("its rest ends");
    assert_eq!(explained(&edge).await, "open until the next call, which is a trial");

    hung.store(0, Ordering::SeqCst);
    let found = async {
        while tally(&edge, 40, "").await.get("200") != Some(&40) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, found).await.expect("the breaker closes");
    assert_eq!(explained(&edge).await, "closed");
}

/// What is said of the breaker.
async fn explained(edge: &TestEdge) -> String {
    edge.explained(("GET", "a/"), &[], "breaker").await
}

#[tokio::test]
async fn a_service_may_want_no_breaker() {
    let backend = hanging(Arc::new(AtomicUsize::new(1))).await;
    let policy = EdgePolicy {
        first_byte: Some(Duration::from_millis(20)),
        breaker: Breaking::Off,
        ..EdgePolicy::default()
    };
    let edge = edge_with(policy, &[&backend]).await;
    for _ in 0..3 {
        assert_eq!(tally(&edge, 40, "").await, BTreeMap::from([("504 slow-answer".into(), 40)]));
    }
}

#[tokio::test]
async fn clients_in_a_hurry_have_nobody_judged() {
    let backend = hanging(Arc::new(AtomicUsize::new(1))).await;
    let other = Backend::plain("other").await;
    let edge = edge_with(EdgePolicy::default(), &[&backend, &other]).await;
    for _ in 0..3 {
        let counts = tally(&edge, 60, "x-timeout-ms: 30\r\n").await;
        assert!(counts.keys().all(|key| key == "504 slow-answer" || key == "200"), "{counts:?}");
        assert!(counts.contains_key("504 slow-answer"), "{counts:?}");
    }
    let pools = edge.server.status().pools;
    assert!(pools[0].endpoints.iter().all(|one| one.answered.lost == 0 && one.ejected == 0), "{pools:?}");
}
