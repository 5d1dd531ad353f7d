//! Where redirects lead, which fields pass, who asks, and which rules are no rules.

use expect_test::{Expect, expect};
use plan::tls::RuleHttps;
use proptest::prelude::*;
use spec::{HeaderRules, PathPrefix, Redirect};

use super::*;
use crate::head::request;

fn rule(rules: RouteRules) -> RouteRule {
    RouteRule {
        host: None,
        path: PathPrefix("/old".into()),
        strip_prefix: false,
        pool: String::new(),
        https: RuleHttps::default(),
        rules,
        users: None,
        asks: String::new(),
    }
}

fn redirect(site: Option<&str>, path: Option<&str>) -> Redirect {
    Redirect {
        status: 307,
        scheme: site.map(|_| "https".into()),
        host: site.map(Into::into),
        path: path.map(|path| PathPrefix(path.into())),
        keep_path: true,
        keep_query: true,
    }
}

/// Where a route for `/old` sends requests for these targets.
#[track_caller]
fn leads(redirect: Redirect, targets: &str, want: Expect) {
    let away = Away::of(&redirect).expect("a redirect");
    let lines = targets.split_whitespace().map(|target| {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let text = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = request::parse(text.as_bytes(), &mut Vec::new()).expect("a request");
        let asked = Incoming {
            client: [127, 0, 0, 1].into(),
            head: &head,
            fields: &[],
            buf: text.as_bytes(),
            prefix: 4,
        };
        let mut lines = Vec::new();
        away.send(&asked, &mut lines);
        format!("{target} {}\n", String::from_utf8_lossy(&lines).trim_end())
    });
    want.assert_eq(&lines.collect::<String>());
}

#[test]
fn a_redirect_keeps_what_it_is_told_to_keep() {
    let targets = "/old /old/ /old/a?b=/../c /old?q /old//evil.example/ http://a/old/x *";
    leads(
        redirect(Some("b.example"), None),
        targets,
        expect![[r#"
            /old location: https://b.example/old
            /old/ location: https://b.example/old/
            /old/a?b=/../c location: https://b.example/old/a?b=/../c
            /old?q location: https://b.example/old?q
            /old//evil.example/ location: https://b.example/old//evil.example/
            http://a/old/x location: https://b.example/old/x
            * location: https://b.example/
        "#]],
    );
    leads(
        redirect(None, Some("/new/")),
        targets,
        expect![[r#"
            /old location: /new/
            /old/ location: /new/
            /old/a?b=/../c location: /new/a?b=/../c
            /old?q location: /new/?q
            /old//evil.example/ location: /new//evil.example/
            http://a/old/x location: /new/x
            * location: /new/
        "#]],
    );
    leads(
        redirect(None, Some("/")),
        targets,
        expect![[r#"
            /old location: /
            /old/ location: /
            /old/a?b=/../c location: /a?b=/../c
            /old?q location: /?q
            /old//evil.example/ location: /evil.example/
            http://a/old/x location: /x
            * location: /
        "#]],
    );
    leads(
        Redirect { keep_path: false, keep_query: false, ..redirect(Some("b.example:8443"), Some("/sale")) },
        "/old /old/a?b",
        expect![[r#"
            /old location: https://b.example:8443/sale
            /old/a?b location: https://b.example:8443/sale
        "#]],
    );
    leads(
        Redirect { keep_path: false, ..redirect(Some("b.example"), None) },
        "/old/a?b",
        expect![[r#"
            /old/a?b location: https://b.example/?b
        "#]],
    );
}

#[test]
fn the_client_is_the_rightmost_that_is_no_proxy_of_ours() {
    let trusted: Vec<Cidr> =
        ["10.0.0.0/8", "fd00::/8"].iter().map(|range| range.parse().expect("a range")).collect();
    let check = |lists: &[&str], want: &str| {
        let lines: String = lists.iter().map(|list| format!("X-Forwarded-For: {list}\r\n")).collect();
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut fields = Vec::new();
        request::parse(text.as_bytes(), &mut fields).expect("a request");
        let found = origin([10, 0, 0, 1].into(), &fields, text.as_bytes(), &trusted);
        assert_eq!(found.to_string(), want, "{lists:?}");
    };
    check(&[], "10.0.0.1");
    check(&["192.0.2.7"], "192.0.2.7");
    check(&["6.6.6.6, 192.0.2.7"], "192.0.2.7");
    check(&["6.6.6.6, 192.0.2.7, 10.1.1.1"], "192.0.2.7");
    check(&["6.6.6.6", "192.0.2.7", "10.1.1.1,fd00::5"], "192.0.2.7");
    check(&["::ffff:192.0.2.7"], "192.0.2.7");
    check(&["192.0.2.7:4711, [fd00::5]:80"], "192.0.2.7");
    check(&["[2001:db8::1]"], "2001:db8::1");
    check(&["10.2.2.2, 10.1.1.1"], "10.2.2.2");
    check(&["192.0.2.7, unknown, 10.1.1.1"], "10.1.1.1");
    check(&["192.0.2.7, "], "10.0.0.1");
}

#[test]
fn who_may_come_is_told_by_address() {
    let ranges = |list: &[&str]| list.iter().map(|range| range.parse().expect("a range")).collect();
    let lets_in = |allow: &[&str], deny: &[&str], client: &str| {
        let rules = RouteRules { allow: ranges(allow), deny: ranges(deny), ..RouteRules::default() };
        let rules = Rules::of("shop", &rule(rules), |source| Users::of(source).map(Arc::new))
            .expect("good rules")
            .expect("some rules");
        rules.lets_in(client.parse().expect("an address"))
    };
    assert!(lets_in(&["10.0.0.0/8"], &[], "10.1.2.3") && !lets_in(&["10.0.0.0/8"], &[], "11.1.2.3"));
    assert!(!lets_in(&[], &["10.0.0.0/8"], "10.1.2.3") && lets_in(&[], &["10.0.0.0/8"], "11.1.2.3"));
    assert!(!lets_in(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3"), "who is denied may not come");
    assert!(lets_in(&["fd00::/8"], &[], "fd12::1") && !lets_in(&["fd00::/8"], &[], "10.1.2.3"));
}

#[test]
fn rules_that_would_break_a_message_are_refused() {
    let flaw = |rules: RouteRules| {
        Rules::of("shop", &rule(rules), |source| Users::of(source).map(Arc::new))
            .err()
            .unwrap_or_else(|| "none".into())
    };
    let request = |name: &str, value: &str| RouteRules {
        request_headers: HeaderRules { set: [(name.into(), value.into())].into(), ..HeaderRules::default() },
        ..RouteRules::default()
    };
    let sent = |redirect| RouteRules { redirect: Some(redirect), ..RouteRules::default() };
    let replaced = |prefix: &str| RouteRules {
        replace_prefix: Some(PathPrefix(prefix.into())),
        ..RouteRules::default()
    };
    let lines = [
        request("x-a", "b"),
        request("content-length", "5"),
        request("X-A", "b"),
        request("x-a", "b\r\nc: d"),
        sent(Redirect { status: 303, ..redirect(Some("a"), None) }),
        sent(redirect(Some("a b"), None)),
        sent(redirect(None, None)),
        sent(redirect(None, Some("/a/../b"))),
        replaced("//a"),
        RouteRules { rewrite_host: Some("a\r\n".into()), ..RouteRules::default() },
        RouteRules { deny: vec!["::ffff:10.0.0.0/104".parse().expect("a range")], ..RouteRules::default() },
    ];
    let lines: String = lines.into_iter().map(|rules| format!("{}\n", flaw(rules).escape_debug())).collect();
    expect![[r#"
        none
        the field `content-length` belongs to the connection, not to the message
        the field `X-A` is not in lower case
        the value of the field `x-a` holds what values cannot hold
        303 is no status of a redirect
        a redirect leads to a scheme and a host, or to a path
        a redirect leads to a scheme and a host, or to a path
        `/a/../b` is no path: `.` and `..` lead to different places with different servers
        `//a` is no path: a path begins with one `/`
        `a\r\n` is no host
        no client is known by an address in `::ffff:10.0.0.0/104`
    "#]]
    .assert_eq(&lines);
}

const ANN: &str = "ann:$2y$04$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

#[test]
fn a_route_that_asks_for_a_password_has_users() {
    let auth =
        |realm: &str| BasicAuth { users: "list".into(), realm: realm.into(), keep_authorization: false };
    let flaw = |realm: &str, list: Option<&str>| {
        let rules = RouteRules { basic_auth: Some(auth(realm)), ..RouteRules::default() };
        let rule = RouteRule { users: list.map(|list| Blob(list.into())), ..rule(rules) };
        Rules::of("shop", &rule, |source| Users::of(source).map(Arc::new))
            .err()
            .unwrap_or_else(|| "none".into())
    };
    assert_eq!(flaw("the shop", Some(ANN)), "none");
    assert_eq!(flaw("the shop", None), "the list of users `list` is missing");
    assert_eq!(flaw("the shop", Some("")), "the list of users: there is no user in it");
    assert_eq!(flaw("the \"shop", Some(ANN)), "`the \\\"shop` cannot be shown to browsers");
}

#[tokio::test]
async fn who_has_many_passwords_checked_leaves_places_to_others() {
    let source = Blob(format!("ann:{}", bcrypt::hash("right", 4).expect("a hash")).into_bytes());
    let users = Arc::new(Users::of(&source).expect("a list"));
    let turn = users.checking.clone().acquire_owned().await.expect("nobody closes it");
    let claim = |client: u8, password: &str| {
        let credentials = data_encoding::BASE64.encode(format!("ann:{password}").as_bytes());
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\r\n");
        let mut fields = Vec::new();
        request::parse(text.as_bytes(), &mut fields).expect("a request");
        match users.claim([192, 0, 2, client].into(), &fields, text.as_bytes()) {
            Claim::New(check) => Box::pin(check.run()),
            Claim::Known | Claim::Nobody => panic!("it is not known yet"),
        }
    };
    let mut waiting = Vec::new();
    let busy = loop {
        let mut guess = claim(1, &waiting.len().to_string());
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(guess.as_mut().poll(cx))).await;
        match polled {
            std::task::Poll::Ready(end) => break end,
            std::task::Poll::Pending => waiting.push(guess),
        }
    };
    assert_eq!((waiting.len(), busy), (57, Err(Refusal::AUTH_BUSY)));
    let mut other = claim(2, "right");
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(other.as_mut().poll(cx))).await;
    assert!(polled.is_pending(), "there is a place for another");
    drop((waiting, turn));
    assert_eq!(other.await, Ok(()));
}

#[tokio::test]
async fn a_check_that_is_given_up_keeps_its_turn_to_its_end() {
    let source = Blob(format!("ann:{}", bcrypt::hash("right", 11).expect("a hash")).into_bytes());
    let users = Arc::new(Users::of(&source).expect("a list"));
    let text = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YW5uOnJpZ2h0\r\n\r\n";
    let mut fields = Vec::new();
    request::parse(text.as_bytes(), &mut fields).expect("a request");
    let claim = || match users.claim([192, 0, 2, 1].into(), &fields, text.as_bytes()) {
        Claim::New(check) => Box::pin(check.run()),
        Claim::Known | Claim::Nobody => panic!("it is not known yet"),
    };
    let mut given_up = claim();
    std::future::poll_fn(|cx| {
        assert!(given_up.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    drop(given_up);
    assert_eq!(users.checking.available_permits(), 0, "it is still being checked");
    assert_eq!(claim().await, Ok(()));
    assert!(matches!(users.claim([192, 0, 2, 1].into(), &fields, text.as_bytes()), Claim::Known));
}

#[test]
fn pages_are_for_those_who_ask_for_html() {
    let takes = |accept: &str| {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n");
        let mut fields = Vec::new();
        request::parse(text.as_bytes(), &mut fields).expect("a request");
        pages::takes_html(&fields, text.as_bytes())
    };
    for accept in [
        "Accept: text/html\r\n",
        "accept: a/b, TEXT/HTML;q=0.9,*/*\r\n",
        "Accept: a/b\r\nAccept: text/html\r\n",
    ] {
        assert!(takes(accept), "{accept:?}");
    }
    for accept in [
        "",
        "Accept: */*\r\n",
        "Accept: text/*\r\n",
        "Accept: text/html;q=0\r\n",
        "Accept: application/json\r\n",
    ] {
        assert!(!takes(accept), "{accept:?}");
    }
}

#[test]
fn the_most_exact_page_is_shown() {
    let pages =
        |list: &[(&str, &str)]| list.iter().map(|(key, page)| ((*key).into(), (*page).into())).collect();
    let of = |list: &[(&str, &str)], replaced: &[&str]| {
        let replaced: Vec<String> = replaced.iter().map(|key| (*key).into()).collect();
        Pages::of(&pages(list), &replaced)
    };
    let list = [("404", "a"), ("4xx", "b"), ("5xx", "c")];
    let some = of(&list, &["403", "5xx"]).expect("good").expect("some");
    assert_eq!(
        [404, 403, 503, 307].map(|status| some.find(status).map(|page| &**page)),
        [Some(&b"a"[..]), Some(b"b"), Some(b"c"), None]
    );
    assert_eq!(
        [404, 403, 503, 307].map(|status| some.replacement(status).map(|page| &**page)),
        [None, Some(&b"b"[..]), Some(b"c"), None]
    );
    assert!(of(&[("3xx", "a")], &[]).is_err() && of(&[("200", "a")], &[]).is_err());
    assert!(of(&[("5xx", &"a".repeat(64 * 1024 + 1))], &[]).is_err());
    assert!(of(&[("5xx", "a")], &["200"]).is_err());
}

#[test]
fn the_coding_that_the_client_likes_best_is_taken() {
    let check = |accept: &str, want: Option<Coding>| {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept}\r\n\r\n");
        let mut fields = Vec::new();
        request::parse(text.as_bytes(), &mut fields).expect("a request");
        assert_eq!(Coding::of(&fields, text.as_bytes()), want, "{accept}");
    };
    let (gzip, zstd) = (Some(Coding::Gzip), Some(Coding::Zstd));
    check("gzip", gzip);
    check("gzip, deflate, br, zstd", zstd);
    check("gzip, deflate, br", Some(Coding::Brotli { or_gzip: true }));
    check("br;q=0.5, gzip;q=0.6", gzip);
    check("br, gzip;q=0, zstd;q=0.9", Some(Coding::Brotli { or_gzip: false }));
    check("br;q=0, *", gzip);
    check("GZIP;q=1.0, zstd;q=0.999", gzip);
    check("gzip;q=0.5, zstd;q=0.5", zstd);
    check("gzip; q=0.001", gzip);
    check("*", gzip);
    check("*;q=0.1, gzip;q=0", None);
    check("zstd;q=0, *;q=0.5", gzip);
    for none in [
        "",
        "identity",
        "deflate",
        "br;q=0",
        "gzip;q=0",
        "gzip;q=0.000, zstd;q=0",
        "gzip;q=x",
        "gzip;level=1",
        "x-gzip",
    ] {
        check(none, None);
    }
}

#[test]
fn only_what_gains_and_may_be_changed_is_compressed() {
    let suits = |status: u16, fields: &str| {
        let text = format!("HTTP/1.1 {status} OK\r\n{fields}\r\n");
        let mut fields = Vec::new();
        let head = crate::head::response::parse(text.as_bytes(), &mut fields).expect("an answer");
        press::suits(&head, &fields, text.as_bytes())
    };
    let kinds = [
        "text/html; charset=utf-8",
        "TEXT/css",
        "application/json",
        "image/svg+xml",
        "application/wasm",
        "text/event-stream",
    ];
    for kind in kinds {
        assert!(suits(200, &format!("Content-Type: {kind}\r\n")), "{kind}");
        assert!(suits(404, &format!("Content-Type: {kind}\r\nContent-Length: 1024\r\n")), "{kind}");
        assert!(!suits(200, &format!("Content-Type: {kind}\r\nContent-Length: 1023\r\n")), "{kind}");
        for status in [204, 206, 304] {
            assert!(!suits(status, &format!("Content-Type: {kind}\r\n")), "{status}");
        }
        for more in [
            "Content-Encoding: br",
            "Content-Range: bytes 1-2/3",
            "Content-Digest: a",
            "Cache-Control: private, No-Transform",
        ] {
            assert!(!suits(200, &format!("Content-Type: {kind}\r\n{more}\r\n")), "{more}");
        }
    }
    for kind in [
        "image/png",
        "video/mp4",
        "application/zip",
        "application/octet-stream",
        "application/grpc",
        "font/woff2",
    ] {
        assert!(!suits(200, &format!("Content-Type: {kind}\r\n")), "{kind}");
    }
    assert!(!suits(200, ""), "who knows what it is");
}

proptest! {
    /// Whatever of a request is let in, what is written in its place would be let in too, and stays where it belongs.
    #[test]
    fn what_is_rewritten_is_as_strict_as_what_came(rest in "(/|//|[a-z.;%25cfF0-9\\\\]){0,12}(\\?[a-z/.%]{0,6})?", to in 0..4usize) {
        let text = format!("GET /old{rest} HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n");
        let mut fields = Vec::new();
        let parsed = request::parse(text.as_bytes(), &mut fields);
        prop_assume!(parsed.is_ok());
        let head = parsed.expect("it is let in");
        // Only what lies under the prefix is routed here.
        let after = head.path.of(text.as_bytes()).get(4).copied();
        prop_assume!(after.is_none_or(|c| c == b'/'));
        let path = ["/", "/v2", "/v2/", "/a%20b/c"][to];
        let rules = RouteRules { replace_prefix: Some(PathPrefix(path.into())), ..RouteRules::default() };
        let made = Rules::of("shop", &rule(rules), |source| Users::of(source).map(Arc::new)).expect("good rules");
        let on = Onward {
            forwarded: b"",
            peer: b"",
            trusted: false,
            secure: false,
            presented: b"",
            strip: 4,
            rewrite: made.as_ref().and_then(|rules| rules.onward.as_ref()),
            left: None,
            local: ([127, 0, 0, 1], 80).into(),
        };
        let mut out = Vec::new();
        crate::forward::request(&mut out, text.as_bytes(), &head, &fields, &on);
        let mut anew = Vec::new();
        let written = request::parse(&out, &mut anew).expect("what is written is let in");
        let (target, trimmed) = (written.target.of(&out), path.trim_end_matches('/'));
        prop_assert!(target.starts_with(trimmed.as_bytes()) && !target.starts_with(b"//"));
        let away = Away::of(&redirect(None, Some(path))).expect("a redirect");
        let asked = Incoming { client: [127, 0, 0, 1].into(), head: &head, fields: &[], buf: text.as_bytes(), prefix: 4 };
        let mut line = Vec::new();
        away.send(&asked, &mut line);
        let place = line.strip_prefix(b"location: ").and_then(|line| line.strip_suffix(b"\r\n")).expect("a line");
        prop_assert!(place.starts_with(trimmed.as_bytes()) && !place.starts_with(b"//") && !place.contains(&b'\n'));
        let again = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", String::from_utf8_lossy(place));
        prop_assert!(request::parse(again.as_bytes(), &mut Vec::new()).is_ok(), "{}", again);
    }
}

#[test]
fn few_answers_are_in_brotli_at_once_and_others_in_gzip_if_the_client_takes_it() {
    let pressing = Pressing::default();
    let new = |or_gzip| Press::new(Coding::Brotli { or_gzip }, &pressing);
    let first: Vec<_> = std::iter::from_fn(|| new(false)).collect();
    assert_eq!(first.len(), 16);
    assert_eq!(new(true).map(|(_, coding)| coding), Some(Coding::Gzip));
    drop(first);
    assert_eq!(new(true).map(|(_, coding)| coding), Some(Coding::Brotli { or_gzip: true }));
}
