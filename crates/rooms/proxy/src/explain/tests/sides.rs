//! What is said of sides and copies.

use spec::{MatchBy, Mirror, Side, SideMatch, Split, Sticky};

use super::*;

/// `web` is split with `next`, and copied to `shadow`; `next` has an instance, or none.
fn forked(sticky: Sticky, next: &[u16]) -> Table {
    let side = |name: &str, weight| (name.parse().expect("a name"), Side { weight, port: None });
    let canary = SideMatch {
        by: MatchBy::Header("x-canary".into()),
        value: Some("always".into()),
        to: "next".parse().expect("a name"),
    };
    let policy = EdgePolicy {
        split: Some(Split { sides: [side("web", 9), side("next", 1)].into(), matches: vec![canary], sticky }),
        mirror: Some(Mirror { to: "shadow".parse().expect("a name"), port: None, of_10_000: 250 }),
        ..EdgePolicy::default()
    };
    let endpoint = |port: &u16| Endpoint {
        instance: ContainerId::from_bytes([*port as u8; 32]),
        address: ([10, 0, 0, 1], *port).into(),
    };
    let pool = |service: &str, ports: &[u16]| Pool {
        service: service.into(),
        endpoints: ports.iter().map(endpoint).collect(),
        ..Pool::default()
    };
    let sides = [("next".parse().expect("a name"), "next".to_owned())].into();
    let web = Pool { policy, sides, mirror: "shadow".into(), ..pool("shop/web", &[1]) };
    let pools = [("web", web), ("next", pool("shop/next", next)), ("shadow", pool("shop/shadow", &[3]))];
    let share = RouteShare {
        rules: vec![rule(None, "/", "web", false)],
        pools: pools.map(|(name, pool)| (name.to_owned(), pool)).into(),
        ..RouteShare::default()
    };
    let shares = [("shop".to_owned(), share)].into();
    Table::build(&Document { generation: 1, shares, ..Document::default() }, None, 1, |instance, address| {
        Arc::new(EndpointState::new(instance.clone(), address, 2))
    })
    .expect("a table")
}

/// What is said beyond the usual, and how it ends.
#[track_caller]
fn check(table: &Table, text: &str, want: Expect) {
    let told = explain(
        &Seen { table, http: &[([0, 0, 0, 0], 80).into()], https: &[], now: NOW, threads: None },
        &ask(text),
    );
    let usual = ["entrance", "head", "route", "instances"];
    let steps = told.steps.iter().filter(|step| !usual.contains(&step.name.as_str()));
    let shown: String = steps.map(|step| format!("{}: {}\n", step.name, step.found)).collect();
    want.assert_eq(&format!("{shown}{:?}\n", told.verdict));
}

#[test]
fn the_side_is_named_with_the_reason_and_so_are_copies() {
    let chance = forked(Sticky::No, &[2]);
    check(
        &chance,
        "GET http://a/",
        expect![[r#"
        mirror: copied to `shop/shadow`, as are 2.5 % of such requests
        split: by chance, of `next` 10 %, `web` 90 %; to `web` here
        Sent { service: "shop/web", target: "/" }
    "#]],
    );
    check(
        &chance,
        "POST http://a/\nX-Canary: always",
        expect![[r#"
        mirror: not copied to `shop/shadow`: only GET, HEAD and OPTIONS without a body are
        split: to `next` by header `x-canary: always`
        Sent { service: "shop/next", target: "/" }
    "#]],
    );
    check(
        &forked(Sticky::No, &[]),
        "GET http://a/\nX-Canary: always",
        expect![[r#"
        mirror: copied to `shop/shadow`, as are 2.5 % of such requests
        split: to `next` by header `x-canary: always`; that has no instance that takes requests, so to `web`
        Sent { service: "shop/web", target: "/" }
    "#]],
    );
    let cookie = forked(Sticky::Edge, &[2]);
    check(
        &cookie,
        "GET http://a/",
        expect![[r#"
        mirror: copied to `shop/shadow`, as are 2.5 % of such requests
        split: by chance, of `next` 10 %, `web` 90 %, to stay there by the cookie `sea-side`; to `web` here
        Sent { service: "shop/web", target: "/" }
    "#]],
    );
    check(
        &cookie,
        "GET http://a/\nCookie: sea-side=0001",
        expect![[r#"
        mirror: copied to `shop/shadow`, as are 2.5 % of such requests
        split: to `web` by its cookie `sea-side`, of `next` 10 %, `web` 90 %
        Sent { service: "shop/web", target: "/" }
    "#]],
    );
    check(
        &forked(Sticky::Client, &[2]),
        "GET http://a/",
        expect![[r#"
        mirror: copied to `shop/shadow`, as are 2.5 % of such requests
        split: to `web` by the client's address, of `next` 10 %, `web` 90 %
        Sent { service: "shop/web", target: "/" }
    "#]],
    );
    check(
        &forked(Sticky::Header("x-user".into()), &[2]),
        "GET http://a/\nX-User: ann",
        expect![[r#"
        mirror: copied to `shop/shadow`, as are 2.5 % of such requests
        split: to `web` by its header `x-user`, of `next` 10 %, `web` 90 %
        Sent { service: "shop/web", target: "/" }
    "#]],
    );
}
