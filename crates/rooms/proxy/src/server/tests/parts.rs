//! Parts of what is kept.

use base::{Clock, SystemClock, Timestamp};
use resilience::http_date;
use spec::Caching;

use super::cached::{Origin, caching};
use super::streams::{Talk, request, whole};
use super::*;

/// An instance that knows nothing of ranges: ten bytes with these lines.
async fn ten(lines: &'static str) -> Origin {
    Origin::new(move |_, _| {
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{lines}Content-Length: 10\r\n\r\n0123456789")
    })
    .await
}

/// The status, the value of `Content-Range` and the body of an answer.
fn told(answer: &str) -> (&str, &str, &str) {
    let range = answer.lines().find_map(|line| line.strip_prefix("content-range: ")).unwrap_or_default();
    (status(answer), range, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body))
}

#[tokio::test]
async fn a_part_of_what_is_kept_is_given_without_asking_the_instance() {
    let origin = ten("ETag: \"v1\"\r\nContent-Type: text/plain\r\n").await;
    let edge = caching(&origin, Caching::default()).await;
    edge.fetch("/", "").await;
    for (range, wanted) in [
        ("bytes=2-4", ("206", "bytes 2-4/10", "234")),
        ("bytes=7-", ("206", "bytes 7-9/10", "789")),
        ("bytes=-3", ("206", "bytes 7-9/10", "789")),
        ("bytes=0-99", ("206", "bytes 0-9/10", "0123456789")),
        ("bytes=10-", ("416", "bytes */10", "")),
        ("bytes=-0", ("416", "bytes */10", "")),
        // Several at once, and what cannot be read, bring all of it.
        ("bytes=0-1,3-4", ("200", "", "0123456789")),
        ("bytes=4-2", ("200", "", "0123456789")),
        ("lines=1-2", ("200", "", "0123456789")),
    ] {
        let lines: &'static str = format!("Range: {range}\r\n").leak();
        let answer = edge.fetch("/", lines).await;
        assert_eq!(told(&answer), wanted, "{range}");
        assert!(answer.contains("cache-status: sea; hit"), "{answer}");
        let is_part = wanted.0 == "206";
        assert!(!is_part || answer.contains("ETag: \"v1\"\r\n") && answer.contains("\r\nage: "), "{answer}");
        assert_eq!(wanted.0 == "416", !answer.contains("Content-Type: "), "{answer}");
    }
    let head =
        edge.ask("HEAD / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nRange: bytes=0-1\r\n\r\n").await;
    assert!(status(&head) == "200" && head.contains("content-length: 10\r\n"), "{head}");
    let mut talk = Talk::to(&edge).await;
    let mut asked = request("GET", "/");
    asked.headers_mut().insert("range", "bytes=1-2".parse().expect("a value"));
    let (answer, _) = talk.begin(asked, true).await;
    let (head, body) = whole(answer).await;
    assert_eq!((head.status().as_u16(), &*body), (206, "12"));
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn a_part_is_given_only_of_the_answer_that_the_client_has() {
    let origin = ten("ETag: \"v1\"\r\n").await;
    let edge = caching(&origin, Caching::default()).await;
    edge.fetch("/", "").await;
    for (condition, wanted) in [
        ("If-Range: \"v1\"", "206"),
        ("If-Range: \"v2\"", "200"),
        ("If-Range: W/\"v1\"", "200"),
        ("If-None-Match: \"v1\"", "304"),
        ("If-None-Match: \"v2\"", "206"),
    ] {
        let lines: &'static str = format!("Range: bytes=0-1\r\n{condition}\r\n").leak();
        assert_eq!(status(&edge.fetch("/", lines).await), wanted, "{condition}");
    }
    // A date is proof only where the answer is older than that.
    let now = SystemClock.wall().secs();
    let date = |ago: i64| http_date::write(Timestamp::from_secs(now - ago));
    for (given, modified, asked, wanted) in [
        (0, Some(1), 1, "206"),
        (0, Some(1), 0, "200"),
        (0, Some(1), 2, "200"),
        (1, Some(1), 1, "200"),
        (0, None, 1, "200"),
    ] {
        let modified = modified.map_or_else(String::new, |ago| format!("Last-Modified: {}\r\n", date(ago)));
        let lines: &'static str = format!("Date: {}\r\n{modified}", date(given)).leak();
        let origin = ten(lines).await;
        let edge = caching(&origin, Caching::default()).await;
        edge.fetch("/", "").await;
        let asked: &'static str = format!("Range: bytes=0-1\r\nIf-Range: {}\r\n", date(asked)).leak();
        let answer = edge.fetch("/", asked).await;
        assert_eq!((status(&answer), origin.asked()), (wanted, 1), "{asked}{answer}");
    }
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn who_wants_a_part_of_what_is_not_kept_asks_for_himself_and_renews_all_of_what_is_stale() {
    let origin = Origin::new(|head, number| {
        let part = head.contains("Range: ");
        let (line, size) =
            if part { ("206 Partial Content\r\ncontent-range: bytes 0-0/10", 1) } else { ("200 OK", 10) };
        let kept = "Cache-Control: max-age=0, stale-while-revalidate=600";
        format!("HTTP/1.1 {line}\r\n{kept}\r\nContent-Length: {size}\r\n\r\n{:0>size$}", number % 10)
    })
    .await;
    let edge = caching(&origin, Caching::default()).await;
    let range = "Range: bytes=0-0\r\n";
    let alone = edge.fetch("/", range).await;
    assert_eq!(told(&alone), ("206", "bytes 0-0/10", "0"));
    assert!(alone.contains("cache-status: sea; fwd=bypass; detail=range\r\n"), "{alone}");
    assert_eq!(edge.sums().answers, 0, "a part is not kept");
    edge.fetch("/", "").await;
    until(|| edge.sums().answers == 1).await;
    // What is stale goes out in part, and all of it is fetched anew.
    let stale = edge.fetch("/", "Range: bytes=9-\r\n").await;
    assert_eq!(told(&stale), ("206", "bytes 9-9/10", "1"));
    until(|| origin.asked() == 3).await;
    assert!(!origin.last_head().contains("Range"), "{}", origin.last_head());
    until(|| edge.sums().fetches == 0).await;
    let renewed = edge.fetch("/", "Range: bytes=9-\r\n").await;
    assert_eq!(told(&renewed), ("206", "bytes 9-9/10", "2"));
}
