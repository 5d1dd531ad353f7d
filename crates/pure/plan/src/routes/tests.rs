//! What the edge is told of the addresses of services.

use expect_test::{Expect, expect};
use spec::{Side, Split};

use crate::fixtures::{app, ledger, name, route, seen, service, sight};
use crate::seen::Seen;
use crate::{Memory, Step, plan};

/// The steps about networks and the edge, for a `web` that calls an `api` of this many ports.
#[track_caller]
fn check(ports: &[u16], instances: &str, served: &[&str], expected: Expect) {
    let mut api = service("a", 2);
    api.edge.between = ports.to_vec();
    let ledger = ledger([app([("api", api), ("web", service("w", 1))])]);
    let served: Vec<_> = served.iter().map(|at| (name("api"), at.parse().expect("an address"))).collect();
    let instances: Vec<Seen> = seen(&ledger, instances);
    let instances: Vec<_> = instances.into_iter().map(|one| Seen { served: served.clone(), ..one }).collect();
    let memory = Memory::default();
    let steps = plan(&ledger.wanted().expect("a release"), &sight(&instances, &memory)).steps;
    let lines = steps.iter().filter_map(|step| match step {
        Step::Prepare { .. } => Some("prepare\n".to_owned()),
        Step::Send(share) => Some(
            share
                .listeners
                .iter()
                .map(|one| {
                    let ends: Vec<_> =
                        share.pools[&one.pool].endpoints.iter().map(|end| end.address.to_string()).collect();
                    format!("{} -> {} ({})\n", one.address, ends.join(" "), one.between)
                })
                .collect(),
        ),
        _ => None,
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn the_edge_answers_at_the_addresses_of_a_service_for_those_that_are_ready() {
    let all = "api-1 r1 ready, api-2 r1 starting, web-1 r1 ready";
    check(
        &[80, 90],
        all,
        &["10.9.0.254", "fd5e::ffff", "10.8.0.254"],
        expect![[r#"
        10.9.0.254:80 -> 10.0.0.1:80 (true)
        [fd5e::ffff]:80 -> 10.0.0.1:80 (true)
        10.8.0.254:80 -> 10.0.0.1:80 (true)
        10.9.0.254:90 -> 10.0.0.1:90 (true)
        [fd5e::ffff]:90 -> 10.0.0.1:90 (true)
        10.8.0.254:90 -> 10.0.0.1:90 (true)
    "#]],
    );
}

#[test]
fn of_two_ports_behind_which_the_edge_has_the_same_one_it_answers_the_lower() {
    check(
        &[3984, 8080, 9090],
        "api-1 r1 ready, web-1 r1 ready",
        &["10.9.0.254"],
        expect![[r#"
        prepare
        10.9.0.254:3984 -> 10.0.0.1:3984 (true)
        10.9.0.254:9090 -> 10.0.0.1:9090 (true)
    "#]],
    );
    let bound = |port| crate::traffic::Listener::bound(([10, 9, 0, 254], port).into()).port();
    assert_eq!([bound(80), bound(3984), bound(8080), bound(65535)], [61520, 65424, 65424, 65535]);
}

#[test]
fn an_address_is_answered_while_its_service_has_no_instance() {
    check(
        &[80],
        "web-1 r1 ready",
        &["10.9.0.254"],
        expect![[r#"
        prepare
        10.9.0.254:80 ->  (true)
    "#]],
    );
}

#[test]
fn addresses_are_made_and_taken_back_where_nothing_has_to_start() {
    let all = "api-1 r1 ready, api-2 r1 ready, web-1 r1 ready";
    check(
        &[80],
        all,
        &[],
        expect![[r#"
        prepare
    "#]],
    );
    check(
        &[],
        all,
        &["10.9.0.254"],
        expect![[r#"
        prepare
    "#]],
    );
    check(&[], all, &[], expect![""]);
}

#[test]
fn the_edge_is_told_what_instances_are_made_from_where_it_keeps_their_answers() {
    let revision = |instances: &str, keeps: bool| {
        let web = |image: &str| {
            let mut web = service(image, 2);
            route(&mut web, 80);
            web.edge.cache = keeps.then(spec::Caching::default);
            web
        };
        let ledger = ledger([app([("web", web("a"))]), app([("web", web("b"))])]);
        let instances = seen(&ledger, instances);
        let memory = Memory::default();
        let steps = plan(&ledger.wanted().expect("a release"), &sight(&instances, &memory)).steps;
        let share = steps.into_iter().find_map(|step| match step {
            Step::Send(share) => Some(share),
            _ => None,
        });
        share.expect("the edge is told").pools["web:80"].revision.clone()
    };
    let (old, new) = ("web-1 r1 ready, web-2 r1 ready", "web-1 r2 ready, web-2 r2 ready");
    assert!(!revision(old, true).is_empty() && revision(old, true) != revision(new, true));
    for unclear in ["web-1 r1 ready, web-2 r2 ready", "web-1 r2 starting"] {
        assert_eq!(revision(unclear, true), "", "{unclear}");
    }
    assert_eq!(revision(new, false), "");
}

#[test]
fn what_only_other_services_call_is_split_too() {
    let mut api = service("a", 1);
    api.edge.between = vec![80];
    let side = |weight| Side { weight, port: None };
    let sides = [(name("api"), side(9)), (name("next"), side(1))];
    let (matches, sticky) = (Vec::new(), spec::Sticky::No);
    api.edge.split = Some(Split { sides: sides.into(), matches, sticky });
    let ledger = ledger([app([("api", api), ("next", service("b", 1)), ("web", service("w", 1))])]);
    let served = vec![(name("api"), "10.9.0.254".parse().expect("an address"))];
    let instances = seen(&ledger, "api-1 r1 ready, next-1 r1 ready, web-1 r1 ready");
    let instances: Vec<_> = instances.into_iter().map(|one| Seen { served: served.clone(), ..one }).collect();
    let memory = Memory::default();
    let steps = plan(&ledger.wanted().expect("a release"), &sight(&instances, &memory)).steps;
    let share = steps.into_iter().find_map(|step| match step {
        Step::Send(share) => Some(share),
        _ => None,
    });
    let share = share.expect("a share");
    let pool = &share.pools[&share.listeners[0].pool];
    assert_eq!(pool.sides, [(name("next"), "next:80".to_owned())].into());
    assert!(pool.policy.split.is_some() && share.pools["next:80"].endpoints.len() == 1);
}
