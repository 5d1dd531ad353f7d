//! Which side a request goes to, by what stands in its head.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use spec::{EdgePolicy, Side as SideSpec, SideMatch as Match, Split};

use super::*;
use crate::head::request;

fn name(text: &str) -> ServiceName {
    text.parse().expect("a name")
}

/// A split of `web` with these weights.
fn pool(weights: &[(&str, u32)], sticky: Sticky, matches: Vec<Match>) -> Pool {
    let sides = weights.iter().map(|(side, weight)| (name(side), SideSpec { weight: *weight, port: None }));
    let split = Some(Split { sides: sides.collect(), matches, sticky });
    let others = weights.iter().filter(|(side, _)| *side != "web");
    Pool {
        service: "shop/web".into(),
        policy: EdgePolicy { split, ..EdgePolicy::default() },
        sides: others.map(|(side, _)| (name(side), format!("{side}:80"))).collect(),
        ..Pool::default()
    }
}

fn fork(pool: &Pool, before: Option<&Fork>) -> Arc<Fork> {
    let key = ("shop".into(), "web:80".into());
    Fork::of(&key, pool, before).expect("a good split").expect("a fork")
}

/// Where a request with these fields goes; `out` are the sides that have no instance.
fn taken(fork: &Fork, client: [u8; 4], fields: &str, out: &[&str]) -> (String, Taken) {
    let sides = fork.sides.as_ref().expect("sides");
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields.replace('\n', "\r\n"));
    let mut read = Vec::new();
    request::parse(text.as_bytes(), &mut read).expect("a good head");
    let usable = |side: usize| !out.contains(&sides.list[side].service.as_str());
    let taken = sides.take((client.into(), &read, text.as_bytes()), usable, &mut Rng::seeded(5));
    (sides.list[taken.side].service.to_string(), taken)
}

fn by(by: MatchBy, value: Option<&str>, to: &str) -> Match {
    Match { by, value: value.map(str::to_owned), to: name(to) }
}

#[track_caller]
fn check(fork: &Fork, fields: &str, out: &[&str], expected: Expect) {
    let (side, taken) = taken(fork, [10, 0, 0, 1], fields, out);
    let own = taken.instead_of.map(|own| &fork.sides.as_ref().expect("sides").list[own].service);
    let own = own.map(|own| format!(" instead of {own}")).unwrap_or_default();
    expected.assert_eq(&format!("{side}{own}, {:?}", taken.why));
}

#[test]
fn matches_come_before_weights_and_the_first_counts() {
    let matches = vec![
        by(MatchBy::Header("x-canary".into()), Some("always"), "next"),
        by(MatchBy::Header("x-canary".into()), Some("never"), "web"),
        by(MatchBy::Cookie("beta".into()), None, "next"),
    ];
    let fork = fork(&pool(&[("next", 0), ("web", 1)], Sticky::Client, matches), None);
    check(&fork, "", &[], expect!["web, Client"]);
    check(&fork, "X-CANARY: always\n", &[], expect!["next, Match(0)"]);
    check(&fork, "X-Canary: Always\n", &[], expect!["web, Client"]);
    check(&fork, "X-Canary: no\nX-Canary: always\n", &[], expect!["next, Match(0)"]);
    check(&fork, "X-Canary: never\nCookie: beta=1\n", &[], expect!["web, Match(1)"]);
    check(&fork, "Cookie: a=b; beta=1\n", &[], expect!["next, Match(2)"]);
    check(&fork, "Cookie: a=beta=1\nCookie: alphabeta=1\n", &[], expect!["web, Client"]);
    // A side without an instance falls to the others, and one without weight is no help.
    check(&fork, "X-Canary: always\n", &["next"], expect!["web instead of next, Match(0)"]);
    check(&fork, "X-Canary: always\n", &["next", "web"], expect!["next, Match(0)"]);
    check(&fork, "", &["web"], expect!["web, Client"]);
}

#[test]
fn clients_stay_by_what_the_split_says() {
    let side = |sticky: &Sticky, client, fields: &str| {
        let fork = fork(&pool(&[("next", 1), ("web", 1)], sticky.clone(), Vec::new()), None);
        let (side, taken) = taken(&fork, client, fields, &[]);
        (side, taken.point, taken.why)
    };
    let (one, other) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let client = Sticky::Client;
    assert_eq!(side(&client, one, ""), side(&client, one, "Cookie: sea-side=0001\n"));
    assert_ne!(side(&client, one, "").1, side(&client, other, "").1);
    let field = Sticky::Header("x-user".into());
    assert_eq!(side(&field, one, "X-User: ann\n"), side(&field, other, "X-User: ann\n"));
    assert_eq!(side(&field, one, ""), side(&client, one, ""));
    let own = Sticky::Cookie("session".into());
    assert_eq!(side(&own, one, "Cookie: session=7\n"), side(&own, other, "Cookie: a=b; session=\"7\"\n"));
    let given = side(&Sticky::Edge, one, "");
    let Why::Given(place) = given.2 else { panic!("{given:?}") };
    let cookie = format!("Cookie: sea-side={place:04x}\n");
    let again = side(&Sticky::Edge, other, &cookie);
    assert_eq!((again.0, again.1, again.2), (given.0, given.1, Why::Cookie));
    // What we would not write ourselves is no cookie of ours.
    for odd in ["", "1", "00001", "000G", "00AB", "+001"] {
        let cookie = format!("Cookie: sea-side={odd}\n");
        assert!(matches!(side(&Sticky::Edge, one, &cookie).2, Why::Given(_)), "{odd}");
    }
}

#[test]
fn a_share_that_grows_takes_clients_and_gives_none_back() {
    let places = |weight: u32| {
        let fork = fork(&pool(&[("next", weight), ("web", 90)], Sticky::Edge, Vec::new()), None);
        let at_next = |place: &u16| {
            taken(&fork, [10, 0, 0, 1], &format!("Cookie: sea-side={place:04x}\n"), &[]).0 == "next"
        };
        (0..8192).filter(at_next).collect::<Vec<u16>>()
    };
    let (few, more) = (places(10), places(60));
    assert!(few.iter().all(|place| more.contains(place)));
    // A tenth and two fifths of 8,192.
    assert!(
        (700..=940).contains(&few.len()) && (3050..=3500).contains(&more.len()),
        "{} {}",
        few.len(),
        more.len()
    );
}

#[test]
fn a_place_has_the_same_side_in_every_version_of_this_program() {
    let fork = fork(&pool(&[("next", 30), ("web", 70)], Sticky::Edge, Vec::new()), None);
    let side = |place: u16| taken(&fork, [10, 0, 0, 1], &format!("Cookie: sea-side={place:04x}\n"), &[]).0;
    let places: Vec<_> =
        (0..24).filter(|place| side(*place) == "next").map(|place| place.to_string()).collect();
    expect!["1 3 4 7 8 18 19 20 21 22"].assert_eq(&places.join(" "));
}

#[test]
fn services_are_not_split_alike() {
    let mut pools = [0, 1].map(|_| pool(&[("next", 1), ("web", 1)], Sticky::Client, Vec::new()));
    pools[1].service = "shop/api".into();
    let forks = pools.map(|pool| fork(&pool, None));
    let side = |at: usize, client: u8| taken(&forks[at], [10, 0, 0, client], "", &[]).0;
    let alike = (0..200).filter(|client| side(0, *client) == side(1, *client)).count();
    assert!((60..140).contains(&alike), "{alike} of 200");
}

#[test]
fn counts_go_on_when_weights_change() {
    let first = fork(&pool(&[("next", 1), ("web", 1)], Sticky::No, Vec::new()), None);
    first.sides.as_ref().expect("sides").list[0].counts.taken.store(7, Ordering::Relaxed);
    let second = fork(&pool(&[("more", 1), ("next", 5), ("web", 1)], Sticky::No, Vec::new()), Some(&first));
    let sums: BTreeMap<_, _> = second
        .sides
        .as_ref()
        .expect("sides")
        .list
        .iter()
        .map(|s| (s.service.as_str(), s.counts.sums()))
        .collect();
    assert_eq!(sums, [("more", (0, 0)), ("next", (7, 0)), ("web", (0, 0))].into());
}

#[test]
fn splits_that_cannot_be_gone_by_are_refused() {
    let key = ("shop".into(), "web:80".into());
    let flaw = |pool: &Pool| Fork::of(&key, pool, None).err().unwrap_or_default();
    assert_eq!(
        flaw(&pool(&[("next", 0), ("web", 0)], Sticky::No, Vec::new())),
        "no side of its split has any weight"
    );
    let mut without = pool(&[("next", 1), ("web", 1)], Sticky::No, Vec::new());
    without.sides.clear();
    assert_eq!(flaw(&without), "a side of its split has no pool");
    let matches = vec![by(MatchBy::Cookie("a".into()), None, "other")];
    assert_eq!(flaw(&pool(&[("web", 1)], Sticky::No, matches)), "`other` is no side of its split");
}
