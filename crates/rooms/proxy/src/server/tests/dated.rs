//! Each answer says when it was given, once.

use base::{Clock, SystemClock};
use resilience::http_date;

use super::*;

/// The dates of an answer to this request.
async fn dates(edge: &TestEdge, request: &str) -> Vec<String> {
    let mut stream = edge.connect().await;
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    let mut text = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut text)).await.expect("in time").expect("an end");
    let text = String::from_utf8_lossy(&text).into_owned();
    let is_date = |line: &&str| line.to_ascii_lowercase().starts_with("date: ");
    text.lines().filter(is_date).map(|line| line[6..].to_owned()).collect()
}

#[tokio::test]
async fn an_answer_without_a_date_gets_one_and_no_other_does() {
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let backend = Backend::new(|mut stream, _| async move {
        while let Some(head) = next_head(&mut stream).await {
            let dated = if head.contains(" /dated") { format!("Date: {THEN}\r\n") } else { String::new() };
            let early = if head.contains(" /early") { "HTTP/1.1 103 Early Hints\r\n\r\n" } else { "" };
            let answer = format!("{early}HTTP/1.1 200 OK\r\n{dated}Content-Length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes()).await.expect("the edge reads");
        }
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let before = SystemClock.wall().secs();
    assert_eq!(dates(&edge, &get("/dated")).await, [THEN]);
    for request in [get("/plain"), get("/early"), "GET / HTTP/1.1\r\n\r\n".to_owned()] {
        let said = dates(&edge, &request).await;
        let [said] = &said[..] else { panic!("{said:?} to {request:?}") };
        let now = SystemClock.wall();
        let at = http_date::parse(said.as_bytes(), now).unwrap_or_else(|| panic!("{said} is a date"));
        // The thread looks at the clock once a tick.
        assert!((before - 1..=now.secs()).contains(&at.secs()), "{said} to {request:?}");
    }
}
