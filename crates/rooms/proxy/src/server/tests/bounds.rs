//! What services ask of the edge: times, retries, bodies, limits and rates.

use base::Bytes;
use spec::{EdgePolicy, Limit, Rate, RateKey};

use super::*;

/// An edge that sends everything to these, as a service wants it.
async fn edge(policy: EdgePolicy, backends: &[&Backend]) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    let addresses: Vec<_> = backends.iter().map(|b| b.address).collect();
    let mut share = share(&addresses, &[]);
    share.pools.values_mut().for_each(|pool| pool.policy = policy.clone());
    edge.apply(share).await;
    edge
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended_at_its_time() {
    let (_go, backend) = Backend::gated().await;
    let short = Some(Duration::from_millis(50));
    for policy in [
        EdgePolicy { request: short, ..EdgePolicy::default() },
        EdgePolicy { first_byte: short, ..EdgePolicy::default() },
    ] {
        let edge = edge(policy, &[&backend]).await;
        let answer = edge.ask(&get("/")).await;
        assert!(answer.contains("x-sea-refused: slow-answer"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_cut_is_sent_again_as_often_as_the_service_says() {
    let cut = Backend::new(|mut stream, _| async move { drop(next_head(&mut stream).await) }).await;
    for retries in [0, 1, 4] {
        let edge = edge(EdgePolicy { retries: Some(retries), ..EdgePolicy::default() }, &[&cut]).await;
        let before = cut.connections();
        assert_eq!(status(&edge.ask(&get("/")).await), "502");
        assert_eq!(cut.connections() - before, retries as usize + 1);
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let plain = Backend::plain("a").await;
    let edge = edge(EdgePolicy { max_body: Some(Bytes(8)), ..EdgePolicy::default() }, &[&plain]).await;
    let post = |framing: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n{body}")
    };
    assert_eq!(status(&edge.ask(&post("Content-Length: 8", "12345678")).await), "200");
    for (framing, body) in [
        ("Content-Length: 9", "123456789"),
        ("Transfer-Encoding: chunked", "5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n"),
    ] {
        let answer = edge.ask(&post(framing, body)).await;
        assert!(answer.contains("x-sea-refused: body-size"), "{framing}: {answer}");
    }
}

#[tokio::test]
async fn a_service_gets_as_many_at_once_as_it_says() {
    let (go, backend) = Backend::gated().await;
    let limit = Limit { requests: Some(2), queue: 1, wait: LONG };
    let edge = edge(EdgePolicy { limit: Some(limit), ..EdgePolicy::default() }, &[&backend]).await;
    let http = edge.http;
    let ask = || tokio::spawn(async move { ask(http, &get("/")).await });
    let mut waiting = vec![ask(), ask()];
    until(|| edge.in_flight(&backend) == 2).await;
    // Of two more one waits for its turn, and the other is refused at once.
    let (mut third, mut fourth) = (ask(), ask());
    let refused = tokio::select! {
        answer = &mut third => { waiting.push(fourth); answer }
        answer = &mut fourth => { waiting.push(third); answer }
    };
    let refused = refused.expect("an answer");
    assert!(
        refused.starts_with("HTTP/1.1 503") && refused.contains("x-sea-refused: overloaded"),
        "{refused}"
    );
    assert_eq!(edge.in_flight(&backend), 2);
    go.send(true).expect("the instance waits");
    let mut done = 0;
    for answer in waiting {
        done += usize::from(body(&answer.await.expect("an answer")) == "done");
    }
    // The third may have stood for too long when its turn came.
    assert!(done >= 2, "{done}");
    assert_eq!(body(&super::ask(http, &get("/")).await), "done");
}

#[tokio::test]
async fn clients_are_held_to_their_rate_and_keep_their_connections() {
    let plain = Backend::plain("a").await;
    let by = RateKey::Header("x-key".into());
    let rate = Rate { requests: 1, per: Duration::from_secs(600), burst: 2, by };
    let mut edge = edge(EdgePolicy { rate: Some(rate), ..EdgePolicy::default() }, &[&plain]).await;
    let mut stream = edge.connect().await;
    let mut statuses = String::new();
    for key in ["k", "k", "k", "m"] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the edge reads");
        let head = head(&mut stream).await;
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        stream.read_exact(&mut body).await.expect("a body");
        statuses.push_str(status(&head));
        statuses.push(' ');
        if status(&head) == "429" {
            assert!(head.contains("x-sea-refused: rate") && head.contains("retry-after: "), "{head}");
        }
    }
    assert_eq!(statuses, "200 200 429 200 ");
    // A change of instances is no new allowance.
    let other = Backend::plain("b").await;
    let mut share = share(&[other.address], &[]);
    share.pools.values_mut().for_each(|pool| pool.policy = edge.policy());
    edge.apply(share).await;
    let answer = edge.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), "429");
}
