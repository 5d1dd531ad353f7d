//! Which pool a request reaches, and which documents are no tables.

use expect_test::{Expect, expect};
use plan::tls::RuleHttps;
use plan::traffic::RouteRule;

use super::*;

/// A document from lines: `owner host/path -> pool`, `owner listen ADDRESS -> pool`, `strip` in front of the pool.
fn document(text: &str) -> Document {
    let mut document = Document { generation: 1, ..Document::default() };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (left, pool) = line.split_once(" -> ").expect("an arrow");
        let (owner, what) = left.split_once(' ').expect("an owner");
        let share = document.shares.entry(owner.into()).or_default();
        let (strip, name) = pool.strip_prefix("strip ").map_or((false, pool), |name| (true, name));
        if name != "missing" {
            share.pools.entry(name.into()).or_default();
        }
        if let Some(address) = what.strip_prefix("listen ") {
            let address = address.parse().expect("an address");
            share.listeners.push(Listener {
                address,
                protocol: Protocol::Auto,
                pool: name.into(),
                between: false,
            });
        } else {
            let slash = what.find('/').unwrap_or(what.len());
            let host = Some(&what[..slash]).filter(|host| *host != "*").map(|host| host.to_string());
            let path = PathPrefix(what[slash..].into());
            share.rules.push(RouteRule {
                host,
                path,
                strip_prefix: strip,
                pool: name.into(),
                https: RuleHttps::default(),
                rules: spec::RouteRules::default(),
                users: None,
                asks: String::new(),
            });
        }
    }
    document
}

fn build(text: &str) -> Result<Table, TableFlaw> {
    Table::build(&document(text), None, 1, |instance, address| {
        Arc::new(EndpointState::new(instance.clone(), address, 1))
    })
}

#[track_caller]
fn check(text: &str, requests: &str, want: Expect) {
    let table = build(text).expect("a table");
    let answer = |request: &str| {
        let slash = request.find('/').expect("a path");
        let host = Some(&request.as_bytes()[..slash]).filter(|host| *host != b"-");
        let found = table.find(host, &request.as_bytes()[slash..]);
        found.map_or_else(
            |refusal| refusal.code.to_string(),
            |target| {
                let (owner, pool) = &table.pools[target.pool.expect("a pool")].key;
                format!("{owner}/{pool} cut {}", target.strip)
            },
        )
    };
    let lines: Vec<_> = requests.split_whitespace().map(|r| format!("{r}: {}\n", answer(r))).collect();
    want.assert_eq(&lines.concat());
}

#[test]
fn the_most_exact_host_and_then_the_longest_prefix_win() {
    check(
        "shop shop.example/ -> web
         shop shop.example/api -> strip api
         shop *.shop.example/ -> tenants
         other */status -> status
         other Upper.Example/ -> upper",
        "shop.example/ shop.example/x shop.example/api shop.example/api/x shop.example/apiary
         SHOP.example:8080/ shop.example./ a.shop.example/ a.b.shop.example/ unknown/status unknown/ -/status
         shop.example/status a.shop.example/status upper.example/ [::1]:80/status",
        expect![[r#"
            shop.example/: shop/web cut 0
            shop.example/x: shop/web cut 0
            shop.example/api: shop/api cut 4
            shop.example/api/x: shop/api cut 4
            shop.example/apiary: shop/web cut 0
            SHOP.example:8080/: shop/web cut 0
            shop.example./: shop/web cut 0
            a.shop.example/: shop/tenants cut 0
            a.b.shop.example/: no-route
            unknown/status: other/status cut 0
            unknown/: no-route
            -/status: other/status cut 0
            shop.example/status: shop/web cut 0
            a.shop.example/status: shop/tenants cut 0
            upper.example/: other/upper cut 0
            [::1]:80/status: other/status cut 0
        "#]],
    );
}

#[test]
fn a_path_that_servers_may_read_as_one_of_another_route_is_refused() {
    check(
        "shop shop.example/ -> web
         shop shop.example/admin -> admin
         shop shop.example/a%20b;c//d -> odd
         shop one.example/ -> web
         other */open -> open",
        "shop.example/%61dmin shop.example/adm%69n/x shop.example//admin shop.example/x//admin shop.example/admin%2Fx
         shop.example/admin%2fx shop.example/%2Fadmin shop.example/%5cadmin shop.example/admin;a=b/x
         shop.example/;/admin shop.example/;a%2Fb/admin shop.example/admin%3Bx shop.example/admin;x
         shop.example/admin/%61%2F//x;y shop.example/%2561dmin shop.example/admin%20 shop.example/%zz%6 shop.example/b;c//d
         shop.example/a%20b;c//d/e shop.example/%6Fpen one.example/%61dmin//x unknown/%6Fpen unknown/open%2F",
        expect![[r#"
            shop.example/%61dmin: two-routes
            shop.example/adm%69n/x: two-routes
            shop.example//admin: two-routes
            shop.example/x//admin: shop/web cut 0
            shop.example/admin%2Fx: two-routes
            shop.example/admin%2fx: two-routes
            shop.example/%2Fadmin: two-routes
            shop.example/%5cadmin: two-routes
            shop.example/admin;a=b/x: two-routes
            shop.example/;/admin: two-routes
            shop.example/;a%2Fb/admin: two-routes
            shop.example/admin%3Bx: two-routes
            shop.example/admin;x: two-routes
            shop.example/admin/%61%2F//x;y: shop/admin cut 0
            shop.example/%2561dmin: shop/web cut 0
            shop.example/admin%20: shop/web cut 0
            shop.example/%zz%6: shop/web cut 0
            shop.example/b;c//d: shop/web cut 0
            shop.example/a%20b;c//d/e: shop/odd cut 0
            shop.example/%6Fpen: shop/web cut 0
            one.example/%61dmin//x: shop/web cut 0
            unknown/%6Fpen: no-route
            unknown/open%2F: no-route
        "#]],
    );
}

#[test]
fn documents_that_contradict_themselves_are_refused() {
    let flaw = |text: &str| build(text).err().map(|flaw| flaw.to_string()).unwrap_or_default();
    assert_eq!(flaw("a x/ -> missing"), "`a` sends to the pool `missing`, which it does not have");
    assert_eq!(flaw("a x/p -> w\nb X/p/ -> w"), "`x/p/` is routed by `a` and by `b`");
    assert_eq!(
        flaw("a listen 127.0.0.1:80 -> w\nb listen 127.0.0.1:80 -> w"),
        "`127.0.0.1:80` is published by `a` and by `b`"
    );
    assert_eq!(flaw("a x y/ -> w"), "`a` has a rule for `x y/`, which no request can match");
}

#[test]
fn who_stands_beside_a_service_is_a_client_by_his_address_alone() {
    let own = "[fd5e::ffff]:80".parse().expect("an address");
    let listener = Listener { address: own, protocol: Protocol::Http, pool: "w".into(), between: true };
    let pools = [("w".to_owned(), Pool::default())].into();
    let share = RouteShare { pools, listeners: vec![listener], ..RouteShare::default() };
    let document = Document { shares: [("shop".to_owned(), share)].into(), ..Document::default() };
    let table =
        Table::build(&document, None, 1, |_, _| unreachable!("there is no instance")).expect("no flaw");
    let of = |address: &str| table.holder(address.parse().expect("an address"));
    assert_ne!(of("fd5e::2"), of("fd5e::3"));
    assert_eq!(of("fd5e:0:0:1::2"), of("fd5e:0:0:1::3"));
    assert_ne!(of("fd5e::2"), of("fd5e:0:0:1::2"));
    assert_eq!(of("10.0.0.2"), Holder::of([10, 0, 0, 2].into()));
}
