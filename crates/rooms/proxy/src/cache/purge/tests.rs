//! Which keys an address means.

use super::*;

/// A key as requests have it: over HTTPS or not, host, the host that a proxy names, and target.
fn key(secure: bool, host: &str, behind: &str, target: &str) -> Vec<u8> {
    let mut key = vec![u8::from(secure)];
    for part in [host, behind, target, "/onward", ""] {
        key.extend_from_slice(&(part.len() as u32).to_be_bytes());
        key.extend_from_slice(part.as_bytes());
    }
    key
}

/// `[SCHEME://]HOST/PATH`, with `*` at its end for all that begin so.
fn address(text: &str) -> Address {
    let (secure, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme == "https"), rest),
        None => (None, text),
    };
    let (host, target) = rest.split_at(rest.find('/').expect("a path"));
    let bare = target.trim_end_matches('*');
    Address { secure, host: host.into(), target: bare.into(), prefix: bare != target }
}

#[track_caller]
fn check(text: &str, key: &[u8], fits: bool) {
    let parts = Parts::of(key).expect("a key");
    assert_eq!(address(text).fits(&parts), fits, "{text}");
    assert_eq!(parts.end, key.len());
}

#[test]
fn an_address_means_itself_and_a_beginning_all_that_begin_so() {
    let news = key(false, "shop.example", "", "/news?page=1");
    for (text, fits) in [
        ("shop.example/news?page=1", true),
        ("http://SHOP.example/news?page=1", true),
        ("https://shop.example/news?page=1", false),
        ("shop.example/news", false),
        ("shop.example/news*", true),
        ("shop.example/*", true),
        ("shop.example/news/*", false),
        ("example/*", false),
        ("other.shop.example/*", false),
    ] {
        check(text, &news, fits);
    }
    check("https://shop.example/", &key(true, "shop.example", "", "/"), true);
}

#[test]
fn a_port_counts_where_it_is_named_and_a_proxy_is_believed() {
    let at_port = key(false, "shop.example:8080", "", "/");
    check("shop.example/", &at_port, true);
    check("shop.example:8080/", &at_port, true);
    check("shop.example:81/", &at_port, false);
    check("shop.example:8080/", &key(false, "shop.example", "", "/"), false);
    check("[::1]/", &key(false, "[::1]:80", "", "/"), true);
    check("[::1]/", &key(false, "[::1]", "", "/"), true);
    let behind = key(true, "inner", "shop.example", "/");
    check("shop.example/", &behind, true);
    check("inner/", &behind, false);
}

#[test]
fn what_an_answer_varies_by_is_behind_its_target() {
    let target = key(false, "a", "", "/");
    let variant = [&target[..], &7u64.to_be_bytes(), b"gzip"].concat();
    assert_eq!(Parts::of(&variant).map(|parts| parts.end), Some(target.len()));
    for cut in 0..target.len() {
        assert!(Parts::of(&target[..cut]).is_none(), "{cut}");
    }
}
