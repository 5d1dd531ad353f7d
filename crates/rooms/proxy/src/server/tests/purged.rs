//! Kept answers that are thrown away by hand.

use spec::Caching;

use super::cached::{Origin, cached_share, caching, page};
use super::*;
use crate::cache::{Address, Purge, Purged};

const KEPT: &str = "Cache-Control: max-age=60\r\n";

/// What is kept for this address, or for all that begin so.
fn address(target: &str, prefix: bool) -> Purge {
    Purge::Address(Address { secure: None, host: "a.example".into(), target: target.into(), prefix })
}

fn purged(edge: &TestEdge, which: &Purge) -> Vec<(String, u64)> {
    edge.server.purge(which).into_iter().map(|Purged { service, answers }| (service, answers)).collect()
}

fn of_web(answers: u64) -> Vec<(String, u64)> {
    vec![("shop/web".to_owned(), answers)]
}

/// Whether the answer was kept before.
async fn is_hit(edge: &TestEdge, path: &'static str, lines: &'static str) -> bool {
    edge.fetch(path, lines).await.contains("cache-status: sea; hit")
}

#[tokio::test]
async fn what_is_thrown_away_is_fetched_anew_by_all_threads_and_the_rest_stays() {
    let origin = Origin::new(|_, number| page(KEPT, number)).await;
    let edge = caching(&origin, Caching::default()).await;
    for path in ["/a", "/a?x=1", "/a/b", "/c"] {
        edge.fetch(path, "").await;
    }
    assert_eq!(purged(&edge, &address("/none", false)), of_web(0), "nothing is no error");
    assert_eq!(purged(&edge, &address("/a", false)), of_web(1));
    for (path, kept) in [("/a", false), ("/a?x=1", true), ("/a/b", true), ("/c", true)] {
        assert_eq!(is_hit(&edge, path, "").await, kept, "{path}");
    }
    // Whichever thread is asked, it has the new one.
    for _ in 0..8 {
        assert!(is_hit(&edge, "/a", "").await);
    }
    assert_eq!(purged(&edge, &address("/a", true)), of_web(3));
    assert!(!is_hit(&edge, "/a/b", "").await && is_hit(&edge, "/c", "").await);
    for (name, answers) in [("shop/other", vec![]), ("shop", of_web(2)), ("shop/web", of_web(0))] {
        assert_eq!(purged(&edge, &Purge::Owner(name.into())), answers, "{name}");
    }
    assert!(!is_hit(&edge, "/c", "").await);
    assert_eq!(edge.sums().purged, 6);
}

#[tokio::test]
async fn all_that_an_address_varies_by_goes_at_once() {
    let origin = Origin::new(|_, number| page(&format!("{KEPT}Vary: X-Color\r\n"), number)).await;
    let edge = caching(&origin, Caching::default()).await;
    let colors = ["X-Color: red\r\n", "X-Color: blue\r\n", ""];
    for color in colors {
        edge.fetch("/", color).await;
        assert!(is_hit(&edge, "/", color).await, "{color}");
    }
    assert_eq!(purged(&edge, &address("/", false)), of_web(3));
    for color in colors {
        assert!(!is_hit(&edge, "/", color).await, "{color}");
    }
    // What a change of the page has made invalid is found by nobody, and counts no more.
    edge.ask("POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    edge.fetch("/", colors[0]).await;
    assert_eq!(purged(&edge, &address("/", false)), of_web(1));
    assert_eq!((edge.sums().answers, edge.sums().bytes), (0, 0));
}

#[tokio::test]
async fn what_is_being_fetched_meanwhile_is_not_kept_and_given_to_nobody_who_comes_later() {
    let origin = Origin::held(|_, number| page(KEPT, number)).await;
    let edge = caching(&origin, Caching::default()).await;
    let fetch = |http: SocketAddr| {
        let request = get("/").replace("Host: a", "Host: a.example");
        tokio::spawn(async move { ask(http, &request).await })
    };
    let first = fetch(edge.http);
    until(|| origin.asked() == 1).await;
    assert_eq!(purged(&edge, &address("/", false)), of_web(0));
    let later = fetch(edge.http);
    until(|| origin.asked() == 2).await;
    origin.let_through(2);
    let (first, later) = (first.await.expect("no panic"), later.await.expect("no panic"));
    assert!(first.ends_with("page 0") && later.ends_with("page 1"), "{first}\n{later}");
    assert_eq!(edge.sums().answers, 1, "only the second");
    assert!(edge.fetch("/", "").await.ends_with("page 1"));
}

#[tokio::test]
async fn a_service_that_keeps_nothing_has_nothing_to_throw_away() {
    let backend = Backend::plain("one").await;
    let mut edge = TestEdge::to(quick(), &[&backend]).await;
    assert_eq!(purged(&edge, &address("/", true)), vec![]);
    let origin = Origin::new(|_, number| page(KEPT, number)).await;
    edge.apply(cached_share(&origin, Caching::default())).await;
    assert_eq!(purged(&edge, &address("/", true)), of_web(0));
}
