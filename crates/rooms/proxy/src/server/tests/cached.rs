//! Answers that are kept for others, and requests that wait for the answer to another's, over real sockets.

use spec::{Caching, EdgePolicy};
use tokio::sync::Semaphore;

use super::streams::{Talk, request, whole};
use super::*;
use crate::status::CacheStatus;

/// An instance that answers as its script says, each request only when it is let.
pub(super) struct Origin {
    backend: Backend,
    asked: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    heads: Arc<std::sync::Mutex<Vec<String>>>,
    closes: Arc<AtomicUsize>,
}

impl Origin {
    /// `script` gives the answer by the head and the number of the request; nothing closes the connection. All answers are
    /// let at once.
    pub(super) async fn new(script: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Self {
        let origin = Self::held(script).await;
        origin.let_through(1 << 20);
        origin
    }

    /// The same, but no answer is let before [`Origin::let_through`].
    pub(super) async fn held(script: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Self {
        let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
        let closes = Arc::new(AtomicUsize::new(0));
        let (script, shared) =
            (Arc::new(script), (asked.clone(), gate.clone(), heads.clone(), closes.clone()));
        let backend = Backend::new(move |mut stream, _| {
            let (script, (asked, gate, heads, closes)) = (script.clone(), shared.clone());
            async move {
                while let Some(head) = next_head(&mut stream).await {
                    let number = asked.fetch_add(1, Ordering::SeqCst);
                    let answer = script(&head, number);
                    heads.lock().expect("no panic").push(head);
                    gate.acquire().await.expect("it stays open").forget();
                    if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                    if number < closes.load(Ordering::SeqCst) {
                        return;
                    }
                }
            }
        })
        .await;
        Self { backend, asked, gate, heads, closes }
    }

    pub(super) fn let_through(&self, count: usize) {
        self.gate.add_permits(count);
    }

    /// The connections of the first so many requests end behind their answers.
    fn close_after(&self, count: usize) {
        self.closes.store(count, Ordering::SeqCst);
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn last_head(&self) -> String {
        self.heads.lock().expect("no panic").last().cloned().unwrap_or_default()
    }
}

/// An answer with these lines, which says as which it was made.
pub(super) fn page(lines: &str, number: usize) -> String {
    let body = format!("page {number}");
    format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// An edge whose service has its answers kept so.
pub(super) async fn caching(origin: &Origin, cache: Caching) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    edge.apply(cached_share(origin, cache)).await;
    edge
}

pub(super) fn cached_share(origin: &Origin, cache: Caching) -> RouteShare {
    let mut share = share(&[origin.backend.address], &[]);
    let policy = EdgePolicy { cache: Some(cache), ..EdgePolicy::default() };
    share.pools.values_mut().for_each(|pool| pool.policy = policy.clone());
    share
}

impl TestEdge {
    pub(super) fn sums(&self) -> CacheStatus {
        self.server.status().pools[0].cache.expect("it has one")
    }

    /// A GET with these lines.
    pub(super) async fn fetch(&self, path: &'static str, lines: &'static str) -> String {
        asking(self.http, path, lines).await
    }
}

async fn asking(edge: SocketAddr, path: &'static str, lines: &'static str) -> String {
    ask(edge, &format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n")).await
}

#[tokio::test]
async fn a_hundred_callers_at_once_cause_one_request() {
    let origin = Origin::held(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let edge = caching(&origin, Caching::default()).await;
    let mut callers = Vec::new();
    for _ in 0..100 {
        callers.push(tokio::spawn(asking(edge.http, "/page", "")));
    }
    let mut talk = Talk::to(&edge).await;
    let (streamed, _) = talk.begin(request("GET", "/page"), true).await;
    until(|| edge.sums().waiting == 100).await;
    origin.let_through(1);
    for caller in callers {
        let answer = caller.await.expect("no panic");
        assert!(status(&answer) == "200" && body(&answer) == "page 0", "{answer}");
    }
    let (head, text) = whole(streamed).await;
    assert!(head.status() == 200 && text == "page 0");
    assert_eq!(origin.asked(), 1);
    let later = edge.fetch("/page", "").await;
    assert!(later.contains("cache-status: sea; hit; ttl=") && later.contains("\r\nage: "), "{later}");
    assert_eq!(origin.asked(), 1);
    assert_eq!((edge.sums().joined, edge.sums().misses, edge.sums().hits), (100, 1, 1));
}

/// Two callers at once: what the instance is asked by then, and by the end.
async fn two_at_once(origin: &Origin, edge: &TestEdge, lines: &'static str) -> (usize, usize, [String; 2]) {
    let before = origin.asked();
    let first = tokio::spawn(asking(edge.http, "/two", lines));
    until(|| origin.asked() > before).await;
    let waiting = edge.sums().waiting;
    let second = tokio::spawn(asking(edge.http, "/two", lines));
    until(|| edge.sums().waiting > waiting || origin.asked() > before + 1).await;
    let at_once = origin.asked() - before;
    origin.let_through(1);
    let first = first.await.expect("no panic");
    origin.let_through(1);
    let second = second.await.expect("no panic");
    let all = origin.asked() - before;
    // What was let and not used.
    let left = origin.gate.available_permits();
    origin.gate.acquire_many(left as u32).await.expect("it stays open").forget();
    (at_once, all, [first, second])
}

#[tokio::test]
async fn an_answer_for_one_alone_lets_those_go_who_wait_and_is_waited_for_by_nobody_for_a_while() {
    let long = "Content-Type: text/plain\r\nCache-Control: max-age=60\r\nX-Long: 1\r\n";
    for lines in [
        "Cache-Control: private\r\n",
        "Cache-Control: no-store\r\n",
        "Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n",
        "Cache-Control: max-age=60\r\nVary: *\r\n",
        "Cache-Control: max-age=60\r\nContent-Type: text/event-stream\r\n",
        "",
        long,
    ] {
        let origin = Origin::held(move |_, number| {
            if lines == long {
                page(lines, number)
                    .replace("page", &"page".repeat(3000))
                    .replace("Content-Length: 6", "Content-Length: 12002")
            } else {
                page(lines, number)
            }
        })
        .await;
        let edge = caching(&origin, Caching { answer: base::Bytes(2048), ..Caching::default() }).await;
        let (at_once, all, [first, second]) = two_at_once(&origin, &edge, "").await;
        assert_eq!((at_once, all), (1, 2), "the second waits, then goes alone: {lines}");
        assert!(body(&first).ends_with("0") && body(&second).ends_with("1"), "{first} {second}");
        assert!(second.contains("cache-status: sea; fwd=bypass; detail=not-shared\r\n"), "{second}");
        let (at_once, all, _) = two_at_once(&origin, &edge, "").await;
        assert_eq!((at_once, all), (2, 2), "nobody waits for such a one: {lines}");
        assert_eq!(edge.sums().answers, 0);
    }
}

#[tokio::test]
async fn a_body_that_becomes_too_long_lets_those_go_who_wait() {
    let origin = Origin::held(|_, number| {
        let body = format!("{:0>3000}", number);
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n{body}\r\n0\r\n\r\n")
    })
    .await;
    let edge = caching(&origin, Caching { answer: base::Bytes(2048), ..Caching::default() }).await;
    let (at_once, all, [first, second]) = two_at_once(&origin, &edge, "").await;
    assert_eq!((at_once, all), (1, 2));
    assert!(first.ends_with("0\r\n0\r\n\r\n") && second.ends_with("1\r\n0\r\n\r\n"), "{first} {second}");
    let (at_once, ..) = two_at_once(&origin, &edge, "").await;
    assert_eq!(at_once, 2, "it is not waited for again");
}

#[tokio::test]
async fn a_stream_that_does_not_end_reaches_who_asked_for_it_at_once() {
    let backend = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        stream.write_all(head.as_bytes()).await.expect("the edge reads");
        // Nothing more comes, and no end.
        let _ = stream.read_u8().await;
    })
    .await;
    let mut edge = TestEdge::start(quick()).await;
    let mut share = share(&[backend.address], &[]);
    let policy = EdgePolicy { cache: Some(Caching::default()), ..EdgePolicy::default() };
    share.pools.values_mut().for_each(|pool| pool.policy = policy.clone());
    edge.apply(share).await;
    let mut first = edge.connect().await;
    first.write_all(get("/").as_bytes()).await.expect("the edge reads");
    read_until(&mut first, "5\r\nfirst\r\n").await;
    let mut second = edge.connect().await;
    second.write_all(get("/").as_bytes()).await.expect("the edge reads");
    until(|| edge.sums().waiting == 1).await;
    // It waits for some seconds, and not for ever.
    read_until(&mut second, "5\r\nfirst\r\n").await;
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn answers_that_say_nothing_are_shared_by_those_who_wait_where_the_service_wants_that() {
    let origin = Origin::held(|_, number| page("", number)).await;
    let edge = caching(&origin, Caching { join: true, ..Caching::default() }).await;
    let (at_once, all, [first, second]) = two_at_once(&origin, &edge, "").await;
    assert!((at_once, all) == (1, 1) && body(&first) == body(&second), "{first} {second}");
    assert!(second.contains("cache-status: sea; fwd=miss; collapsed\r\n"), "{second}");
    assert_eq!(edge.sums().answers, 0, "they are not kept");
    // They may be somebody's own where somebody is known.
    let (_, all, _) = two_at_once(&origin, &edge, "Cookie: a=b\r\n").await;
    assert_eq!(all, 2);
    let (at_once, ..) = two_at_once(&origin, &edge, "Authorization: Basic x\r\n").await;
    assert_eq!(at_once, 2);
}

#[tokio::test]
async fn errors_are_shared_by_those_who_wait_and_not_kept() {
    let origin = Origin::held(|_, number| page("", number).replace("200 OK", "500 No")).await;
    let edge = caching(&origin, Caching { ttl: Some(Duration::from_secs(60)), ..Caching::default() }).await;
    for _ in 0..2 {
        let (at_once, all, [first, second]) = two_at_once(&origin, &edge, "").await;
        assert_eq!((at_once, all, status(&first)), (1, 1, "500"), "{first}");
        assert_eq!(body(&first), body(&second));
    }
}

#[tokio::test]
async fn a_stale_answer_is_given_while_one_request_fetches_a_new_one() {
    let origin = Origin::held(|_, number| {
        let lines = if number == 0 { "max-age=0, stale-while-revalidate=60" } else { "max-age=60" };
        page(&format!("Cache-Control: {lines}\r\n"), number)
    })
    .await;
    let edge = caching(&origin, Caching::default()).await;
    origin.let_through(1);
    assert_eq!(body(&edge.fetch("/", "").await), "page 0");
    for _ in 0..5 {
        let stale = edge.fetch("/", "").await;
        assert!(body(&stale) == "page 0" && stale.contains("cache-status: sea; hit; ttl="), "{stale}");
    }
    until(|| origin.asked() == 2).await;
    origin.let_through(1);
    until(|| edge.sums().fetches == 0).await;
    assert_eq!(body(&edge.fetch("/", "").await), "page 1");
    let sums = edge.sums();
    assert_eq!((sums.stale, sums.renewed, sums.hits, sums.misses, origin.asked()), (5, 1, 1, 1, 2));
}

#[tokio::test]
async fn a_stale_answer_is_given_in_the_place_of_an_error_or_of_nothing() {
    let origin = Origin::new(|_, number| match number {
        0 => page("Cache-Control: max-age=0, stale-if-error=60\r\n", number),
        1 => page("", number).replace("200 OK", "503 No"),
        _ => String::new(),
    })
    .await;
    let mut edge = caching(&origin, Caching::default()).await;
    edge.fetch("/", "").await;
    let stale = edge.fetch("/", "").await;
    let told = "cache-status: sea; fwd=stale; detail=stale-if-error; fwd-status=503; ttl=0\r\n";
    assert!(body(&stale) == "page 0" && stale.contains(told), "{stale}");
    // For a second nobody is asked.
    assert_eq!(body(&edge.fetch("/", "").await), "page 0");
    assert_eq!(origin.asked(), 2);
    // No instance at all.
    let nowhere = free_address().await;
    let mut gone = cached_share(&origin, Caching::default());
    gone.pools
        .values_mut()
        .for_each(|pool| pool.endpoints = vec![Endpoint { instance: id(nowhere), address: nowhere }]);
    edge.apply(gone).await;
    assert_eq!(body(&edge.fetch("/", "").await), "page 0");
    assert_eq!(edge.sums().on_error, 3);
}

/// An address where nobody listens.
async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    listener.local_addr().expect("an address")
}

#[tokio::test]
async fn each_gets_the_answer_that_was_chosen_for_requests_like_its_own() {
    let origin = Origin::held(|head, number| {
        let german = head.contains("Accept-Language: de");
        page("Cache-Control: max-age=60\r\nVary: accept-language\r\n", number + if german { 100 } else { 0 })
    })
    .await;
    let edge = caching(&origin, Caching::default()).await;
    let (german, english) = ("Accept-Language: de\r\n", "Accept-Language: en\r\n");
    let first = tokio::spawn(asking(edge.http, "/", german));
    until(|| origin.asked() == 1).await;
    let others = [german, english, english].map(|lines| tokio::spawn(asking(edge.http, "/", lines)));
    until(|| edge.sums().waiting == 3).await;
    origin.let_through(1);
    assert_eq!(body(&first.await.expect("no panic")), "page 100");
    until(|| origin.asked() == 2).await;
    origin.let_through(1);
    let mut pages = Vec::new();
    for other in others {
        pages.push(body(&other.await.expect("no panic")).to_owned());
    }
    assert_eq!(pages, ["page 100", "page 1", "page 1"]);
    for (lines, want) in [(german, "page 100"), (english, "page 1")] {
        assert_eq!(body(&edge.fetch("/", lines).await), want);
    }
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn who_shows_who_he_is_gets_only_what_the_answer_allows_to_all() {
    let origin = Origin::new(|head, number| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let lines = match path {
            "/told" => "Cache-Control: max-age=60\r\n",
            "/public" => "Cache-Control: public, max-age=60\r\n",
            _ => "",
        };
        page(lines, number)
    })
    .await;
    let edge = caching(&origin, Caching { ttl: Some(Duration::from_secs(60)), ..Caching::default() }).await;
    for (path, lines, kept) in [
        ("/silent", "", true),
        ("/silent", "Cookie: a=b\r\n", false),
        ("/silent", "Authorization: Basic x\r\n", false),
        ("/told", "Cookie: a=b\r\n", true),
        ("/told", "Authorization: Basic x\r\n", false),
        ("/public", "Cookie: a=b\r\n", true),
        ("/public", "Authorization: Basic x\r\n", true),
    ] {
        edge.fetch(path, "").await;
        let before = origin.asked();
        let answer = edge.fetch(path, lines).await;
        assert_eq!(origin.asked() == before, kept, "{path} {lines} {answer}");
        assert_eq!(answer.contains("cache-status: sea; hit"), kept, "{answer}");
    }
    // What one who is known got is nobody else's either.
    let before = origin.asked();
    edge.fetch("/own", "Cookie: a=b\r\n").await;
    edge.fetch("/own", "").await;
    assert_eq!(origin.asked(), before + 2);
}

#[tokio::test]
async fn conditions_are_met_by_what_is_kept_and_what_is_kept_is_confirmed() {
    let origin = Origin::new(|head, number| {
        if head.contains("if-none-match: \"v1\"") {
            return "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nX-New: yes\r\n\r\n".into();
        }
        let age = if head.starts_with("GET /old") { 0 } else { 60 };
        page(&format!("Cache-Control: max-age={age}\r\nETag: \"v1\"\r\nContent-Type: text/plain\r\n"), number)
    })
    .await;
    let edge = caching(&origin, Caching::default()).await;
    let held = "If-None-Match: W/\"v1\", \"v0\"\r\n";
    let first = edge.fetch("/", held).await;
    assert!(status(&first) == "304" && first.contains("ETag: \"v1\"") && body(&first).is_empty(), "{first}");
    assert!(!origin.last_head().contains("If-None-Match"), "it is fetched for all");
    let again = edge.fetch("/", held).await;
    assert!(status(&again) == "304" && !again.contains("Content-Type"), "{again}");
    assert_eq!(body(&edge.fetch("/", "If-None-Match: \"v2\"\r\n").await), "page 0");
    assert_eq!(origin.asked(), 1);
    edge.fetch("/old", "").await;
    let confirmed = edge.fetch("/old", "").await;
    assert!(body(&confirmed) == "page 1" && confirmed.contains("X-New: yes\r\n"), "{confirmed}");
    assert!(confirmed.contains("cache-status: sea; fwd=stale; fwd-status=304; stored; ttl="), "{confirmed}");
    assert!(edge.fetch("/old", "").await.contains("sea; hit"), "it is fresh again");
    assert_eq!((origin.asked(), edge.sums().confirmed), (3, 1));
}

#[tokio::test]
async fn heads_come_from_what_is_kept() {
    let origin = Origin::new(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let edge = caching(&origin, Caching::default()).await;
    edge.fetch("/", "").await;
    let head = edge.ask("HEAD / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await;
    assert!(head.contains("content-length: 6\r\n") && head.contains("sea; hit"), "{head}");
    assert!(body(&head).is_empty() && origin.asked() == 1);
    let old = edge.ask("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n").await;
    assert_eq!((body(&old), origin.asked()), ("page 0", 1));
}

#[tokio::test]
async fn a_request_that_may_change_things_makes_what_is_kept_invalid() {
    let origin = Origin::held(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let edge = caching(&origin, Caching::default()).await;
    let post = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    origin.let_through(2);
    assert_eq!(body(&edge.fetch("/", "").await), "page 0");
    assert_eq!(body(&edge.ask(post).await), "page 1");
    // One that is under way may be from before, and is nobody else's from then on.
    let http = edge.http;
    let before = tokio::spawn(asking(http, "/", ""));
    until(|| origin.asked() == 3).await;
    let posted = tokio::spawn(async move { ask(http, post).await + &asking(http, "/", "").await });
    until(|| origin.asked() == 4).await;
    // Answers go out in any order that the gate likes, as all are let.
    origin.let_through(3);
    posted.await.expect("no panic");
    before.await.expect("no panic");
    assert_eq!(origin.asked(), 5, "the one behind the change is asked for by itself");
    assert_eq!(body(&asking(http, "/", "").await), "page 4", "and is what is kept");
}

#[tokio::test]
async fn a_caller_who_goes_does_not_take_the_answer_along() {
    let origin = Origin::held(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let edge = caching(&origin, Caching::default()).await;
    let mut first = edge.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.expect("the edge reads");
    until(|| origin.asked() == 1).await;
    drop(first);
    let second = tokio::spawn(asking(edge.http, "/", ""));
    until(|| edge.sums().waiting == 1).await;
    origin.let_through(1);
    assert_eq!(body(&second.await.expect("no panic")), "page 0");
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn strangers_cannot_force_requests_by_their_own_directives() {
    let origin = Origin::held(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let edge = caching(&origin, Caching::default()).await;
    let nothing = edge.fetch("/two", "Cache-Control: only-if-cached\r\n").await;
    assert!(status(&nothing) == "504" && nothing.contains("x-sea-refused: only-if-cached"), "{nothing}");
    let forced = "Cache-Control: no-cache, max-age=0\r\nPragma: no-cache\r\n";
    let (at_once, all, _) = two_at_once(&origin, &edge, forced).await;
    assert_eq!((at_once, all), (1, 1), "they are joined like others");
    for lines in [forced, "Cache-Control: only-if-cached\r\n", "Cache-Control: no-store\r\n"] {
        assert_eq!(body(&edge.fetch("/two", lines).await), "page 0", "{lines}");
    }
    assert_eq!(origin.asked(), 1);
    // One whose answer must not be kept makes nobody wait in vain.
    let alone = tokio::spawn(asking(edge.http, "/other", "Cache-Control: no-store\r\n"));
    until(|| origin.asked() == 2).await;
    let joined = tokio::spawn(asking(edge.http, "/other", ""));
    until(|| origin.asked() == 3).await;
    origin.let_through(2);
    assert!(alone.await.expect("no panic").contains("detail=no-store") && edge.sums().waiting == 0);
    joined.await.expect("no panic");
}

#[tokio::test]
async fn instances_of_another_revision_do_not_answer_with_what_those_before_said() {
    let origin = Origin::new(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let mut edge = TestEdge::start(quick()).await;
    for (revision, want) in [("", 0), ("r1", 0), ("", 0), ("r1", 0), ("r2", 1), ("", 1), ("r2", 1), ("r1", 2)]
    {
        let mut share = cached_share(&origin, Caching::default());
        share.pools.values_mut().for_each(|pool| pool.revision = revision.into());
        edge.apply(share).await;
        assert_eq!(body(&edge.fetch("/", "").await), format!("page {want}"), "{revision}");
    }
    edge.apply(cached_share(&origin, Caching { join: true, ..Caching::default() })).await;
    assert_eq!(body(&edge.fetch("/", "").await), "page 3", "other wishes begin anew");
}

#[tokio::test]
async fn what_is_kept_is_compressed_for_those_who_take_it() {
    let text = "a line of text that says the same again and again\n".repeat(100);
    let origin = Origin::new(move |_, _| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Type: text/plain\r\n";
        format!("{head}Content-Length: {}\r\n\r\n{text}", text.len())
    })
    .await;
    let mut edge = TestEdge::start(quick()).await;
    let mut share = cached_share(&origin, Caching::default());
    share.pools.values_mut().for_each(|pool| pool.policy.compress = true);
    edge.apply(share).await;
    for _ in 0..2 {
        let plain = edge.fetch("/", "").await;
        assert!(body(&plain).len() == 5000 && !plain.contains("content-encoding"), "{plain}");
        let pressed = edge.fetch("/", "Accept-Encoding: gzip\r\n").await;
        assert!(pressed.contains("content-encoding: gzip\r\n") && body(&pressed).len() < 1000, "{pressed}");
    }
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn what_is_kept_is_for_those_only_who_are_let_in() {
    let origin = Origin::new(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let mut edge = TestEdge::start(quick()).await;
    edge.apply(cached_share(&origin, Caching::default())).await;
    edge.fetch("/", "").await;
    let mut share = cached_share(&origin, Caching::default());
    share.rules[0].rules.deny = vec!["127.0.0.0/8".parse().expect("a range")];
    edge.apply(share).await;
    assert_eq!(status(&edge.fetch("/", "").await), "403");
}

#[tokio::test]
async fn streams_get_what_is_kept_too() {
    let origin = Origin::new(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let edge = caching(&origin, Caching::default()).await;
    let mut talk = Talk::to(&edge).await;
    for want in ["sea; fwd=miss; stored", "sea; hit; ttl="] {
        let (head, text) = talk.get("/").await;
        let told = head.headers()["cache-status"].to_str().expect("text");
        assert!(text == "page 0" && told.starts_with(want), "{told}");
    }
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn what_must_be_confirmed_each_time_is_confirmed_for_all_that_wait() {
    let origin = Origin::held(|head, number| match head.contains("if-none-match") {
        true => "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".into(),
        false => page("Cache-Control: no-cache\r\nETag: \"v1\"\r\n", number),
    })
    .await;
    let edge = caching(&origin, Caching::default()).await;
    let (at_once, all, [first, second]) = two_at_once(&origin, &edge, "").await;
    assert_eq!((at_once, all), (1, 2), "nothing says that it is good for the second");
    assert!(body(&first) == "page 0" && body(&second) == "page 1", "{first} {second}");
    let (at_once, all, [first, second]) = two_at_once(&origin, &edge, "").await;
    assert_eq!((at_once, all), (1, 1));
    assert!(first.contains("fwd-status=304") && second.contains("collapsed"), "{first} {second}");
    assert!(body(&first) == "page 0" && body(&second) == "page 0", "{first} {second}");
}

#[tokio::test]
async fn a_look_at_the_head_has_the_whole_answer_renewed() {
    let origin = Origin::new(|_, number| {
        let age = if number == 0 { "max-age=0, stale-while-revalidate=60" } else { "max-age=60" };
        page(&format!("Cache-Control: {age}\r\n"), number)
    })
    .await;
    let edge = caching(&origin, Caching::default()).await;
    edge.fetch("/", "").await;
    let head = edge.ask("HEAD / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await;
    assert!(head.contains("sea; hit") && body(&head).is_empty(), "{head}");
    until(|| origin.asked() == 2 && edge.sums().fetches == 0).await;
    assert!(origin.last_head().starts_with("GET / HTTP/1.1\r\n"));
    assert_eq!(body(&edge.fetch("/", "").await), "page 1");
}

#[tokio::test]
async fn who_waits_too_long_goes_alone() {
    let origin = Origin::held(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let edge = caching(&origin, Caching { wait: Duration::from_millis(1), ..Caching::default() }).await;
    let first = tokio::spawn(asking(edge.http, "/", ""));
    until(|| origin.asked() == 1).await;
    let second = tokio::spawn(asking(edge.http, "/", ""));
    until(|| origin.asked() == 2).await;
    origin.let_through(2);
    let (first, second) = (first.await.expect("no panic"), second.await.expect("no panic"));
    assert!(status(&first) == "200" && second.contains("detail=not-shared"), "{first} {second}");
    // One that says how long it waits hears no later.
    let edge = caching(&origin, Caching::default()).await;
    let third = tokio::spawn(asking(edge.http, "/late", ""));
    until(|| origin.asked() == 3).await;
    let hurried = edge.fetch("/late", "X-Timeout-Ms: 20\r\n").await;
    assert_eq!(status(&hurried), "504", "{hurried}");
    assert!(!origin.last_head().to_lowercase().contains("x-timeout-ms"));
    origin.let_through(2);
    assert_eq!(status(&third.await.expect("no panic")), "200");
}

#[tokio::test]
async fn an_answer_that_is_cut_is_fetched_again_by_one_of_those_who_wait() {
    let origin = Origin::held(|_, number| match number {
        0 => "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\nhalf".into(),
        _ => page("Cache-Control: max-age=60\r\n", number),
    })
    .await;
    let edge = caching(&origin, Caching::default()).await;
    let first = tokio::spawn(asking(edge.http, "/", ""));
    until(|| origin.asked() == 1).await;
    let others = [0; 5].map(|_| tokio::spawn(asking(edge.http, "/", "")));
    until(|| edge.sums().waiting == 5).await;
    origin.close_after(1);
    origin.let_through(1);
    let first = first.await.expect("no panic");
    assert!(first.contains("half<"), "the cut is seen: {first}");
    until(|| origin.asked() == 2).await;
    assert_eq!(edge.sums().waiting, 4, "one of them fetches, the others wait on");
    origin.let_through(1);
    for other in others {
        assert_eq!(body(&other.await.expect("no panic")), "page 1");
    }
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn what_the_edge_refuses_is_refused_to_all_who_wait() {
    let origin = Origin::held(|_, _| String::new()).await;
    let edge = caching(&origin, Caching::default()).await;
    let callers = [0; 3].map(|_| tokio::spawn(asking(edge.http, "/", "")));
    until(|| edge.sums().waiting == 2).await;
    origin.let_through(100);
    for caller in callers {
        let answer = caller.await.expect("no panic");
        assert!(status(&answer) == "502" && answer.contains("x-sea-refused: gone"), "{answer}");
    }
    assert!(origin.asked() <= 3, "{} tries", origin.asked());
}

#[tokio::test]
async fn the_log_and_the_explanation_tell_what_the_cache_did() {
    let origin = Origin::new(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let edge = caching(&origin, Caching::default()).await;
    let explained = |method: &'static str, fields: &'static [(&str, &str)]| {
        edge.explained((method, "a.example/"), fields, "cache")
    };
    let shared = "nothing is kept; its answer is shared with those who ask the same meanwhile";
    assert_eq!(explained("GET", &[]).await, shared);
    let range = &[("Range", "bytes=0-1")];
    assert_eq!(explained("GET", range).await, "nothing is kept; it goes its own way (range)");
    edge.fetch("/", "").await;
    edge.fetch("/", "").await;
    assert_eq!(explained("GET", &[]).await, "an answer of 6 bytes is kept, fresh for 60 s");
    assert_eq!(explained("GET", range).await, "an answer of 6 bytes is kept, fresh for 60 s");
    assert_eq!(explained("POST", &[]).await, "nothing that is kept is for it (method)");
    let known = explained("GET", &[("Authorization", "Basic x")]).await;
    assert_eq!(known, "what is kept is not for those who show who they are");
    assert_eq!(edge.sums().hits, 1, "nothing is counted by that");
    let log = edge._folder.path().join("access.log");
    let has = |word: &str| {
        let line = format!("\"cache\":\"{word}\"");
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains(&line))
    };
    until(|| has("miss") && has("hit")).await;
}

#[tokio::test]
async fn an_edge_that_is_replaced_ends_with_its_last_fetch() {
    let origin = Origin::held(|_, number| page("Cache-Control: max-age=60\r\n", number)).await;
    let mut edge = caching(&origin, Caching::default()).await;
    let mut caller = edge.connect().await;
    caller.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.expect("the edge reads");
    until(|| origin.asked() == 1).await;
    edge.server.leave(Manner::Replaced).await;
    drop(caller);
    origin.let_through(1);
    for worker in edge.server.workers() {
        tokio::time::timeout(LONG, worker.closed()).await.expect("it ends in time");
    }
}
