//! Instances that ask to be spared, or that fail, and who gets their requests. The edge has two threads here, and each
//! learns for itself.

use super::*;
use crate::status::EndpointStatus;

/// Answers every request with these bytes.
async fn saying(answer: &'static str) -> Backend {
    Backend::new(move |mut stream, _| async move {
        while next_head(&mut stream).await.is_some() {
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

const BUSY: &str = "HTTP/1.1 503 Busy\r\nRetry-After: 20\r\nContent-Length: 4\r\n\r\nbusy";
const LAST: &str = "HTTP/1.1 200 OK\r\nX-Sea-Not-Now: 20\r\nContent-Length: 4\r\n\r\nlast";

fn status_of(edge: &TestEdge, backend: &Backend) -> EndpointStatus {
    let pools = edge.server.status().pools;
    let found = pools.iter().flat_map(|pool| &pool.endpoints).find(|e| e.address == backend.address);
    found.expect("it is in the table").clone()
}

#[tokio::test]
async fn what_a_busy_instance_refuses_another_answers() {
    let (busy, other) = (saying(BUSY).await, Backend::plain("other").await);
    let edge = TestEdge::to(quick(), &[&busy, &other]).await;
    for _ in 0..20 {
        assert!(edge.ask(&get("/")).await.ends_with("other / "));
    }
    let spared = status_of(&edge, &busy).spared;
    assert!((1..=2).contains(&spared), "asked {spared} times, and spared from then on");
    assert_eq!(status_of(&edge, &busy).answered.lost, 0);
}

#[tokio::test]
async fn a_request_that_may_not_be_sent_twice_gets_the_busy_answer() {
    let (busy, other) = (saying(BUSY).await, Backend::plain("other").await);
    let edge = TestEdge::to(quick(), &[&busy, &other]).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let mut busy_ones = 0;
    for _ in 0..10 {
        let answer = edge.ask(post).await;
        let refused = status(&answer) == "503";
        assert_eq!(refused, answer.to_lowercase().contains("retry-after: 20"), "{answer}");
        busy_ones += usize::from(refused);
    }
    assert!((1..=2).contains(&busy_ones), "{busy_ones}");
}

#[tokio::test]
async fn a_service_that_is_alone_answers_for_itself() {
    let busy = saying(BUSY).await;
    let edge = TestEdge::to(quick(), &[&busy]).await;
    for _ in 0..3 {
        assert_eq!(body(&edge.ask(&get("/")).await), "busy");
    }
}

#[tokio::test]
async fn when_all_take_nothing_more_the_edge_says_so_at_once() {
    let last = saying(LAST).await;
    let edge = TestEdge::to(quick(), &[&last]).await;
    let mut answer = edge.ask(&get("/")).await;
    for _ in 0..20 {
        if !answer.contains("x-sea-refused") {
            assert_eq!(body(&answer), "last");
            assert!(!answer.to_lowercase().contains("x-sea-not-now"), "{answer}");
            answer = edge.ask(&get("/")).await;
        }
    }
    assert!(answer.contains("x-sea-refused: not-now"), "{answer}");
    let after = answer.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let after: u32 = after.and_then(|secs| secs.parse().ok()).expect("a time to come back at");
    assert!((20..=26).contains(&after), "{after}");
}

#[tokio::test]
async fn an_instance_that_fails_is_ejected_and_the_others_answer() {
    let broken = saying("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n").await;
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let edge = TestEdge::to(quick(), &[&broken, &one, &two]).await;
    let mut failures = 0;
    for _ in 0..100 {
        failures += usize::from(status(&edge.ask(&get("/")).await) == "500");
    }
    assert!(failures <= 10, "{failures} failures");
}
