//! Files that the edge serves itself, over real sockets.

use base::Timestamp;
use spec::{FileEntry, FileTree, Files, Missing};

use super::streams::{Talk, request, whole};
use super::*;
use crate::files::FileStore;

/// Longer than what sockets hold, so that it goes in many pieces.
const LONG_BYTES: usize = 9 << 20;

fn long() -> Vec<u8> {
    (0..LONG_BYTES).map(|at| (at / 7 % 251) as u8).collect()
}

/// Takes up a folder with these files, and gives what it is called.
fn take_up(edge: &TestEdge, files: &[(&str, &[u8])]) -> String {
    let store = FileStore::at(edge._folder.path());
    let mut list = FileTree::default();
    for (path, bytes) in files {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let sha256 = data_encoding::HEXLOWER.encode(digest.as_ref());
        store.receive(&sha256, *bytes).expect("taken up");
        let entry = FileEntry { sha256, size: bytes.len() as u64, modified: 784_111_777 };
        list.files.insert((*path).into(), entry);
    }
    let (tree, missing) = store.register(&list).expect("a good list");
    assert!(missing.is_empty());
    tree
}

/// An edge to this backend, with a folder at `/s`.
async fn edge(backend: &Backend, missing: Missing, files: &[(&str, &[u8])]) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    let tree = take_up(&edge, files);
    let mut share = share(&[backend.address], &[]);
    let files = Files {
        path: PathPrefix("/s".into()),
        folder: String::new(),
        tree,
        missing,
        cache: Some("max-age=60".into()),
    };
    share.pools.values_mut().for_each(|pool| pool.policy.files = vec![files.clone()]);
    edge.apply(share).await;
    edge
}

const SITE: &[(&str, &[u8])] = &[
    ("index.html", b"<h1>Home</h1>"),
    ("a.txt", b"0123456789"),
    ("empty", b""),
    ("docs/index.html", b"docs"),
];

/// One request over a connection that stays, and its head and body.
async fn over(stream: &mut TcpStream, method: &str, path: &str, fields: &str) -> (String, Vec<u8>) {
    let asked = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    stream.write_all(asked.as_bytes()).await.expect("the edge reads");
    let head = head(stream).await;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let none = method == "HEAD" || head.starts_with("HTTP/1.1 304");
    let mut body = vec![0; if none { 0 } else { length.unwrap_or(0) }];
    tokio::time::timeout(LONG, stream.read_exact(&mut body)).await.expect("in time").expect("a whole body");
    (head, body)
}

#[tokio::test]
async fn a_file_is_served_with_all_that_a_client_may_ask_of_it() {
    let backend = Backend::plain("app").await;
    let edge = edge(&backend, Missing::App, SITE).await;
    let mut stream = edge.connect().await;
    let (head, body) = over(&mut stream, "GET", "/s/a.txt", "").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body == b"0123456789", "{head}");
    let says = |head: &str, line: &str| head.contains(&format!("\r\n{line}\r\n"));
    for line in [
        "content-type: text/plain; charset=utf-8",
        "content-length: 10",
        "accept-ranges: bytes",
        "cache-control: max-age=60",
        "last-modified: Sun, 06 Nov 1994 08:49:37 GMT",
    ] {
        assert!(says(&head, line), "{line}: {head}");
    }
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
    let (head, body) = over(&mut stream, "HEAD", "/s/a.txt", "").await;
    assert!(says(&head, "content-length: 10") && body.is_empty(), "{head}");
    let (head, body) = over(&mut stream, "GET", "/s/a.txt", &format!("If-None-Match: {etag}\r\n")).await;
    assert!(
        head.starts_with("HTTP/1.1 304 ") && body.is_empty() && !head.contains("content-length"),
        "{head}"
    );
    let ranged = format!("Range: bytes=2-4\r\nIf-Range: {etag}\r\n");
    let (head, body) = over(&mut stream, "GET", "/s/a.txt", &ranged).await;
    assert!(head.starts_with("HTTP/1.1 206 ") && body == b"234", "{head}");
    assert!(says(&head, "content-range: bytes 2-4/10"), "{head}");
    let (head, body) = over(&mut stream, "GET", "/s/a.txt", "Range: bytes=10-\r\n").await;
    assert!(head.starts_with("HTTP/1.1 416 ") && says(&head, "content-range: bytes */10"), "{head}");
    assert!(body.is_empty());
    let (head, _) = over(&mut stream, "GET", "/s/a.txt", "If-Match: \"x\"\r\n").await;
    assert!(head.starts_with("HTTP/1.1 412 "), "{head}");
    let (head, body) = over(&mut stream, "GET", "/s/empty", "").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}");
    let (head, body) = over(&mut stream, "GET", "/s/", "").await;
    assert!(says(&head, "content-type: text/html; charset=utf-8") && body == b"<h1>Home</h1>", "{head}");
    let (head, _) = over(&mut stream, "GET", "/s/docs?a", "").await;
    assert!(head.starts_with("HTTP/1.1 307 ") && says(&head, "location: /s/docs/?a"), "{head}");
    assert!(says(&head, "x-sea-refused: folder"), "{head}");
    assert_eq!(backend.connections(), 0, "nobody else was asked");
    // What is not there, and what is not at the folder's path, is the service's.
    assert_eq!(over(&mut stream, "GET", "/s/none", "").await.1, b"app /s/none ");
    assert_eq!(over(&mut stream, "GET", "/a.txt", "").await.1, b"app /a.txt ");
    let posted = over(&mut stream, "POST", "/s/a.txt", "Content-Length: 0\r\n").await.1;
    assert_eq!(posted, b"app /s/a.txt ");
    assert_eq!(edge.server.status().pools[0].files, 8);
}

#[tokio::test]
async fn what_is_missing_may_be_nobodys() {
    let backend = Backend::plain("app").await;
    let edge = edge(&backend, Missing::NotFound, SITE).await;
    let answer = edge.ask(&get("/s/none")).await;
    assert!(status(&answer) == "404" && answer.contains("x-sea-refused: no-file\r\n"), "{answer}");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_front_page_is_shown_for_every_page_of_an_app_in_the_browser() {
    let backend = Backend::plain("app").await;
    let edge = edge(&backend, Missing::Index, SITE).await;
    let page = get("/s/cart/7").replace("Host: a", "Host: a\r\nAccept: text/html");
    let answer = edge.ask(&page).await;
    assert_eq!((status(&answer), body(&answer)), ("200", "<h1>Home</h1>"));
    assert_eq!(status(&edge.ask(&get("/s/cart/7.js")).await), "404");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_long_file_goes_in_pieces_to_slow_and_quick_clients() {
    let backend = Backend::plain("app").await;
    let bytes = long();
    let edge = edge(&backend, Missing::App, &[("long.bin", &bytes), ("a.txt", b"short")]).await;
    let mut stream = edge.connect().await;
    for _ in 0..2 {
        let (head, body) = over(&mut stream, "GET", "/s/long.bin", "").await;
        assert!(head.contains("content-type: application/octet-stream\r\n") && body == bytes, "{head}");
    }
    let (_, body) = over(&mut stream, "GET", "/s/long.bin", "Range: bytes=65530-9000000\r\n").await;
    assert!(body == bytes[65_530..=9_000_000]);
    // The next answer follows on the same connection.
    assert_eq!(over(&mut stream, "GET", "/s/a.txt", "").await.1, b"short");
    // A client that goes within it breaks nothing for others.
    let mut gone = edge.connect().await;
    gone.write_all(b"GET /s/long.bin HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    head(&mut gone).await;
    drop(gone);
    let mut talk = Talk::to(&edge).await;
    let (answer, _) = talk.begin(request("GET", "/s/long.bin"), true).await;
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.headers()["content-length"], LONG_BYTES.to_string());
    let (mut body, mut got) = (answer.into_body(), Vec::new());
    while let Some(piece) = body.data().await {
        let piece = piece.expect("bytes");
        body.flow_control().release_capacity(piece.len()).expect("room again");
        got.extend_from_slice(&piece);
    }
    assert!(got == bytes);
    let (answer, _) = talk.begin(request("GET", "/s/a.txt"), true).await;
    assert_eq!(whole(answer).await.1, "short");
}

#[tokio::test]
async fn files_are_served_while_no_instance_is_there_and_another_table_brings_others() {
    let backend = Backend::plain("app").await;
    let mut edge = edge(&backend, Missing::App, SITE).await;
    let mut share = edge.server.document.shares["shop"].clone();
    share.pools.values_mut().for_each(|pool| pool.endpoints.clear());
    edge.apply(share.clone()).await;
    assert_eq!(body(&edge.ask(&get("/s/a.txt")).await), "0123456789");
    let tree = take_up(&edge, &[("a.txt", b"new")]);
    let before = share.clone();
    share.pools.values_mut().for_each(|pool| pool.policy.files[0].tree.clone_from(&tree));
    edge.apply(share).await;
    assert_eq!(body(&edge.ask(&get("/s/a.txt")).await), "new");
    edge.apply(before).await;
    assert_eq!(body(&edge.ask(&get("/s/a.txt")).await), "0123456789", "a rollback brings them back");
    let kept = std::collections::BTreeSet::from([tree]);
    let much_later = Timestamp::from_secs(4_000_000_000);
    FileStore::at(edge._folder.path()).sweep(&kept, much_later).expect("swept");
    assert_eq!(body(&edge.ask(&get("/s/a.txt")).await).trim_end(), "There is no such file.");
}
