//! What comes next, in the words of the steps.

mod split;

use expect_test::{Expect, expect};
use spec::{App, Condition, Order, Restart};

use super::*;
use crate::fixtures::{app, ledger, need, route, seen, service, sight};

/// Release 1 was live; release 2 takes over.
#[track_caller]
fn check(apps: [App; 2], instances: &str, expected: Expect) {
    let ledger = ledger(apps);
    let instances = seen(&ledger, instances);
    let share = |text: &Vec<Step>| {
        text.iter().find_map(|step| match step {
            Step::Send(share) => Some(share.clone()),
            _ => None,
        })
    };
    // The edge already does what this very sight makes of its share.
    let mut memory = Memory { prepared: Some(ReleaseNumber(2)), ..Memory::default() };
    let wanted = ledger.wanted().expect("a release");
    memory.sent = share(&plan(&wanted, &sight(&instances, &memory)).steps);
    let traffic = TrafficSeen {
        sending: instances
            .iter()
            .filter(|one| memory.sent.as_ref().is_some_and(|share| share.sends_to(&one.id)))
            .map(|one| one.id.clone())
            .collect(),
        ..TrafficSeen::default()
    };
    let plan = plan(&wanted, &Sight { traffic: Some(&traffic), ..sight(&instances, &memory) });
    let mut lines: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
    lines.extend(plan.waits.map(|(service, what)| format!("{service} waits {what}")));
    expected.assert_eq(&if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") });
}

fn web(image: &str, replicas: u32) -> App {
    let mut web = service(image, replicas);
    route(&mut web, 80);
    web.healthcheck = None;
    app([("web", web)])
}

#[test]
fn an_old_instance_leaves_only_when_a_new_one_is_ready() {
    let two = || [web("a", 2), web("b", 2)];
    check(two(), "web-1 r1 ready, web-2 r1 ready", expect!["start web-3"]);
    check(two(), "web-1 r1 ready, web-2 r1 ready, web-3 r2 starting", expect!["nothing"]);
    check(two(), "web-1 r1 ready, web-2 r1 ready, web-3 r2 ready", expect!["stop web-2, start web-4"]);
    check(two(), "web-1 r1 ready, web-3 r2 ready, web-4 r2 ready", expect!["stop web-1"]);
    check(two(), "web-1 r1 stopped, web-3 r2 ready, web-4 r2 ready", expect!["remove web-1"]);
}

#[test]
fn one_that_fails_the_check_of_the_edge_runs_on_without_requests() {
    let same = || [web("a", 2), web("a", 2)];
    check(same(), "web-1 r1 ready, web-2 r1 unhealthy", expect!["stop web-2"]);
    check(same(), "web-1 r1 ready, web-2 r1 spared", expect!["nothing"]);
    let ledger = ledger(same());
    let instances = seen(&ledger, "web-1 r1 ready, web-2 r1 spared");
    let memory = Memory { prepared: Some(ReleaseNumber(2)), ..Memory::default() };
    let plan = plan(&ledger.wanted().expect("a release"), &sight(&instances, &memory));
    let sent = plan.steps.iter().find_map(|step| match step {
        Step::Send(share) => Some(share),
        _ => None,
    });
    let sent = sent.expect("a share");
    assert!(sent.sends_to(&instances[0].id) && !sent.sends_to(&instances[1].id));
    // A release waits for it, and fails with it.
    let two = || [web("a", 1), web("b", 1)];
    check(two(), "web-1 r1 ready, web-2 r2 starting", expect!["nothing"]);
    check(
        two(),
        "web-1 r1 ready, web-2 r2 spared",
        expect!["fail release 2: web fails the check of the edge (web-2)"],
    );
}

#[test]
fn a_cut_off_stop_is_made_again() {
    check([web("a", 1), web("b", 1)], "web-1 r1 stopping, web-2 r2 ready", expect!["stop web-1"]);
}

fn store(image: &str) -> App {
    let mut store = service(image, 1);
    store.update.order = Order::StopFirst;
    app([("store", store)])
}

#[test]
fn stop_first_never_has_two() {
    let one = || [store("a"), store("b")];
    check(one(), "store-1 r1 ready", expect!["stop store-1"]);
    check(one(), "store-1 r1 stopping", expect!["stop store-1"]);
    check(one(), "store-1 r1 stopped", expect!["remove store-1, start store-2"]);
    check(one(), "store-1 r1 ready, store-2 r2 stopped", expect!["stop store-1"]);
}

fn with_job(image: &str) -> App {
    let mut job = service(image, 1);
    job.restart = Restart::No;
    let mut web = service(image, 1);
    need(&mut web, "migrate", Condition::CompletedSuccessfully);
    app([("migrate", job), ("web", web)])
}

#[test]
fn a_job_runs_before_anything_moves_and_its_failure_ends_the_release() {
    let jobs = || [with_job("a"), with_job("b")];
    check(jobs(), "web-1 r1 ready", expect!["run migrate, web waits for `migrate` to complete"]);
    check(
        jobs(),
        "web-1 r1 ready, migrate-1 r1 starting",
        expect!["stop migrate-1, web waits for `migrate` to complete"],
    );
    check(jobs(), "web-1 r1 ready, migrate-1 r2 starting", expect!["web waits for `migrate` to complete"]);
    check(
        jobs(),
        "web-1 r1 ready, migrate-1 r2 exited:1",
        expect!["note that migrate ended with 1, web waits for `migrate` to complete"],
    );
}

#[test]
fn a_new_instance_that_fails_fails_the_release() {
    check(
        [web("a", 1), web("b", 1)],
        "web-1 r1 ready, web-2 r2 exited:3",
        expect!["restart web-2, fail release 2: web ended with code 3 after 4.0 s (web-2)"],
    );
}

#[test]
fn a_service_that_left_the_file_stays_until_the_others_serve() {
    let both = || app([("web", service("a", 1)), ("extra", service("a", 1))]);
    let one = || app([("web", service("b", 1))]);
    check([both(), one()], "web-1 r1 ready, extra-1 r1 ready", expect!["start web-2"]);
    check([both(), one()], "web-2 r2 ready, extra-1 r1 ready", expect!["stop extra-1"]);
}

#[test]
fn who_needs_another_waits_for_its_new_instances() {
    let two = |image| {
        let mut web = service(image, 1);
        need(&mut web, "api", Condition::Healthy);
        app([("web", web), ("api", service(image, 1))])
    };
    check(
        [two("a"), two("b")],
        "web-1 r1 ready, api-1 r1 ready",
        expect!["start api-2, web waits for `api` to be healthy"],
    );
    check([two("a"), two("b")], "web-1 r1 ready, api-2 r2 ready", expect!["start web-2"]);
}

#[test]
fn a_successor_whose_last_instance_ended_still_gets_its_volume_back() {
    let with_volume = |name: &'static str| {
        let mut store = service("a", 1);
        store.update.order = Order::StopFirst;
        let kind = spec::MountKind::Volume { key: "data".into(), nocopy: false, subpath: None };
        store.mounts.push(spec::Mount { target: "/data".into(), kind, read_only: false });
        let mut app = app([(name, store)]);
        let volume = serde_json::from_value(serde_json::json!({"name": "shop_data"})).expect("a volume");
        app.volumes.insert("data".into(), volume);
        app
    };
    let ledger = ledger([with_volume("old"), with_volume("new")]);
    let mut instances = seen(&ledger, "old-1 r1 ready, new-1 r2 stopped");
    instances[0].volumes.push(base::VolumeName::new("shop_data").expect("a name"));
    let memory =
        Memory { prepared: Some(ReleaseNumber(2)), sent: Some(RouteShare::default()), ..Memory::default() };
    let plan = plan(&ledger.wanted().expect("a release"), &sight(&instances, &memory));
    assert_eq!(plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>(), ["stop old-1"]);
}

#[test]
fn a_stop_for_bad_health_counts_as_a_failure_and_one_by_a_person_does_not() {
    let ledger = ledger([web("a", 1), web("a", 1)]);
    let restarts = |instances: &str| {
        let instances = seen(&ledger, instances);
        let memory = Memory { prepared: Some(ReleaseNumber(2)), ..Memory::default() };
        let plan = plan(&ledger.wanted().expect("a release"), &sight(&instances, &memory));
        plan.steps.iter().find_map(|step| match step {
            Step::Restart { restarts, .. } => Some(*restarts),
            _ => None,
        })
    };
    assert_eq!(restarts("web-1 r2 sick"), Some(1));
    assert_eq!(restarts("web-1 r2 stopped"), Some(0));
}

#[test]
fn what_ended_before_a_release_was_asked_for_is_no_failure_of_it() {
    let ledger = ledger([web("a", 1), web("a", 1)]);
    let mut instances = seen(&ledger, "web-1 r2 exited:137");
    let mut restarts = |age: u64| {
        instances[0].age = Duration::from_secs(age);
        let memory = Memory { prepared: Some(ReleaseNumber(2)), ..Memory::default() };
        let wanted = ledger.wanted().expect("a release");
        let five_later = Timestamp::from_secs(wanted.since.secs() + 5);
        let plan = plan(&wanted, &Sight { wall: five_later, ..sight(&instances, &memory) });
        plan.steps.iter().find_map(|step| match step {
            Step::Restart { restarts, .. } => Some(*restarts),
            _ => None,
        })
    };
    assert_eq!((restarts(3), restarts(6)), (Some(1), Some(0)));
}

#[test]
fn a_start_that_was_under_way_when_a_release_was_asked_for_is_no_failure_of_it() {
    let ledger = ledger([web("a", 1), web("b", 1)]);
    let mut instances = seen(&ledger, "web-1 r2 starting");
    (instances[0].restarts, instances[0].age, instances[0].up) = (1, Duration::ZERO, Duration::ZERO);
    let fails = |after_ms: u64| {
        let memory = Memory { prepared: Some(ReleaseNumber(2)), ..Memory::default() };
        let wanted = ledger.wanted().expect("a release");
        let wall = Timestamp(wanted.since.0 + i64::try_from(after_ms * 1_000_000).expect("a short time"));
        let plan = plan(&wanted, &Sight { wall, ..sight(&instances, &memory) });
        plan.steps.iter().any(|step| matches!(step, Step::Fail { .. }))
    };
    // It is started again 100 ms after its end at the soonest.
    assert_eq!((fails(40), fails(100), fails(101)), (false, false, true));
}

#[test]
fn a_release_that_comes_back_does_not_wait_for_the_ways_of_the_one_that_failed() {
    let mut more = web("b", 1);
    let way = serde_json::json!({"host": "more.example", "path": "/", "port": 80, "strip_prefix": false});
    let service = more.services.values_mut().next().expect("it has one");
    service.routes.push(serde_json::from_value(way).expect("a route"));
    let mut ledger = ledger([web("a", 1), more]);
    let hosts = |ledger: &crate::Ledger| {
        let instances = seen(ledger, "web-1 r1 ready, web-2 r2 ready");
        let memory = Memory { prepared: Some(ReleaseNumber(2)), ..Memory::default() };
        let plan = plan(&ledger.wanted().expect("a release"), &sight(&instances, &memory));
        let share = plan.steps.iter().find_map(|step| match step {
            Step::Send(share) => Some(share.clone()),
            _ => None,
        });
        share.expect("a share").rules.into_iter().filter_map(|rule| rule.host).collect::<Vec<_>>()
    };
    assert_eq!(hosts(&ledger), ["shop.example", "more.example"]);
    ledger.fail(
        ReleaseNumber(2),
        &"web".parse::<ServiceName>().expect("a name"),
        "could not be opened",
        Timestamp(9),
    );
    assert_eq!(hosts(&ledger), ["shop.example"]);
}

#[test]
fn a_share_has_what_its_rules_name_and_a_redirect_needs_no_instance() {
    let mut shop = web("a", 1);
    let file = |text: &str| spec::FileSource {
        name: "file".into(),
        content: Some(spec::Blob(text.into())),
        labels: Default::default(),
    };
    shop.secrets.insert("list".into(), file("ann:hash"));
    shop.configs.insert("page".into(), file("<h1>"));
    shop.services.insert("auth".parse().expect("a name"), service("auth", 1));
    let web = shop.services.values_mut().next().expect("it has one");
    web.edge.error_pages.insert("5xx".into(), "page".into());
    let ways = [
        serde_json::json!({"host": "list.example", "path": "/", "port": 80, "rules": {"basic_auth":
            {"users": "list", "realm": "shop"},
            "forward_auth": {"service": "auth", "port": 4180, "path": "/verify"}}}),
        serde_json::json!({"host": "old.example", "path": "/", "port": 0, "rules": {"redirect":
            {"status": 308, "path": "/new", "keep_path": true, "keep_query": true}}}),
    ];
    web.routes.extend(ways.map(|way| serde_json::from_value(way).expect("a route")));
    let ledger = ledger([shop.clone(), shop]);
    let instances = seen(&ledger, "web-1 r2 ready, auth-1 r2 ready");
    let memory = Memory { prepared: Some(ReleaseNumber(2)), ..Memory::default() };
    let plan = plan(&ledger.wanted().expect("a release"), &sight(&instances, &memory));
    let share = plan.steps.iter().find_map(|step| match step {
        Step::Send(share) => Some(share.clone()),
        _ => None,
    });
    let share = share.expect("a share");
    let pages: Vec<_> = share
        .pools
        .iter()
        .map(|(name, pool)| format!("{name} {} {:?}", pool.endpoints.len(), pool.pages))
        .collect();
    assert_eq!(pages, ["auth:4180 1 {}", r#"web:80 1 {"5xx": "<h1>"}"#], "nobody is asked by a redirect");
    let users = |blob: &spec::Blob| String::from_utf8_lossy(&blob.0).into_owned();
    let rules = share.rules.iter().map(|rule| {
        let users = rule.users.as_ref().map(users).unwrap_or_default();
        format!("{} -> {:?} {users} {}", rule.host.as_deref().unwrap_or("*"), rule.pool, rule.asks)
    });
    let rules: Vec<_> = rules.collect();
    assert_eq!(
        rules,
        [
            r#"shop.example -> "web:80"  "#,
            r#"list.example -> "web:80" ann:hash auth:4180"#,
            r#"old.example -> ""  "#
        ]
    );
}
