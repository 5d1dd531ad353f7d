//! Which file a path means, and what becomes of those that mean none.

use std::collections::HashMap;
use std::path::PathBuf;

use spec::{Files, PathPrefix};

use super::*;
use crate::head::request;

/// A folder at `/s` with some files, of sizes that tell them apart.
fn shelves(missing: Missing) -> Shelves {
    let files = Files {
        path: PathPrefix("/s".into()),
        folder: String::new(),
        tree: "ab".repeat(32),
        missing,
        cache: Some("max-age=60".into()),
    };
    let shelves = Shelves::of(&[files]).expect("good").expect("one");
    let names = [
        ("index.html", 1),
        ("a.css", 2),
        ("docs/index.html", 3),
        ("app.js", 100),
        ("app.js.br", 4),
        ("app.js.gz", 5),
        ("app.js.zst", 300),
        ("with space", 6),
        ("bare/x", 7),
    ];
    let entry = |size| Entry {
        name: "x".into(),
        etag: format!("\"{size}\"").into(),
        size,
        modified: 0,
        date: "then".into(),
    };
    let files: HashMap<Box<str>, Entry> =
        names.into_iter().map(|(name, size)| (name.into(), entry(size))).collect();
    let index = Index { tree: String::new(), folder: PathBuf::new(), files };
    shelves.0[0].index.set(Arc::new(index)).expect("only once");
    shelves
}

fn wanted(missing: Missing, head: &str) -> Option<Box<Wanted>> {
    let text = format!("{head}\r\n\r\n");
    let mut fields = Vec::new();
    let parsed = request::parse(text.as_bytes(), &mut fields).expect("a good head");
    let client = [127, 0, 0, 1].into();
    let asked = Incoming { client, head: &parsed, fields: &fields, buf: text.as_bytes(), prefix: 0 };
    shelves(missing).wanted(&asked, text.contains("text/html"))
}

/// The size of the file, or what else there is.
fn found(missing: Missing, head: &str) -> String {
    let Some(wanted) = wanted(missing, head) else { return "not asked".into() };
    match wanted.find() {
        Found::File(served) => format!("{} {}", served.entry.size, served.about()),
        Found::Folder => {
            let mut lines = Vec::new();
            wanted.push_location(&mut lines);
            String::from_utf8(lines).expect("text").trim_end().into()
        }
        Found::App => "app".into(),
        Found::Nothing => "nothing".into(),
    }
}

#[track_caller]
fn check(target: &str, want: &str) {
    assert_eq!(found(Missing::App, &format!("GET {target} HTTP/1.1\r\nhost: a")), want, "{target}");
}

#[test]
fn a_path_means_a_file_an_index_or_a_folder() {
    check("/s/a.css", "2 text/css; charset=utf-8");
    check("/s/a.css?v=1", "2 text/css; charset=utf-8");
    check("/s/", "1 text/html; charset=utf-8");
    check("/s/docs/", "3 text/html; charset=utf-8");
    check("/s/docs", "location: /s/docs/");
    check("/s/docs?a=b&c", "location: /s/docs/?a=b&c");
    check("/s", "location: /s/");
    check("/s/with%20space", "6 application/octet-stream");
    check("/s/a%2ecss", "2 text/css; charset=utf-8");
    for none in ["/s/none", "/s/a.css/", "/s/bare", "/s/bare/", "/s//a.css", "/s/%ff", "/s/a%0a"] {
        check(none, "app");
    }
    for other in ["/", "/sa.css", "/a.css"] {
        check(other, "not asked");
    }
}

#[test]
fn only_who_looks_is_answered_with_a_file() {
    assert!(found(Missing::App, "HEAD /s/a.css HTTP/1.1\r\nhost: a").starts_with("2 "));
    for head in [
        "POST /s/a.css HTTP/1.1\r\nhost: a",
        "OPTIONS /s/a.css HTTP/1.1\r\nhost: a",
        "GET /s/a.css HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket",
    ] {
        assert_eq!(found(Missing::NotFound, head), "not asked", "{head}");
    }
}

#[test]
fn what_is_missing_is_the_services_or_nobodys_or_the_front_page() {
    let get = |missing, accept: &str| {
        found(missing, &format!("GET /s/none HTTP/1.1\r\nhost: a\r\naccept: {accept}"))
    };
    assert_eq!(get(Missing::App, "text/html"), "app");
    assert_eq!(get(Missing::NotFound, "text/html"), "nothing");
    assert_eq!(get(Missing::Index, "text/html"), "1 text/html; charset=utf-8");
    assert_eq!(get(Missing::Index, "application/json"), "nothing");
}

#[test]
fn a_neighbour_that_is_compressed_goes_to_who_takes_it() {
    let js = |accept: &str| {
        found(Missing::App, &format!("GET /s/app.js HTTP/1.1\r\nhost: a\r\naccept-encoding: {accept}"))
    };
    assert_eq!(js("gzip, br"), "4 text/javascript; charset=utf-8 in br");
    assert_eq!(js("gzip"), "5 text/javascript; charset=utf-8 in gzip");
    assert_eq!(js("gzip, br;q=0.5"), "5 text/javascript; charset=utf-8 in gzip");
    assert_eq!(js("identity"), "100 text/javascript; charset=utf-8");
    assert_eq!(js("zstd"), "100 text/javascript; charset=utf-8", "it is longer than the file itself");
    check("/s/app.js.br", "4 application/octet-stream");
}

#[test]
fn the_head_tells_of_the_file_and_of_what_others_get() {
    let head = "GET /s/app.js HTTP/1.1\r\nhost: a\r\naccept-encoding: br\r\nrange: bytes=1-2";
    let wanted = wanted(Missing::App, head).expect("a folder");
    let Found::File(served) = wanted.find() else { panic!("a file") };
    let answer = wanted.decide(&served, Timestamp(0));
    assert_eq!(
        served.head(answer, "now"),
        "HTTP/1.1 206 Partial Content\r\ndate: now\r\netag: \"4\"\r\nlast-modified: then\r\ncache-control: max-age=60\r\n\
         vary: accept-encoding\r\ncontent-type: text/javascript; charset=utf-8\r\naccept-ranges: bytes\r\n\
         content-length: 2\r\ncontent-encoding: br\r\ncontent-range: bytes 1-2/4\r\n"
    );
    assert_eq!(served.body(answer), Some((1, 2)));
    let known = served.head(Answer::Known, "now");
    assert!(known.starts_with("HTTP/1.1 304 ") && !known.contains("content-"), "{known}");
    let beyond = served.head(Answer::Beyond, "now");
    assert!(beyond.contains("content-range: bytes */4\r\ncontent-length: 0\r\n"), "{beyond}");
}

#[test]
fn folders_that_cannot_be_served_are_refused() {
    let files = |path: &str, tree: &str| Files {
        path: PathPrefix(path.into()),
        folder: String::new(),
        tree: tree.into(),
        missing: Missing::App,
        cache: None,
    };
    let (good, tree) = (files("/", &"ab".repeat(32)), "ab".repeat(32));
    assert!(Shelves::of(&[]).expect("good").is_none());
    assert!(Shelves::of(&[files("/a/../b", &tree)]).is_err());
    assert!(Shelves::of(&[files("/", "")]).is_err(), "it was not taken up");
    assert!(Shelves::of(&[good.clone(), files("/a", &tree)]).is_ok());
    assert!(Shelves::of(&[files("/a", &tree), files("/a/", &tree)]).is_err());
    assert!(Shelves::of(&[Files { cache: Some("a\r\nb".into()), ..good }]).is_err());
}
