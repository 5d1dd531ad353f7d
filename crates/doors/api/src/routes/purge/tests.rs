//! What an order means, and what is told of it.

use super::*;

/// What is to be thrown away, for people.
fn meant(order: RoutePurge) -> String {
    match which(order) {
        Ok((Purge::Address(it), shown)) => {
            let scheme = it.secure.map_or("any", |secure| if secure { "https" } else { "http" });
            let behind = if it.prefix { "…" } else { "" };
            format!("{shown}: {scheme} {} {}{behind}", it.host, it.target)
        }
        Ok((Purge::Owner(name), shown)) => format!("{shown}: all of {name}"),
        Err(refusal) => refusal.0.message,
    }
}

#[test]
fn an_order_names_a_url_or_an_owner() {
    let url = |url: &str, prefix| RoutePurge { url: Some(url.into()), prefix, all: None };
    let all = RoutePurge { all: Some("shop".into()), ..RoutePurge::default() };
    for (order, wanted) in [
        (url("shop.example/a?b", false), "`shop.example/a?b`: any shop.example /a?b"),
        (url("https://a:443/x", true), "what begins with `https://a:443/x`: https a /x…"),
        (url("http://a:443", false), "`http://a:443`: http a:443 /"),
        (url("ftp://a/", false), "`ftp://a/` is of another scheme than http and https"),
        (all.clone(), "`shop`: all of shop"),
        (RoutePurge { prefix: true, ..all.clone() }, "it is not said what to throw away"),
        (RoutePurge { url: Some("a/".into()), ..all }, "it is not said what to throw away"),
        (RoutePurge::default(), "it is not said what to throw away"),
    ] {
        assert_eq!(meant(order), wanted);
    }
}

#[test]
fn nothing_found_is_told_with_the_reason() {
    let purged = |counts: &[u64]| {
        let one =
            |(place, answers): (usize, &u64)| Purged { service: format!("shop/{place}"), answers: *answers };
        told(counts.iter().enumerate().map(one).collect(), "`a/b`")
    };
    for (counts, answers, message) in [
        (&[][..], 0, "nothing: no service that is meant keeps answers"),
        (&[0, 0], 0, "nothing: no answer is kept for `a/b`"),
        (&[1, 0, 2], 3, "threw away 1 answer of `shop/0`, 2 answers of `shop/2`"),
    ] {
        let told = purged(counts);
        assert_eq!((told.answers, told.services.len(), &*told.message), (answers, counts.len(), message));
    }
}
