//! Requests that are split between services, and copies of requests: by real sockets, in both versions of HTTP.

use spec::{MatchBy, Mirror, Side, SideMatch, Split, Sticky};

use super::secure::mirror as reflecting;
use super::streams::{Talk, request, whole};
use super::*;
use crate::status::{MirrorStatus, SideStatus};

fn service(name: &str) -> base::ServiceName {
    name.parse().expect("a name")
}

/// A share in which `web` is split so; each side has these instances.
fn split(sides: &[(&str, u32, &[&Backend])], sticky: Sticky) -> RouteShare {
    let mut share = share(&[], &[]);
    let mut web = share.pools.remove("web").expect("a pool");
    let weights = sides.iter().map(|(name, weight, _)| (service(name), Side { weight: *weight, port: None }));
    let canary = SideMatch {
        by: MatchBy::Header("x-canary".into()),
        value: Some("always".into()),
        to: service("next"),
    };
    web.policy.split = Some(Split { sides: weights.collect(), matches: vec![canary], sticky });
    for (name, _, backends) in sides {
        let endpoints = backends.iter().map(|b| Endpoint { instance: id(b.address), address: b.address });
        if *name == "web" {
            web.endpoints = endpoints.collect();
            continue;
        }
        let pool =
            Pool { service: format!("shop/{name}"), endpoints: endpoints.collect(), ..Pool::default() };
        share.pools.insert((*name).into(), pool);
        web.sides.insert(service(name), (*name).into());
    }
    share.pools.insert("web".into(), web);
    share
}

async fn edge(share: RouteShare) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    edge.apply(share).await;
    edge
}

/// What the sides of `web` got: weight, requests, and those that fell to others, by name.
fn counts(edge: &TestEdge) -> String {
    let web = edge.server.status().pools.into_iter().find(|pool| pool.name == "web").expect("a pool");
    let shown = |side: &SideStatus| format!("{} {} {} {}", side.pool, side.weight, side.taken, side.fell);
    web.sides.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// A GET with this field.
fn with(field: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: a\r\n{field}\r\nConnection: close\r\n\r\n")
}

/// The cookie that an answer gives.
fn cookie(answer: &str) -> Option<&str> {
    let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "))?;
    assert!(line.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{line}");
    line.split(';').next()
}

#[tokio::test]
async fn a_client_stays_at_its_side_by_a_cookie_and_moves_only_to_one_that_grows() {
    let (web, next) = (Backend::plain("web").await, Backend::plain("next").await);
    let sides =
        |next_has, web_has| split(&[("next", next_has, &[&next]), ("web", web_has, &[&web])], Sticky::Edge);
    let mut edge = edge(sides(50, 50)).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let answer = edge.ask(&get("/x")).await;
        let cookie = cookie(&answer).expect("a cookie").to_owned();
        clients.push((cookie, body(&answer).to_owned()));
    }
    let at_next =
        |clients: &[(String, String)]| clients.iter().filter(|(_, side)| side == "next /x ").count();
    // One side for all of 40 clients comes once in 2^39.
    assert!((1..40).contains(&at_next(&clients)), "{}", at_next(&clients));
    for (grown, rest) in [(50, 50), (200, 50), (200, 0)] {
        edge.apply(sides(grown, rest)).await;
        for (cookie, side) in &mut clients {
            let answer = edge.ask(&with(&format!("Cookie: a=b; {cookie}"))).await;
            assert!(!answer.contains("set-cookie"), "{answer}");
            assert!(
                body(&answer) == side || (grown > 50 && body(&answer) == "next /x "),
                "{grown}: {answer}"
            );
            *side = body(&answer).to_owned();
        }
    }
    assert_eq!(at_next(&clients), 40);
    // A stream of HTTP/2 is such a request too.
    let mut talk = Talk::to(&edge).await;
    let mut asked = request("GET", "/x");
    asked.headers_mut().insert("cookie", clients[0].0.parse().expect("a value"));
    let (answer, _) = talk.begin(asked, true).await;
    let (head, text) = whole(answer).await;
    assert_eq!((head.headers().get("set-cookie"), text.as_str()), (None, "next /x "));
    let (head, _) = talk.get("/x").await;
    let given = head.headers().get("set-cookie").expect("a cookie").to_str().expect("text");
    assert!(given.starts_with("sea-side=") && given.ends_with("; HttpOnly; SameSite=Lax"), "{given}");
}

#[tokio::test]
async fn a_match_sends_to_its_side_in_both_versions() {
    let (web, next) = (Backend::plain("web").await, Backend::plain("next").await);
    let edge = edge(split(&[("next", 0, &[&next]), ("web", 1, &[&web])], Sticky::No)).await;
    assert_eq!(body(&edge.ask(&with("X-Canary: always")).await), "next /x ");
    assert_eq!(body(&edge.ask(&with("X-Canary: never")).await), "web /x ");
    let mut talk = Talk::to(&edge).await;
    let mut asked = request("GET", "/x");
    asked.headers_mut().insert("x-canary", "always".parse().expect("a value"));
    let (answer, _) = talk.begin(asked, true).await;
    assert_eq!(whole(answer).await.1, "next /x ");
    assert_eq!(talk.get("/x").await.1, "web /x ");
    assert_eq!(counts(&edge), "next 0 2 0, web 1 2 0");
}

#[tokio::test]
async fn a_side_without_an_instance_falls_to_the_others() {
    let web = Backend::plain("web").await;
    let mut edge = edge(split(&[("next", 1, &[]), ("web", 1, &[&web])], Sticky::No)).await;
    assert_eq!(body(&edge.ask(&with("X-Canary: always")).await), "web /x ");
    assert_eq!(counts(&edge), "next 1 0 1, web 1 1 0");
    // One that is there and takes no connection is found out by the request, which must not be held for that.
    let dead = Backend::plain("dead").await;
    dead.accepting.abort();
    until(|| std::net::TcpStream::connect(dead.address).is_err()).await;
    edge.apply(split(&[("next", 1, &[&dead]), ("web", 1, &[&web])], Sticky::No)).await;
    let began = std::time::Instant::now();
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nX-Canary: always\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    assert_eq!(body(&edge.ask(post).await), "web /x body");
    assert!(began.elapsed() < Duration::from_secs(5), "held {:?}", began.elapsed());
    assert_eq!(counts(&edge), "next 1 0 2, web 1 2 0");
}

#[tokio::test]
async fn a_request_that_is_held_goes_to_the_first_side_that_has_an_instance() {
    let web = Backend::plain("web").await;
    let mut edge = edge(split(&[("next", 1, &[]), ("web", 1, &[])], Sticky::No)).await;
    let http = edge.http;
    let waiting = tokio::spawn(async move { ask(http, &with("X-Canary: always")).await });
    until(|| edge.server.status().held == 1).await;
    edge.apply(split(&[("next", 1, &[]), ("web", 1, &[&web])], Sticky::No)).await;
    assert_eq!(body(&waiting.await.expect("an answer")), "web /x ");
    assert_eq!(counts(&edge), "next 1 0 1, web 1 1 0");
}

#[tokio::test]
async fn a_repetition_stays_at_its_side() {
    let cutting = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await;
    })
    .await;
    let (next, web) = (Backend::plain("next").await, Backend::plain("web").await);
    let edge = edge(split(&[("next", 1, &[&cutting, &next]), ("web", 1, &[&web])], Sticky::No)).await;
    let mut asked = 0;
    while cutting.connections() == 0 {
        assert!(asked < 100, "it is never tried");
        assert_eq!(body(&edge.ask(&with("X-Canary: always")).await), "next /x ");
        asked += 1;
    }
    assert_eq!((web.connections(), counts(&edge)), (0, format!("next 1 {asked} 0, web 1 0 0")));
}

#[tokio::test]
async fn what_is_under_way_at_a_side_that_is_taken_out_ends_there() {
    let (go, slow) = Backend::gated().await;
    let web = Backend::plain("web").await;
    let mut edge = edge(split(&[("next", 1, &[&slow]), ("web", 1, &[&web])], Sticky::No)).await;
    let http = edge.http;
    let waiting = tokio::spawn(async move { ask(http, &with("X-Canary: always")).await });
    until(|| edge.in_flight(&slow) == 1).await;
    edge.send_to(&[&web]).await;
    assert_eq!(edge.server.look().sending, [id(web.address)]);
    assert_eq!(edge.in_flight(&slow), 1, "a drain waits for this");
    assert_eq!(body(&edge.ask(&with("X-Canary: always")).await), "web /x ");
    go.send(true).expect("the instance waits");
    assert_eq!(body(&waiting.await.expect("an answer")), "done");
    edge.at_rest(&slow).await;
}

#[tokio::test]
async fn a_published_port_that_speaks_http_is_split_too() {
    let (web, next) = (Backend::plain("web").await, Backend::plain("next").await);
    let mut edge = TestEdge::start(quick()).await;
    let mut share = split(&[("next", 0, &[&next]), ("web", 1, &[&web])], Sticky::No);
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    share.listeners.push(Listener {
        address: free,
        protocol: Protocol::Auto,
        pool: "web".into(),
        between: false,
    });
    edge.apply(share).await;
    // A client that waits has the edge connect to an instance of `web`, which its request then is not for.
    let mut stream = TcpStream::connect(free).await.expect("the edge accepts");
    until(|| web.connections() == 1).await;
    stream.write_all(with("X-Canary: always").as_bytes()).await.expect("the edge reads");
    assert_eq!(body(&rest(&mut stream).await), "next /x ");
    assert_eq!(body(&ask(free, &get("/x")).await), "web /x ");
}

/// A share whose requests are copied to `shadow`.
fn mirrored(web: &Backend, shadow: &Backend) -> RouteShare {
    let mut share = share(&[web.address], &[]);
    let endpoints = vec![Endpoint { instance: id(shadow.address), address: shadow.address }];
    share.pools.insert("shadow".into(), Pool { service: "shop/shadow".into(), endpoints, ..Pool::default() });
    let pool = share.pools.get_mut("web").expect("a pool");
    pool.policy.mirror = Some(Mirror { to: service("shadow"), port: None, of_10_000: 10_000 });
    pool.mirror = "shadow".into();
    share
}

fn copies(edge: &TestEdge) -> MirrorStatus {
    let web = edge.server.status().pools.into_iter().find(|pool| pool.name == "web").expect("a pool");
    web.mirror.expect("a mirror")
}

/// Tells each head that it gets, and answers with this.
async fn listening(answer: &'static str) -> (Backend, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::new(move |mut stream, _| {
        let tell = tell.clone();
        async move {
            while let Some(head) = next_head(&mut stream).await {
                let _ = tell.send(head);
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (backend, told)
}

#[tokio::test]
async fn copies_are_marked_and_their_answers_dropped() {
    let web = reflecting().await;
    let (shadow, mut told) =
        listening("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    let edge = edge(mirrored(&web, &shadow)).await;
    let asked =
        "GET /x?y HTTP/1.1\r\nHost: a\r\nX-Sea-Mirror: forged\r\nCookie: c=d\r\nConnection: close\r\n\r\n";
    let answer = edge.ask(asked).await;
    assert_eq!(status(&answer), "200");
    assert!(!answer.to_lowercase().contains("x-sea-mirror"), "{answer}");
    let copy = told.recv().await.expect("a copy");
    let want = "GET /x?y HTTP/1.1\r\nHost: a\r\nCookie: c=d\r\nx-forwarded-for: 127.0.0.1\r\n\
                x-forwarded-proto: http\r\nx-forwarded-host: a\r\nx-sea-mirror: shop/web\r\n\r\n";
    assert_eq!(copy, want);
    // Over HTTP/2, and again over the connection that was kept.
    until(|| edge.in_flight(&shadow) == 0).await;
    let mut talk = Talk::to(&edge).await;
    assert_eq!(talk.get("/z").await.0.status(), 200);
    assert!(told.recv().await.expect("a copy").starts_with("GET /z HTTP/1.1\r\n"));
    until(|| copies(&edge).classes == [0, 0, 0, 0, 2]).await;
    // What may do something is not copied: the next that comes is the one after it.
    let post = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    assert_eq!(status(&edge.ask(post).await), "200");
    assert_eq!(status(&edge.ask(&get("/last")).await), "200");
    assert!(told.recv().await.expect("a copy").starts_with("GET /last "));
    until(|| copies(&edge).under_way == 0).await;
    let MirrorStatus { sent, lost, skipped, .. } = copies(&edge);
    assert_eq!((sent, lost, skipped), (3, 0, 0));
}

#[tokio::test]
async fn a_shadow_that_hangs_costs_its_bound_and_slows_nobody() {
    let web = Backend::plain("web").await;
    let shadow = Backend::new(|mut stream, _| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let start = async |copy: Duration| {
        let mut edge = TestEdge::start(Settings { copy, ..quick() }).await;
        edge.apply(mirrored(&web, &shadow)).await;
        edge
    };
    let edge = start(LONG * 10).await;
    let mut stream = edge.connect().await;
    for _ in 0..100 {
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
        assert!(read_until(&mut stream, "web /x ").await.starts_with("HTTP/1.1 200"));
    }
    let told = copies(&edge);
    assert_eq!((told.sent, told.skipped, told.under_way), (64, 36, 64), "{told:?}");
    // Where their time is over the places are free again.
    let edge = start(Duration::from_millis(100)).await;
    assert_eq!(body(&edge.ask(&get("/x")).await), "web /x ");
    until(|| copies(&edge).lost == 1 && copies(&edge).under_way == 0 && edge.in_flight(&shadow) == 0).await;
    assert_eq!(copies(&edge).classes, [0; 5]);
}

#[tokio::test]
async fn a_shadow_that_is_dead_is_counted_and_no_more() {
    let web = Backend::plain("web").await;
    let shadow = Backend::plain("shadow").await;
    shadow.accepting.abort();
    until(|| std::net::TcpStream::connect(shadow.address).is_err()).await;
    let mut edge = edge(mirrored(&web, &shadow)).await;
    for _ in 0..20 {
        assert_eq!(body(&edge.ask(&get("/x")).await), "web /x ");
    }
    until(|| copies(&edge).lost == 20).await;
    // One without any instance likewise.
    let mut share = mirrored(&web, &shadow);
    share.pools.get_mut("shadow").expect("a pool").endpoints.clear();
    edge.apply(share).await;
    assert_eq!(body(&edge.ask(&get("/x")).await), "web /x ");
    until(|| copies(&edge).lost == 21).await;
    assert_eq!((copies(&edge).sent, copies(&edge).under_way), (21, 0));
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_for_ever() {
    let web = Backend::plain("web").await;
    let shadow = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
    })
    .await;
    let edge = edge(mirrored(&web, &shadow)).await;
    assert_eq!(body(&edge.ask(&get("/x")).await), "web /x ");
    until(|| copies(&edge).under_way == 0 && edge.in_flight(&shadow) == 0).await;
    assert_eq!(copies(&edge).classes, [0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn a_table_whose_sides_or_copies_lead_nowhere_is_refused() {
    let web = Backend::plain("web").await;
    let mut edge = edge(split(&[("next", 1, &[]), ("web", 1, &[&web])], Sticky::No)).await;
    let mut without = split(&[("next", 1, &[]), ("web", 1, &[&web])], Sticky::No);
    without.pools.remove("next");
    let mut other = mirrored(&web, &web);
    other.pools.get_mut("shadow").expect("a pool").protocol = plan::traffic::PoolProtocol::H2;
    for (share, why) in [
        (without, "`shop` sends to the pool `next`, which it does not have"),
        (other, "`shop` has a route for `shop/web` that cannot be gone by: copies are sent in HTTP/1.1"),
    ] {
        let shares = BTreeMap::from([("shop".to_string(), share)]);
        let told = edge.server.apply(Document { generation: 9, shares, ..Document::default() }).await;
        let flaw = told.expect_err("it cannot be gone by");
        let source = std::error::Error::source(&flaw).map(ToString::to_string).unwrap_or_default();
        assert_eq!(source, why);
    }
}
