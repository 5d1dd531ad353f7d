//! Which pools a share has for sides and mirrors, and when instances of a side leave.

use spec::{Mirror, Side, Split};

use super::*;
use crate::fixtures::name;
use crate::preview::{Action, preview};
use crate::traffic::RouteShare;

/// `web` at port 80, `next` with a tenth of its requests at this port, and `shadow` with copies.
fn split(image: &str, port: Option<u16>, weight: u32) -> App {
    let mut shop = web(image, 1);
    shop.services.insert(name("next"), service("next", 1));
    shop.services.insert(name("shadow"), service("shadow", 1));
    let web = shop.services.get_mut(&name("web")).expect("web");
    let side = |weight, port| Side { weight, port };
    let sides = [(name("web"), side(90, None)), (name("next"), side(weight, port))];
    let (matches, sticky) = (Vec::new(), spec::Sticky::Edge);
    web.edge.split = Some(Split { sides: sides.into(), matches, sticky });
    web.edge.mirror = Some(Mirror { to: name("shadow"), port: Some(9), of_10_000: 10 });
    shop
}

fn sent(apps: [App; 2], instances: &str) -> RouteShare {
    let ledger = ledger(apps);
    let instances = seen(&ledger, instances);
    let memory = Memory { prepared: Some(ReleaseNumber(2)), ..Memory::default() };
    let plan = plan(&ledger.wanted().expect("a release"), &sight(&instances, &memory));
    let share = plan.steps.iter().find_map(|step| match step {
        Step::Send(share) => Some(share.clone()),
        _ => None,
    });
    share.expect("a share")
}

/// Pools with their instances, and where their requests go beside them.
#[track_caller]
fn pools(apps: [App; 2], instances: &str, expected: Expect) {
    let share = sent(apps, instances);
    let pools = share.pools.iter().map(|(name, pool)| {
        let ends: Vec<_> = pool.endpoints.iter().map(|end| end.address.to_string()).collect();
        let sides: Vec<_> = pool.sides.iter().map(|(name, pool)| format!("{name} at {pool}")).collect();
        let next = "next".parse::<ServiceName>().expect("a name");
        let weight = pool.policy.split.as_ref().map(|split| split.sides[&next].weight);
        format!(
            "{name}: [{}] sides [{}] {weight:?} mirror {:?}\n",
            ends.join(", "),
            sides.join(", "),
            pool.mirror
        )
    });
    expected.assert_eq(&pools.collect::<String>());
}

#[test]
fn a_share_has_the_pools_of_sides_and_mirrors() {
    let both = || [split("a", None, 10), split("a", None, 20)];
    pools(
        both(),
        "web-1 r2 ready, next-1 r2 ready, shadow-1 r2 ready",
        expect![[r#"
        next:80: [10.0.0.2:80] sides [] None mirror ""
        shadow:9: [10.0.0.3:9] sides [] None mirror ""
        web:80: [10.0.0.1:80] sides [next at next:80] Some(20) mirror "shadow:9"
    "#]],
    );
    // A side that is not ready has a pool without instances: the edge sends its requests to the others.
    pools(
        both(),
        "web-1 r2 ready, next-1 r2 starting",
        expect![[r#"
        next:80: [] sides [] None mirror ""
        shadow:9: [] sides [] None mirror ""
        web:80: [10.0.0.1:80] sides [next at next:80] Some(20) mirror "shadow:9"
    "#]],
    );
}

#[test]
fn an_instance_of_a_side_is_asked_where_its_own_release_asked_it() {
    let mut apps = [split("a", Some(8), 10), split("a", Some(9), 10)];
    apps[1].services.get_mut(&name("next")).expect("next").image = "other".into();
    pools(
        apps,
        "web-1 r2 ready, next-1 r1 ready, next-2 r2 starting",
        expect![[r#"
        next:9: [10.0.0.2:8] sides [] None mirror ""
        shadow:9: [] sides [] None mirror ""
        web:80: [10.0.0.1:80] sides [next at next:9] Some(10) mirror "shadow:9"
    "#]],
    );
}

#[test]
fn requests_go_as_before_until_the_jobs_of_a_release_are_done() {
    let mut jobs = split("b", None, 50);
    let mut job = service("b", 1);
    job.restart = Restart::No;
    jobs.services.insert(name("migrate"), job);
    let web = jobs.services.get_mut(&name("web")).expect("web");
    need(web, "migrate", Condition::CompletedSuccessfully);
    pools(
        [split("a", None, 10), jobs],
        "web-1 r1 ready, next-1 r1 ready",
        expect![[r#"
        next:80: [10.0.0.2:80] sides [] None mirror ""
        shadow:9: [] sides [] None mirror ""
        web:80: [10.0.0.1:80] sides [next at next:80] Some(10) mirror "shadow:9"
    "#]],
    );
}

#[test]
fn a_side_that_leaves_ends_its_requests_first() {
    let apps = || [split("a", None, 10), web("a", 1)];
    let ledger = ledger(apps());
    let instances = seen(&ledger, "web-1 r1 ready, next-1 r1 ready");
    let next = &instances[1].id;
    assert!(!sent(apps(), "web-1 r1 ready, next-1 r1 ready").sends_to(next));
    let steps = |traffic: Option<&TrafficSeen>, memory: &Memory| {
        let sight = Sight { traffic, ..sight(&instances, memory) };
        let plan = plan(&ledger.wanted().expect("a release"), &sight);
        plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    // The edge has not said yet that it lets go of it; without any word it is not known to be unreachable.
    let sent = Some(sent(apps(), "web-1 r1 ready, next-1 r1 ready"));
    let mut memory = Memory { prepared: Some(ReleaseNumber(2)), sent, ..Memory::default() };
    assert_eq!(steps(None, &memory), Vec::<String>::new());
    let sending = vec![instances[0].id.clone()];
    let in_flight = [(next.clone(), 1)].into();
    let busy = TrafficSeen { sending: sending.clone(), in_flight, ..TrafficSeen::default() };
    memory.quiet.insert(next.clone(), Instant::from_secs(999));
    assert_eq!(steps(Some(&busy), &memory), Vec::<String>::new());
    let free = TrafficSeen { sending, ..TrafficSeen::default() };
    assert_eq!(steps(Some(&free), &memory), ["stop next-1"]);
}

#[test]
fn another_weight_changes_routes_and_replaces_nothing() {
    let ledger = ledger([split("a", None, 10)]);
    let instances = seen(&ledger, "web-1 r1 ready, next-1 r1 ready, shadow-1 r1 ready");
    let draft = crate::fixtures::draft(split("a", None, 30));
    let told = preview(&ledger, &draft, &instances).expect("a preview");
    let actions: Vec<_> = told.services.iter().map(|it| (it.service.as_str(), it.action)).collect();
    assert_eq!(actions, [("web", Action::Update), ("next", Action::Keep), ("shadow", Action::Keep)]);
    let web = told.services.iter().find(|it| it.service == name("web")).expect("web");
    assert_eq!(web.changes, ["edge.split.sides.next.weight: 10 -> 30"]);
    // Nothing is started or stopped; the edge hears of it.
    let instances = "web-1 r2 ready, next-1 r2 ready, shadow-1 r2 ready";
    check([split("a", None, 10), split("a", None, 30)], instances, expect!["settle release 2"]);
}

#[test]
fn a_side_is_watched_at_the_port_that_it_is_asked_at() {
    let resolved = crate::ledger::resolve(split("a", Some(7), 10), &Default::default());
    let probe = |of: &str| resolved.services[&name(of)].healthcheck.as_ref().map(|check| check.probe.clone());
    assert_eq!(probe("next"), Some(spec::Probe::Tcp { port: 7 }));
    assert_eq!(probe("shadow"), Some(spec::Probe::Tcp { port: 9 }));
}

/// `web` at port 80 in this image, whose new releases get this share of its requests first.
fn by_release(image: &str, percent: u32) -> App {
    let mut shop = web(image, 1);
    let (matches, sticky) = (Vec::new(), spec::Sticky::No);
    let share = spec::ReleaseSplit { of_10_000: percent * 100, replicas: None, matches, sticky };
    shop.services.get_mut(&name("web")).expect("web").edge.release = Some(share);
    shop
}

/// What the edge is told to do between two releases of `web` in the last of these releases.
#[track_caller]
fn between_releases(apps: impl IntoIterator<Item = App>, instances: &str, expected: Expect) {
    told(&ledger(apps), instances, expected);
}

/// The same for a ledger.
#[track_caller]
fn told(ledger: &crate::Ledger, instances: &str, expected: Expect) {
    let instances = seen(ledger, instances);
    let wanted = ledger.wanted().expect("a release");
    let memory = Memory { prepared: Some(wanted.release.number), ..Memory::default() };
    let plan = plan(&wanted, &sight(&instances, &memory));
    let shares = plan.steps.iter().filter_map(|step| match step {
        Step::Send(share) => Some(share),
        _ => None,
    });
    let pools = shares.flat_map(|share| &share.pools).map(|(pool, it)| {
        let ends: Vec<_> = it.endpoints.iter().map(|end| end.address.to_string()).collect();
        let split = it.policy.split.iter().flat_map(|split| &split.sides);
        let sides: Vec<_> = split.map(|(name, side)| format!("{name} {}", side.weight)).collect();
        let speaks = if it.policy.http2 { " in HTTP/2" } else { "" };
        format!("{pool}: [{}] split [{}]{speaks}\n", ends.join(", "), sides.join(", "))
    });
    let steps = plan.steps.iter().filter(|step| !matches!(step, Step::Send(_)));
    let steps: Vec<_> = steps.map(ToString::to_string).collect();
    expected.assert_eq(&format!("{}{}", pools.collect::<String>(), steps.join(", ")));
}

#[test]
fn a_new_release_gets_its_share_once_it_is_ready_and_nothing_of_the_old_one_stops() {
    let two = || [by_release("a", 10), by_release("b", 10)];
    between_releases(
        two(),
        "web-1 r1 ready",
        expect![[r#"
        web.new:80: [] split []
        web:80: [10.0.0.1:80] split [web 9000, web.new 1000]
        start web.new-1"#]],
    );
    between_releases(
        two(),
        "web-1 r1 ready, web.new-1 r2 ready",
        expect![[r#"
        web.new:80: [10.0.0.2:80] split []
        web:80: [10.0.0.1:80] split [web 9000, web.new 1000]
    "#]],
    );
}

#[test]
fn a_new_release_that_takes_over_keeps_its_share_until_the_service_has_it() {
    let three = || [by_release("a", 10), by_release("b", 10), by_release("b", 100)];
    let old = "web-1 r2 ready, web.new-1 r2 ready";
    between_releases(
        three(),
        old,
        expect![[r#"
        web.new:80: [10.0.0.2:80] split []
        web:80: [10.0.0.1:80] split [web 9000, web.new 1000]
        start web-2"#]],
    );
    between_releases(
        three(),
        &format!("{old}, web-2 r3 starting"),
        expect![[r#"
        web.new:80: [10.0.0.2:80] split []
        web:80: [10.0.0.1:80] split [web 9000, web.new 1000]
    "#]],
    );
    between_releases(
        three(),
        &format!("{old}, web-2 r3 ready"),
        expect![[r#"
        web.new:80: [10.0.0.2:80] split []
        web:80: [10.0.0.3:80] split [web 9000, web.new 1000]
    "#]],
    );
    between_releases(
        three(),
        "web.new-1 r2 ready, web-2 r3 ready",
        expect![[r#"
        web:80: [10.0.0.2:80] split []
    "#]],
    );
}

#[test]
fn a_new_release_that_is_taken_back_gets_nothing_more_at_once() {
    // Also while another service is still on its way.
    let mut back = by_release("a", 10);
    back.services.insert(name("more"), service("more", 1));
    let instances = "web-1 r2 ready, web.new-1 r2 ready, more-1 r3 starting";
    between_releases(
        [by_release("a", 10), by_release("b", 10), back],
        instances,
        expect![[r#"
        web:80: [10.0.0.1:80] split []
    "#]],
    );
    // A third release of it is no successor of the second.
    between_releases(
        [by_release("a", 10), by_release("b", 10), by_release("c", 100)],
        "web-1 r2 ready, web.new-1 r2 ready, web-2 r3 starting",
        expect![[r#"
            web:80: [10.0.0.1:80] split []
        "#]],
    );
}

#[test]
fn a_side_that_leaves_is_spoken_to_as_before() {
    let apps = [("a", 10), ("b", 10), ("b", 100)].map(|(image, percent)| {
        let mut shop = by_release(image, percent);
        shop.services.get_mut(&name("web")).expect("web").edge.http2 = true;
        shop
    });
    between_releases(
        apps,
        "web-1 r2 ready, web.new-1 r2 ready, web-2 r3 starting",
        expect![[r#"
        web.new:80: [10.0.0.2:80] split [] in HTTP/2
        web:80: [10.0.0.1:80] split [web 9000, web.new 1000] in HTTP/2
    "#]],
    );
}

#[test]
fn a_release_that_stays_half_way_keeps_the_share_and_one_that_goes_back_has_its_own() {
    let halfway = |action: spec::FailureAction| {
        let mut last = by_release("b", 100);
        last.services.get_mut(&name("web")).expect("web").update.failure_action = action;
        let mut ledger = ledger([by_release("a", 10), by_release("b", 10), last]);
        ledger.fail(ReleaseNumber(3), &name("web"), "failed", Timestamp::from_secs(500));
        ledger
    };
    let instances = "web-1 r2 ready, web.new-1 r2 ready, web-2 r3 unhealthy";
    told(
        &halfway(spec::FailureAction::Pause),
        instances,
        expect![[r#"
        web.new:80: [10.0.0.2:80] split []
        web:80: [10.0.0.1:80] split [web 9000, web.new 1000]
    "#]],
    );
    told(
        &halfway(spec::FailureAction::Rollback),
        instances,
        expect![[r#"
        web.new:80: [10.0.0.2:80] split []
        web:80: [10.0.0.1:80] split [web 9000, web.new 1000]
    "#]],
    );
    // One that fails at its beginning gets nothing more.
    let mut first = ledger([by_release("a", 10), by_release("b", 10)]);
    first.fail(ReleaseNumber(2), &name("web.new"), "failed", Timestamp::from_secs(500));
    told(
        &first,
        "web-1 r2 ready, web.new-1 r2 unhealthy, web.new-2 r2 ready",
        expect![[r#"
        web:80: [10.0.0.1:80] split []
    "#]],
    );
}
