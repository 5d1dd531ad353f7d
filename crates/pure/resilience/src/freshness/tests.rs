//! The RFCs' rules as tables: what is kept, for how long, and what is done with it then.

use std::time::Duration;

use base::{Instant, Rng, Timestamp};
use expect_test::{Expect, expect};
use proptest::prelude::{any, prop_assert, proptest};

use super::{Answer, CacheControl, Entry, Received, Request, Rules, Use, Vary, invalidates, may_share};

const BARE: Rules = Rules {
    ttl: None,
    heuristic: None,
    stale_while_revalidate: None,
    stale_if_error: None,
    early: 0.0,
    renew_within: Duration::from_secs(10),
    longest: Duration::from_secs(86_400),
    heed_requests: false,
};

#[test]
fn only_what_is_allowed_is_kept() {
    check_kept("", "max-age=60", expect!["fresh for 60s"]);
    check_kept("", "MAX-AGE=60, s-maxage=\"90\"", expect!["fresh for 90s"]);
    check_kept("", "max-age=60, max-age=5", expect!["fresh for 5s"]);
    check_kept("", "", expect!["neither the answer nor the route allows to reuse it"]);
    check_kept("", "max-age=99999999999999999999", expect!["fresh for 86400s"]);
    check_kept("", "no-store, max-age=60", expect!["`no-store` forbids to keep the answer"]);
    check_kept("", "no-store, must-understand, max-age=60", expect!["fresh for 60s"]);
    check_kept("", "private, max-age=60", expect!["`private` forbids to keep the answer for others"]);
    check_kept(
        "",
        "private=\"x, y\", max-age=60",
        expect!["`private` forbids to keep the answer for others"],
    );
    check_kept("", "ext=\"a, no-store\", max-age=60", expect!["fresh for 60s"]);
    check_kept("", "max-age=0", expect!["the answer is stale already"]);
    check_kept("", "max-age=soon", expect!["the answer is stale already"]);
    check_kept("etag", "max-age=0", expect!["fresh for 0s"]);
    check_kept("etag", "no-cache", expect!["fresh for 0s"]);
    check_kept("", "no-cache, max-age=60", expect!["the answer is stale already"]);
    check_kept("", "max-age=0, stale-while-revalidate=5", expect!["fresh for 0s"]);
    check_kept("cookie", "max-age=60", expect!["the answer sets a cookie"]);
    check_kept("vary=*", "max-age=60", expect!["the answer varies by more than can be matched"]);
    check_kept("vary=Accept", "max-age=60", expect!["fresh for 60s"]);
}

#[test]
fn requests_that_are_special_keep_nothing() {
    check_kept("post", "max-age=60", expect!["only answers to plain GET requests are kept"]);
    check_kept("range", "max-age=60", expect!["only answers to plain GET requests are kept"]);
    check_kept("asks=no-store", "max-age=60", expect!["`no-store` forbids to keep the answer"]);
    let authorized = expect!["the answer to an authorized request does not allow sharing"];
    check_kept("authorized", "max-age=60", authorized);
    check_kept("authorized", "max-age=60, public", expect!["fresh for 60s"]);
    check_kept("authorized", "s-maxage=60", expect!["fresh for 60s"]);
    check_kept("authorized", "max-age=60, must-revalidate", expect!["fresh for 60s"]);
}

#[test]
fn statuses_are_kept_by_their_meaning() {
    check_kept("404", "max-age=60", expect!["fresh for 60s"]);
    check_kept("301", "max-age=60", expect!["fresh for 60s"]);
    check_kept("302", "max-age=60", expect!["fresh for 60s"]);
    check_kept("206", "max-age=60", expect!["answers with this status are not kept"]);
    check_kept("304", "max-age=60", expect!["answers with this status are not kept"]);
    check_kept("500", "max-age=60", expect!["answers with this status are not kept"]);
}

#[test]
fn dates_and_the_route_say_how_long_where_no_directive_does() {
    let date = "date=Mon, 01 Jun 2026 00:00:00 GMT";
    check_kept(&format!("{date};expires=Mon, 01 Jun 2026 00:05:00 GMT"), "", expect!["fresh for 300s"]);
    check_kept("expires=0;etag", "", expect!["fresh for 0s"]);
    check_kept(
        &format!("{date};expires=Mon, 01 Jun 2026 00:05:00 GMT"),
        "max-age=77",
        expect!["fresh for 77s"],
    );
    let modified = "modified=Sun, 31 May 2026 23:00:00 GMT";
    check_kept(modified, "", expect!["neither the answer nor the route allows to reuse it"]);
    check_kept(&format!("heuristic;{date};{modified}"), "", expect!["fresh for 360s"]);
    check_kept(
        &format!("heuristic;302;{modified}"),
        "",
        expect!["neither the answer nor the route allows to reuse it"],
    );
    check_kept("ttl", "", expect!["fresh for 30s"]);
    check_kept("ttl", "max-age=5", expect!["fresh for 5s"]);
    check_kept("ttl", "private", expect!["`private` forbids to keep the answer for others"]);
}

#[test]
fn the_time_of_the_route_is_for_answers_that_say_nothing_and_mean_something_lasting() {
    check_kept("404;ttl", "", expect!["fresh for 30s"]);
    check_kept("503;ttl", "", expect!["neither the answer nor the route allows to reuse it"]);
    check_kept("302;ttl", "", expect!["neither the answer nor the route allows to reuse it"]);
    check_kept("503;ttl", "max-age=5", expect!["fresh for 5s"]);
}

#[test]
fn who_waits_for_the_same_gets_what_others_may_have() {
    check_shared("", "max-age=60", expect!["shared"]);
    // It took a second, and asking again would take another.
    check_shared("", "max-age=1", expect!["shared"]);
    check_shared("", "max-age=0", expect!["the answer is stale already"]);
    check_shared("", "max-age=0, stale-while-revalidate=5", expect!["shared"]);
    check_shared("", "no-cache", expect!["the answer is stale already"]);
    check_shared("", "", expect!["neither the answer nor the route allows to reuse it"]);
    check_shared("ttl", "", expect!["shared"]);
    check_shared("ttl;cookie", "", expect!["the answer sets a cookie"]);
    check_shared("", "private, max-age=60", expect!["`private` forbids to keep the answer for others"]);
    check_shared(
        "authorized",
        "max-age=9",
        expect!["the answer to an authorized request does not allow sharing"],
    );
    check_shared("500", "", expect!["shared"]);
    check_shared("503", "no-store", expect!["`no-store` forbids to keep the answer"]);
    check_shared("500;cookie", "", expect!["the answer sets a cookie"]);
    check_shared("401", "max-age=60", expect!["answers with this status are not kept"]);
}

#[test]
fn an_answer_has_an_age_already_when_it_comes() {
    check_use("age=50", "max-age=60", 0, expect!["serve at 51s"]);
    check_use("age=50", "max-age=60", 8, expect!["serve at 59s"]);
    check_use("age=50", "max-age=60", 9, expect!["ask"]);
    // The calendar here says 00:00:30.
    check_use("date=Mon, 01 Jun 2026 00:00:00 GMT", "max-age=60", 0, expect!["serve at 30s"]);
    check_use("date=Mon, 01 Jun 2026 00:00:00 GMT;age=40", "max-age=60", 0, expect!["serve at 41s"]);
    check_use("date=Mon, 01 Jun 2026 09:00:00 GMT", "max-age=60", 0, expect!["serve at 1s"]);
}

#[test]
fn stale_answers_are_served_as_far_as_they_allow() {
    check_use("", "max-age=10", 9, expect!["ask"]);
    let both = "max-age=10, stale-while-revalidate=20, stale-if-error=60";
    check_use("", both, 5, expect!["serve at 6s"]);
    check_use("", both, 15, expect!["serve at 16s, renew; serve at 16s"]);
    check_use("", both, 30, expect!["ask"]);
    check_use("fails", both, 30, expect!["ask, on error 31s"]);
    check_use("fails", both, 70, expect!["ask"]);
    check_use("fails", "max-age=10, stale-if-error=60, must-revalidate", 15, expect!["ask"]);
    check_use("fails", "max-age=10, stale-if-error=60, proxy-revalidate", 15, expect!["ask"]);
    check_use("fails", "s-maxage=10, stale-if-error=60", 15, expect!["ask, on error 16s"]);
    check_use("stale", "max-age=10", 15, expect!["serve at 16s, renew; serve at 16s"]);
    check_use("stale", "s-maxage=10", 15, expect!["ask"]);
    check_use("stale", "max-age=10, must-revalidate", 15, expect!["ask"]);
    check_use("stale", "max-age=10, stale-while-revalidate=0", 15, expect!["ask"]);
    check_use("etag", "no-cache", 0, expect!["ask"]);
}

#[test]
fn wishes_of_requests_are_heeded_only_if_the_route_says_so() {
    check_use("asks=no-cache", "max-age=60", 5, expect!["serve at 6s"]);
    check_use("heed;asks=no-cache", "max-age=60", 5, expect!["ask"]);
    check_use("heed;pragma", "max-age=60", 5, expect!["ask"]);
    check_use("heed;pragma;asks=max-age=9", "max-age=60", 5, expect!["serve at 6s"]);
    check_use("heed;asks=max-age=5", "max-age=60", 5, expect!["ask"]);
    check_use("heed;asks=min-fresh=55", "max-age=60", 5, expect!["ask"]);
    check_use("heed;asks=min-fresh=54", "max-age=60", 5, expect!["serve at 6s"]);
    check_use("heed;asks=min-fresh=1", "max-age=10, stale-while-revalidate=60", 13, expect!["ask"]);
    check_use("heed;asks=max-stale=5", "max-age=10", 13, expect!["serve at 14s"]);
    check_use("heed;asks=max-stale=3", "max-age=10", 13, expect!["ask"]);
    check_use("heed;asks=max-stale", "max-age=10", 1000, expect!["serve at 1001s"]);
    check_use("heed;asks=max-stale", "max-age=10, must-revalidate", 13, expect!["ask"]);
    check_use("asks=only-if-cached", "max-age=10", 13, expect!["refuse"]);
    check_use("asks=only-if-cached", "max-age=10", 3, expect!["serve at 4s"]);
}

#[test]
fn an_answer_of_304_makes_it_fresh_again_and_keeps_what_it_does_not_say() {
    let mut entry = kept("max-age=10", &[("etag", "\"v1\"")]);
    let received = received(100);
    entry.refresh(&BARE, &Answer::status(304), received);
    assert_eq!(entry.decide(&BARE, &Request::get(), received.now, &mut Rng::seeded(1)), serve(1, false));
    assert_eq!(entry.validators().collect::<Vec<_>>(), [("if-none-match", &b"\"v1\""[..])]);
    let answer = Answer { cache_control: Some(b"max-age=99"), etag: Some(b"\"v2\""), ..Answer::status(304) };
    entry.refresh(&BARE, &answer, received);
    let later = received.now + Duration::from_secs(90);
    assert_eq!(entry.decide(&BARE, &Request::get(), later, &mut Rng::seeded(1)), serve(91, false));
    assert_eq!(entry.validators().next(), Some(("if-none-match", &b"\"v2\""[..])));
}

#[test]
fn one_renews_at_a_time_and_a_lost_or_failed_renewal_is_repeated() {
    let mut entry = kept("max-age=10, stale-while-revalidate=1000", &[]);
    let mut at = |second: u64, failed: bool| {
        let now = Instant::from_secs(1000 + second);
        if failed {
            entry.renewal_failed(now);
        }
        matches!(
            entry.decide(&BARE, &Request::get(), now, &mut Rng::seeded(1)),
            Use::Serve { renew: true, .. }
        )
    };
    let renews = [(20, false), (21, false), (29, false), (30, false), (31, true), (32, false)];
    assert_eq!(renews.map(|(second, failed)| at(second, failed)), [true, false, false, true, false, true]);
}

#[test]
fn renewal_begins_early_by_chance_the_sooner_the_longer_an_answer_takes() {
    // It takes 1 s and is fresh for 100 s. The chance of one look with 3 s left is e^-3.
    let rules = Rules { early: 1.0, ..BARE };
    let share = |second: u64| {
        let mut rng = Rng::seeded(6);
        let looks = (0..20_000).filter(|_| {
            let mut entry = kept("max-age=100", &[]);
            let now = Instant::from_secs(1000 + second);
            matches!(entry.decide(&rules, &Request::get(), now, &mut rng), Use::Serve { renew: true, .. })
        });
        looks.count() as f64 / 20_000.0
    };
    let (far, near, last) = (share(50), share(96), share(98));
    assert!(far == 0.0 && (near - (-3.0f64).exp()).abs() < 0.006, "{far} {near}");
    assert!((last - (-1.0f64).exp()).abs() < 0.015, "{last}");
}

#[test]
fn a_client_that_holds_the_answer_is_told_so() {
    let entry = kept("max-age=10", &[("etag", "W/\"v1\""), ("modified", "Sun, 31 May 2026 23:00:00 GMT")]);
    let held = |tags: Option<&str>, since: Option<&str>| {
        entry.is_held_by(tags.map(str::as_bytes), since.map(str::as_bytes))
    };
    assert!(held(Some("\"v1\""), None) && held(Some("\"x\", W/\"v1\""), None) && held(Some("*"), None));
    assert!(!held(Some("\"v2\""), Some("Sun, 31 May 2026 23:00:00 GMT")));
    assert!(held(None, Some("Sun, 31 May 2026 23:00:00 GMT")));
    assert!(!held(None, Some("Sun, 31 May 2026 22:00:00 GMT")) && !held(None, None));
}

#[test]
fn answers_are_told_apart_by_what_they_vary_by() {
    let vary = Vary::parse(b"Accept-Language, accept , ACCEPT").expect("two names");
    assert_eq!(vary.names().collect::<Vec<_>>(), ["accept", "accept-language"]);
    let key = |accept: Option<&'static str>, language: Option<&'static str>| {
        vary.key(b"/a", |name| if name == "accept" { accept } else { language }.map(str::as_bytes))
    };
    assert_eq!(key(Some("x"), Some("de")), key(Some(" x "), Some("de")));
    let keys =
        [(Some("x"), Some("de")), (Some("x"), None), (None, Some("x")), (Some("x"), Some("")), (None, None)];
    let mut made: Vec<_> =
        keys.iter().filter_map(|(accept, language)| key(*accept, *language).ok()).collect();
    made.sort();
    made.dedup();
    assert_eq!(made.len(), keys.len());
    assert!(Vary::parse(b"a,b,c,d,e,f,g,h,i").is_err() && Vary::parse(b"a b").is_err());
    let long = "x".repeat(2000);
    assert!(vary.key(b"/a", |_| Some(long.as_bytes())).is_err());
    assert_eq!(Vary::default().key(b"/a", |_| None), Ok(b"/a".to_vec()));
}

#[test]
fn unsafe_methods_that_succeed_make_entries_invalid() {
    assert!(invalidates(b"POST", 201) && invalidates(b"DELETE", 204) && invalidates(b"PURGE", 302));
    assert!(!invalidates(b"POST", 500) && !invalidates(b"GET", 200) && !invalidates(b"HEAD", 200));
}

proptest! {
    #[test]
    fn no_bytes_break_the_parsers(value in proptest::collection::vec(any::<u8>(), 0..60)) {
        CacheControl::parse(&value);
        let _ = Vary::parse(&value);
        let wall = Timestamp::from_secs(1_780_272_030);
        crate::http_date::parse(&value, wall);
        crate::retry::parse_retry_after(&value, wall);
    }

    #[test]
    fn nothing_is_served_beyond_what_is_allowed(
        fresh in 0u64..100,
        stale in 0u64..100,
        later in 0u64..300,
        early in 0.0..5.0f64,
        seed in any::<u64>(),
    ) {
        let directives = format!("max-age={fresh}, stale-while-revalidate={stale}");
        let answer = Answer { cache_control: Some(directives.as_bytes()), ..Answer::status(200) };
        let rules = Rules { early, ..BARE };
        if let Ok(mut entry) = Entry::of(&rules, &Request::get(), &answer, received(0)) {
            let now = Instant::from_secs(1000 + later);
            let told = entry.decide(&rules, &Request::get(), now, &mut Rng::seeded(seed));
            let served = matches!(told, Use::Serve { .. });
            prop_assert!(served == (later + 1 < fresh + stale) || (fresh + stale == later + 1 && !served));
            prop_assert!(now >= entry.ends(&rules) || served);
        }
    }
}

/// So many seconds after the first, an answer that took a second.
fn received(later: u64) -> Received {
    let now = Instant::from_secs(1000 + later);
    let wall = Timestamp::from_secs(1_780_272_030 + later as i64);
    Received { asked: now - Duration::from_secs(1), now, wall }
}

fn serve(age: u64, renew: bool) -> Use {
    Use::Serve { age: Duration::from_secs(age), renew }
}

fn kept(directives: &str, fields: &[(&str, &str)]) -> Entry {
    let field = |name| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_bytes());
    let answer = Answer {
        cache_control: Some(directives.as_bytes()),
        etag: field("etag"),
        last_modified: field("modified"),
        ..Answer::status(200)
    };
    Entry::of(&BARE, &Request::get(), &answer, received(0)).expect("it may be kept")
}

/// Words, set apart by `;`, on the request, the route, and fields of the answer beside `Cache-Control`.
struct Case<'a>(Vec<&'a str>);

impl<'a> Case<'a> {
    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::as_bytes)
    }

    fn rules(&self) -> Rules {
        Rules {
            ttl: self.has("ttl").then_some(Duration::from_secs(30)),
            heuristic: self.has("heuristic").then_some(0.1),
            stale_while_revalidate: self.has("stale").then_some(Duration::from_secs(20)),
            heed_requests: self.has("heed"),
            ..BARE
        }
    }

    fn request(&self) -> Request<'a> {
        Request {
            is_get: !self.has("post"),
            cache_control: self.value("asks"),
            pragma: self.has("pragma").then_some(b"no-cache"),
            authorized: self.has("authorized"),
            ranged: self.has("range"),
        }
    }

    fn answer(&self, directives: &'a str) -> Answer<'a> {
        let status = self.0.iter().find_map(|word| word.parse().ok()).unwrap_or(200);
        Answer {
            cache_control: Some(directives.as_bytes()).filter(|value| !value.is_empty()),
            expires: self.value("expires"),
            date: self.value("date"),
            age: self.value("age"),
            vary: self.value("vary"),
            etag: self.has("etag").then_some(b"\"v1\""),
            last_modified: self.value("modified"),
            sets_cookie: self.has("cookie"),
            ..Answer::status(status)
        }
    }
}

#[track_caller]
fn check_kept(case: &str, directives: &str, tells: Expect) {
    let case = Case(case.split(';').collect());
    let rules = case.rules();
    let entry = Entry::of(&rules, &case.request(), &case.answer(directives), received(0));
    tells.assert_eq(&match entry {
        Err(why) => why.to_string(),
        Ok(entry) => format!("fresh for {}s", entry.lifetime().as_secs()),
    });
}

#[track_caller]
fn check_shared(case: &str, directives: &str, tells: Expect) {
    let case = Case(case.split(';').collect());
    let told = may_share(&case.rules(), &case.request(), &case.answer(directives), received(0));
    tells.assert_eq(&told.map_or_else(|why| why.to_string(), |()| "shared".to_owned()));
}

/// What is done with a request so many seconds after the answer came, and with one more at the same moment if that
/// differs.
#[track_caller]
fn check_use(case: &str, directives: &str, later: u64, tells: Expect) {
    let case = Case(case.split(';').collect());
    let rules = case.rules();
    let plain = Request::get();
    let mut entry = Entry::of(&rules, &plain, &case.answer(directives), received(0))
        .or_else(|_| {
            Entry::of(
                &rules,
                &plain,
                &Answer { etag: Some(b"\"v1\""), ..case.answer(directives) },
                received(0),
            )
        })
        .expect("it may be kept");
    let now = Instant::from_secs(1000 + later);
    let mut look = || match entry.decide(&rules, &case.request(), now, &mut Rng::seeded(1)) {
        Use::Serve { age, renew } => {
            format!("serve at {}s{}", age.as_secs(), if renew { ", renew" } else { "" })
        }
        Use::Ask => "ask".to_owned(),
        Use::Refuse => "refuse".to_owned(),
    };
    let (first, second) = (look(), look());
    let mut told = if second == first { first } else { format!("{first}; {second}") };
    let error = entry.serves_on_error(&rules, Some(503), now).filter(|_| case.has("fails"));
    if let Some(age) = error {
        told.push_str(&format!(", on error {}s", age.as_secs()));
    }
    tells.assert_eq(&told);
}
