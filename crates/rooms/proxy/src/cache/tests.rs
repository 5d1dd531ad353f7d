//! Parts of the cache by themselves: what goes through a pipe, and what becomes of heads.

use std::future::poll_fn;
use std::task::Poll;

use base::Timestamp;
use resilience::freshness::{Answer, Received, Request};
use tokio::io::ReadBuf;

use super::kept::Draft;
use super::pipe::Pipe;
use super::*;
use crate::head::response;

const LINES: &str = "ETag: \"v1\"\r\nContent-Type: text/plain\r\nAge: 5\r\nVary: Accept\r\n";

/// An answer that came at second 100, with these lines.
fn kept(lines: &str, wire: &[u8]) -> Option<Kept> {
    let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    let mut fields = Vec::new();
    let read = response::parse(head.as_bytes(), &mut fields).expect("a head");
    let answer = Answer { cache_control: Some(b"max-age=60"), etag: Some(b"\"v1\""), ..Answer::status(200) };
    let now = Instant::from_secs(100);
    let received = Received { asked: now, now, wall: Timestamp::from_secs(0) };
    let entry = Entry::of(&Rules::default(), &Request::get(), &answer, received).expect("it may be kept");
    let keys = (Vary::default(), b"key".to_vec());
    Draft::of((&read, &fields, head.as_bytes()), keys, Some(entry)).with(wire)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_kept_answer_is_told_with_its_age_and_its_length_and_without_what_one_connection_said() {
    let lines = format!("{LINES}Connection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n");
    let kept = kept(&lines, b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: 1\r\n\r\n").expect("a whole body");
    let now = Instant::from_secs(107);
    assert_eq!(
        text(&kept.head(now)),
        "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Type: text/plain\r\nVary: Accept\r\nage: 7\r\ncontent-length: 5\r\n\r\n"
    );
    assert_eq!((&kept.body[..], kept.ttl(now)), (&b"abcde"[..], Some(53)));
    assert_eq!(
        text(&kept.held_head(now)),
        "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nVary: Accept\r\nage: 7\r\n\r\n"
    );
}

#[test]
fn a_body_that_was_cut_is_not_kept() {
    let lines = format!("{LINES}Transfer-Encoding: chunked\r\n");
    for wire in [&b"3\r\nab"[..], b"3\r\nabc\r\n", b"x\r\n"] {
        assert!(kept(&lines, wire).is_none(), "{}", text(wire));
    }
}

#[test]
fn the_fields_of_a_confirmation_take_the_place_of_those_before() {
    let before = kept(&format!("{LINES}X-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n"), b"ab").expect("whole");
    let head = b"HTTP/1.1 304 Not Modified\r\nX-A: 3\r\nDate: now\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n";
    let mut fields = Vec::new();
    response::parse(head, &mut fields).expect("a head");
    let renewed = before.renewed((&fields, head), before.entry.clone());
    let head = text(&renewed.head(Instant::from_secs(100)));
    assert!(head.contains("X-A: 3\r\n") && !head.contains("X-A: 1") && !head.contains("x-a: 2"), "{head}");
    assert!(head.contains("Date: now\r\n") && head.contains("Content-Type: text/plain\r\n"), "{head}");
    assert!(head.contains("content-length: 2\r\n") && !head.contains("html"), "{head}");
}

#[tokio::test]
async fn a_pipe_holds_back_who_writes_unless_all_of_it_is_kept() {
    let pipe = Pipe::new(true);
    let mut outlet = Outlet::pipe(pipe.clone());
    let write = |bytes: Vec<u8>| {
        let pipe = pipe.clone();
        async move { poll_fn(|cx| pipe.borrow_mut().poll_write(cx, &bytes)).await }
    };
    pipe.borrow_mut().keep = true;
    assert_eq!(write(vec![1; 200_000]).await.expect("room"), 200_000);
    let mut block = vec![0; 150_000];
    poll_fn(|cx| outlet.poll_read(cx, &mut ReadBuf::new(&mut block))).await.expect("bytes");
    assert_eq!(pipe.borrow().bytes.len(), 200_000, "what was read is still there");
    pipe.borrow_mut().let_go();
    assert_eq!(pipe.borrow().bytes.len(), 50_000);
    assert_eq!(write(vec![2; 200_000]).await.expect("room"), 65_536 - 50_000);
    let full = poll_fn(|cx| Poll::Ready(pipe.borrow_mut().poll_write(cx, b"more").is_pending())).await;
    assert!(full, "it waits for the reader");
    drop(outlet);
    assert!(write(vec![3]).await.is_err(), "nobody reads it");
}
