//! What the edge tells: counts by route and reason, lines of its log in their formats, and traces.

use spec::EdgePolicy;

use super::*;
use crate::limits::LogFormat;

/// Answers with the trace context that it got.
async fn traced() -> Backend {
    Backend::new(|mut stream, _| async move {
        while let Some(head) = next_head(&mut stream).await {
            let contexts: Vec<_> =
                head.lines().filter_map(|line| line.strip_prefix("traceparent: ")).collect();
            let told = contexts.join(",");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{told}", told.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn lines(edge: &TestEdge, count: usize) -> Vec<String> {
    let path = edge._folder.path().join("access.log");
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    until(|| read().lines().count() == count).await;
    read().lines().map(str::to_owned).collect()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

#[tokio::test]
async fn answers_are_counted_by_route_and_refusals_by_reason() {
    let backend = Backend::plain("one").await;
    let mut edge = TestEdge::to(quick(), &[&backend]).await;
    edge.ask(&get("/a")).await;
    edge.ask(&get("/b")).await;
    edge.ask("GET / HTTP/1.1\r\n\r\n").await;
    edge.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n").await;
    edge.ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n").await;
    let told = |edge: &TestEdge| {
        let status = edge.server.status();
        let refused = status.refused.iter().map(|one| (one.pool.is_some(), one.reason.clone(), one.count));
        (status.rules[0].answers.clone(), refused.collect::<Vec<_>>())
    };
    let (answers, refused) = told(&edge);
    assert_eq!(answers.classes, [0, 2, 0, 1, 0, 0], "the bad chunk had a route");
    assert_eq!(answers.times.iter().sum::<u64>(), 3);
    let wanted = [(false, "expectation", 1), (false, "host-missing", 1), (true, "chunk", 1)];
    assert_eq!(refused, wanted.map(|(pool, reason, count)| (pool, reason.to_owned(), count)));
    edge.send_to(&[&backend]).await;
    assert_eq!(told(&edge), (answers, refused), "they go on over a change of the table");
    edge.apply(RouteShare::default()).await;
    assert_eq!(edge.server.status().refused.len(), 2, "pools that are gone are forgotten");
}

#[tokio::test]
async fn the_log_has_the_formats_that_web_servers_have() {
    let backend = Backend::plain("one").await;
    for (format, behind) in [
        (LogFormat::Common, ""),
        (LogFormat::Combined, " \"http://x/\\\"y\\\"\" \"curl/8 \\xc3\\xa4\\x09z\""),
    ] {
        let edge = TestEdge::to(Settings { access_log: format, ..quick() }, &[&backend]).await;
        let fields = "Referer: http://x/\"y\"\r\nUser-Agent: curl/8 ä\tz\r\n";
        edge.ask(&format!("GET /a\"b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")).await;
        edge.ask("nonsense\r\n\r\n").await;
        let mut lines = lines(&edge, 2).await;
        lines.sort_by_key(|line| line.contains("] \"-\""));
        let (client, rest) = lines[0].split_once(" - - [").expect("a client");
        let (time, rest) = rest.split_once("] ").expect("a time");
        assert_eq!((client, time.len()), ("127.0.0.1", 26), "{}", lines[0]);
        assert!(time.ends_with(" +0000") && time.as_bytes()[2] == b'/' && time.as_bytes()[11] == b':');
        let sent = "one /a\"b ".len();
        assert_eq!(rest, format!("\"GET /a\\\"b HTTP/1.1\" 200 {sent}{behind}"));
        assert!(lines[1].contains("] \"-\" 400 "), "{}", lines[1]);
    }
}

#[tokio::test]
async fn traces_go_on_and_are_begun_where_a_service_asks_for_it() {
    const CONTEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let backend = traced().await;
    let mut edge = TestEdge::to(quick(), &[&backend]).await;
    assert_eq!(body(&edge.ask(&get("/")).await), "", "nobody asked for it");
    let with = |context: &str| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTraceparent: {context}\r\n\r\n")
    };
    let mut share = share(&[backend.address], &[]);
    share.pools.get_mut("web").expect("a pool").policy =
        EdgePolicy { trace: Some(1_000_000), ..EdgePolicy::default() };
    edge.apply(share).await;
    let begun = edge.ask(&get("/")).await;
    let begun = body(&begun);
    assert!(begun.starts_with("00-") && begun.ends_with("-01") && begun.len() == 55, "{begun}");
    assert_eq!(edge.ask(&with(CONTEXT)).await.matches(CONTEXT).count(), 0, "the name is the client's own");
    let told = edge.ask(&with(CONTEXT).replace("Traceparent", "traceparent")).await;
    assert_eq!(body(&told), CONTEXT);
    let lines = lines(&edge, 4).await;
    let trace = |line: &str| line.split_once("\"trace\":\"").map(|(_, rest)| rest[..32].to_owned());
    // Two threads write, each in its own time.
    let mut ids: Vec<_> = lines.iter().map(|line| trace(line)).collect();
    ids.sort();
    let known = Some(CONTEXT[3..35].to_owned());
    let mut wanted = [None, Some(begun[3..35].to_owned()), known.clone(), known];
    wanted.sort();
    assert_eq!(ids, wanted);
}
