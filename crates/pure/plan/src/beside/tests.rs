//! What is stored when a new release of a service is to stand beside the one that runs.

use std::fmt::Write as _;

use base::Timestamp;
use expect_test::{Expect, expect};
use spec::{Attachment, Blob, Condition, Mount, Network, ReleaseMatch, Volume};

use super::*;
use crate::fixtures::{app, draft, ledger, name, need, route, service};
use crate::ledger::Ledger;
use crate::preview::preview;

/// A service at port 80 whose new releases get this share first.
fn web(image: &str, percent: u32) -> Service {
    let mut web = service(image, 2);
    route(&mut web, 80);
    let (matches, sticky) = (Vec::new(), spec::Sticky::No);
    web.edge.release = Some(ReleaseSplit { of_10_000: percent * 100, replicas: None, matches, sticky });
    web
}

fn shop(image: &str, percent: u32) -> App {
    app([("web", web(image, percent)), ("db", service("db", 1))])
}

fn of<'a>(app: &'a mut App, service: &str) -> &'a mut Service {
    app.services.get_mut(&name(service)).expect("a service")
}

/// The services of the newest release: their images, numbers and sides.
fn services(ledger: &Ledger) -> String {
    let release = ledger.target().expect("a release");
    let mut text = String::new();
    for (service, spec) in &release.app.services {
        let split = spec.edge.split.iter().flat_map(|split| &split.sides);
        let sides: Vec<_> = split.map(|(name, side)| format!("{name} {}", side.weight)).collect();
        let image = &release.made[service].image;
        write!(text, "{service}: {} {image} x{}", spec.image, spec.replicas).expect("memory");
        let ways = if spec.routes.is_empty() && spec.ports.is_empty() { "" } else { ", has a way in" };
        let sides = if sides.is_empty() { String::new() } else { format!(", sides {}", sides.join(" and ")) };
        writeln!(text, "{ways}{sides}").expect("memory");
    }
    text
}

#[track_caller]
fn check(apps: impl IntoIterator<Item = App>, expected: Expect) -> Ledger {
    let ledger = ledger(apps);
    expected.assert_eq(&services(&ledger));
    ledger
}

/// Whether instances of this service are the same in the last two releases.
fn stays(ledger: &Ledger, service: &str) -> bool {
    let mut made = ledger.releases.values().rev().map(|it| it.made.get(&name(service)));
    let (last, before) = (made.next().flatten(), made.next().flatten());
    last.zip(before).is_some_and(|(last, before)| last.revision == before.revision)
}

#[test]
fn a_new_release_stands_beside_the_one_that_runs() {
    check(
        [shop("a", 10)],
        expect![[r#"
            web: a sha256:a x2, has a way in
            db: db sha256:db x1
        "#]],
    );
    let two = check(
        [shop("a", 10), shop("b", 10)],
        expect![[r#"
            web: a sha256:a x2, has a way in, sides web 9000 and web.new 1000
            web.new: b sha256:b x2
            db: db sha256:db x1
        "#]],
    );
    assert!(stays(&two, "web") && stays(&two, "db"));
}

#[test]
fn the_journal_tells_the_share_of_a_new_release() {
    let mut ledger = live([shop("a", 10)]);
    let (_, change) = ledger.deploy(draft(shop("b", 10)), Timestamp::from_secs(900)).expect("a deploy");
    let told: Vec<_> = change.events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(told, ["release 2 was asked for: deploy, with 10 % of the requests for `web`"]);
}

#[test]
fn another_share_replaces_nothing() {
    let three = check(
        [shop("a", 10), shop("b", 10), shop("b", 60)],
        expect![[r#"
            web: a sha256:a x2, has a way in, sides web 4000 and web.new 6000
            web.new: b sha256:b x2
            db: db sha256:db x1
        "#]],
    );
    assert!(stays(&three, "web") && stays(&three, "web.new"));
    let none = check(
        [shop("a", 10), shop("b", 10), shop("b", 0)],
        expect![[r#"
            web: a sha256:a x2, has a way in, sides web 10000 and web.new 0
            web.new: b sha256:b x2
            db: db sha256:db x1
        "#]],
    );
    assert!(stays(&none, "web") && stays(&none, "web.new"));
}

#[test]
fn another_image_goes_to_the_side_and_the_old_one_stays() {
    let three = check(
        [shop("a", 10), shop("b", 10), shop("c", 10)],
        expect![[r#"
            web: a sha256:a x2, has a way in, sides web 9000 and web.new 1000
            web.new: c sha256:c x2
            db: db sha256:db x1
        "#]],
    );
    assert!(stays(&three, "web") && !stays(&three, "web.new"));
}

#[test]
fn with_all_requests_or_without_a_word_the_service_becomes_the_new_one() {
    let whole = check(
        [shop("a", 10), shop("b", 10), shop("b", 100)],
        expect![[r#"
            web: b sha256:b x2, has a way in
            db: db sha256:db x1
        "#]],
    );
    assert!(!stays(&whole, "web"));
    let mut plain = shop("b", 10);
    of(&mut plain, "web").edge.release = None;
    check(
        [shop("a", 10), shop("b", 10), plain],
        expect![[r#"
            web: b sha256:b x2, has a way in
            db: db sha256:db x1
        "#]],
    );
    // From then on it is what runs.
    check(
        [shop("a", 10), shop("b", 10), shop("b", 100), shop("b", 10)],
        expect![[r#"
            web: b sha256:b x2, has a way in
            db: db sha256:db x1
        "#]],
    );
    check(
        [shop("a", 10), shop("b", 10), shop("b", 100), shop("c", 10)],
        expect![[r#"
            web: b sha256:b x2, has a way in, sides web 9000 and web.new 1000
            web.new: c sha256:c x2
            db: db sha256:db x1
        "#]],
    );
}

#[test]
fn with_the_old_image_the_new_one_leaves() {
    let back = check(
        [shop("a", 10), shop("b", 10), shop("a", 10)],
        expect![[r#"
            web: a sha256:a x2, has a way in
            db: db sha256:db x1
        "#]],
    );
    assert!(stays(&back, "web"));
}

#[test]
fn the_same_file_again_is_no_new_release() {
    let mut ledger = ledger([shop("a", 10), shop("b", 10)]);
    let again = |ledger: &mut Ledger| {
        ledger.deploy(draft(shop("b", 10)), Timestamp::from_secs(900)).expect("a deploy").0.0
    };
    // Also while it takes over.
    assert_eq!(again(&mut ledger), 2);
    ledger.settle(base::ReleaseNumber(2), Default::default(), Timestamp::from_secs(950));
    assert_eq!(again(&mut ledger), 2);
    // A tag that means another image now is a new release of it.
    let mut draft = draft(shop("a", 10));
    draft.images.get_mut(&name("web")).expect("web").digest = "sha256:rebuilt".into();
    ledger.deploy(draft, Timestamp::from_secs(960)).expect("a deploy");
    expect![[r#"
        web: a sha256:a x2, has a way in, sides web 9000 and web.new 1000
        web.new: a sha256:rebuilt x2
        db: db sha256:db x1
    "#]]
    .assert_eq(&services(&ledger));
}

#[test]
fn what_runs_is_what_ran_last_and_not_what_takes_over() {
    // Release 2 was to take over wholly and is not there yet when the next one is wanted.
    let mut ledger = ledger([shop("a", 10), shop("b", 100)]);
    ledger.deploy(draft(shop("c", 10)), Timestamp::from_secs(900)).expect("a deploy");
    expect![[r#"
        web: a sha256:a x2, has a way in, sides web 9000 and web.new 1000
        web.new: c sha256:c x2
        db: db sha256:db x1
    "#]]
    .assert_eq(&services(&ledger));
    // The first release never ran: there is nothing to stand beside.
    let mut first = crate::fixtures::ledger([shop("a", 10)]);
    first.deploy(draft(shop("b", 10)), Timestamp::from_secs(900)).expect("a deploy");
    expect![[r#"
        web: b sha256:b x2, has a way in
        db: db sha256:db x1
    "#]]
    .assert_eq(&services(&first));
}

#[test]
fn a_rollback_brings_back_what_stood() {
    let mut ledger = ledger([shop("a", 10), shop("b", 10), shop("b", 100)]);
    ledger.settle(base::ReleaseNumber(3), Default::default(), Timestamp::from_secs(900));
    let stood = ledger.releases[&base::ReleaseNumber(2)].clone();
    ledger.rollback(None, Timestamp::from_secs(901)).expect("a rollback");
    let back = ledger.target().expect("a release");
    assert_eq!((&back.app, &back.made), (&stood.app, &stood.made));
    ledger.settle(base::ReleaseNumber(4), Default::default(), Timestamp::from_secs(902));
    // A new share for what stands again changes no instance.
    ledger.deploy(draft(shop("b", 50)), Timestamp::from_secs(903)).expect("a deploy");
    assert!(stays(&ledger, "web") && stays(&ledger, "web.new"));
}

#[test]
fn numbers_and_restarts_are_each_ones_own_while_both_stand() {
    let mut ledger = ledger([shop("a", 10), shop("b", 10)]);
    ledger.settle(base::ReleaseNumber(2), Default::default(), Timestamp::from_secs(900));
    ledger.restart(&[name("web")], Timestamp::from_secs(901)).expect("a restart");
    assert!(!stays(&ledger, "web") && stays(&ledger, "web.new"));
    ledger.settle(base::ReleaseNumber(3), Default::default(), Timestamp::from_secs(902));
    ledger.scale(&[(name("web.new"), 1)].into(), Timestamp::from_secs(903)).expect("a scale");
    ledger.settle(base::ReleaseNumber(4), Default::default(), Timestamp::from_secs(904));
    // What was restarted is not taken for another release.
    ledger.deploy(draft(shop("b", 20)), Timestamp::from_secs(905)).expect("a deploy");
    assert!(stays(&ledger, "web") && stays(&ledger, "web.new"));
    let mut fewer = shop("b", 20);
    of(&mut fewer, "web").edge.release.as_mut().expect("a share").replicas = Some(1);
    ledger.deploy(draft(fewer), Timestamp::from_secs(906)).expect("a deploy");
    expect![[r#"
        web: a sha256:a x2, has a way in, sides web 8000 and web.new 2000
        web.new: b sha256:b x1
        db: db sha256:db x1
    "#]]
    .assert_eq(&services(&ledger));
}

#[test]
fn matches_and_stickiness_become_those_of_the_split() {
    let mut b = shop("b", 0);
    let wish = of(&mut b, "web").edge.release.as_mut().expect("a share");
    let by = || MatchBy::Header("x-canary".into());
    wish.matches = vec![
        ReleaseMatch { by: by(), value: Some("no".into()), to: Which::Old },
        ReleaseMatch { by: by(), value: None, to: Which::New },
    ];
    wish.sticky = spec::Sticky::Client;
    let ledger = ledger([shop("a", 10), b]);
    let split = &ledger.target().expect("a release").app.services[&name("web")].edge.split;
    let split = split.as_ref().expect("a split");
    let to: Vec<_> = split.matches.iter().map(|one| (one.value.as_deref(), one.to.as_str())).collect();
    assert_eq!(to, [(Some("no"), "web"), (None, "web.new")]);
    assert_eq!(split.sticky, spec::Sticky::Client);
}

#[test]
fn two_services_are_split_each_by_itself_and_others_come_and_go() {
    let with = |web_image: &str, api_image: &str, more: &'static str| {
        app([("web", web(web_image, 10)), ("api", web(api_image, 25)), (more, service("x", 1))])
    };
    check(
        [with("a", "a", "old"), with("b", "b", "fresh")],
        expect![[r#"
            web: a sha256:a x2, has a way in, sides web 9000 and web.new 1000
            web.new: b sha256:b x2
            api: a sha256:a x2, has a way in, sides api 7500 and api.new 2500
            api.new: b sha256:b x2
            fresh: x sha256:x x1
        "#]],
    );
    check(
        [with("a", "a", "old"), with("b", "a", "old")],
        expect![[r#"
            web: a sha256:a x2, has a way in, sides web 9000 and web.new 1000
            web.new: b sha256:b x2
            api: a sha256:a x2, has a way in
            old: x sha256:x x1
        "#]],
    );
}

#[test]
fn who_follows_the_service_goes_on_with_the_one_that_runs() {
    let with = |image: &str, percent: u32| {
        let mut shop = shop(image, percent);
        let mut agent = service("agent", 1);
        agent.network_mode = NetworkMode::Service(name("web"));
        need(of(&mut shop, "db"), "web", Condition::Started);
        of(&mut shop, "db").depends_on[&name("web")].restart = true;
        shop.services.insert(name("agent"), agent);
        shop
    };
    let two = ledger([with("a", 10), with("b", 10)]);
    assert!(stays(&two, "web") && stays(&two, "agent") && stays(&two, "db"));
    let three = ledger([with("a", 10), with("b", 10), with("b", 100)]);
    assert!(!stays(&three, "web") && !stays(&three, "agent") && !stays(&three, "db"));
}

/// The shop with a config and a secret of this content.
fn with_files(image: &str, percent: u32, content: &str) -> App {
    let mut shop = shop(image, percent);
    let file = || FileSource {
        name: "shop_conf".into(),
        content: Some(Blob(content.as_bytes().to_vec())),
        labels: IndexMap::new(),
    };
    let mount = || FileMount { source: "conf".into(), target: "/conf".into(), uid: 0, gid: 0, mode: 0o444 };
    shop.configs.insert("conf".into(), file());
    shop.secrets.insert("conf".into(), file());
    of(&mut shop, "web").configs.push(mount());
    of(&mut shop, "web").secrets.push(mount());
    of(&mut shop, "db").configs.push(mount());
    shop
}

#[test]
fn the_old_one_keeps_the_secrets_and_configs_that_it_was_made_with() {
    let contents = |ledger: &Ledger| {
        let release = ledger.target().expect("a release");
        let mut text = String::new();
        for (service, spec) in &release.app.services {
            for (mounts, files) in
                [(&spec.configs, &release.app.configs), (&spec.secrets, &release.app.secrets)]
            {
                for mount in mounts {
                    let content = files[&mount.source].content.clone().unwrap_or_default();
                    let content = String::from_utf8_lossy(&content.0).into_owned();
                    write!(text, "{service} {} {content}, ", mount.source).expect("memory");
                }
            }
        }
        text
    };
    let mut ledger = ledger([with_files("a", 10, "1"), with_files("a", 10, "2")]);
    assert!(stays(&ledger, "web") && !stays(&ledger, "db"));
    expect!["web conf@web 1, web conf@web 1, web.new conf 2, web.new conf 2, db conf 2, "]
        .assert_eq(&contents(&ledger));
    let told = preview(&live([with_files("a", 10, "1")]), &draft(with_files("a", 10, "2")), &[]);
    expect![[r#"
          web: keep, 0 -> 2
        + web.new: create, 0 -> 2
            gets 10 % of the requests for `web`, beside what runs
            what it uses or follows changed
        ~ db: replace, 0 -> 1
            what it uses or follows changed
        ~ secrets.conf: changed
        ~ secrets.conf@web: stays as it is for what runs
        ~ configs.conf: changed
        ~ configs.conf@web: stays as it is for what runs
    "#]]
    .assert_eq(&told.expect("a preview").to_string());
    // They stay also when the file changes once more, and leave with the one that uses them.
    for (number, percent, content) in [(2, 10, "3"), (3, 100, "3")] {
        ledger.settle(base::ReleaseNumber(number), Default::default(), Timestamp::from_secs(900));
        let wanted = draft(with_files("a", percent, content));
        ledger.deploy(wanted, Timestamp::from_secs(901)).expect("a deploy");
        let expected = match percent {
            10 => expect!["web conf@web 1, web conf@web 1, web.new conf 3, web.new conf 3, db conf 3, "],
            _ => expect!["web conf 3, web conf 3, db conf 3, "],
        };
        expected.assert_eq(&contents(&ledger));
    }
    assert!(ledger.target().expect("a release").app.configs.keys().eq(["conf"]));
}

#[test]
fn networks_and_volumes_that_only_the_old_one_uses_stay() {
    let network = |name: &str| Network::plain(base::NetworkName::new(name).expect("a name"));
    let volume = || Volume {
        name: base::VolumeName::new("shop_files").expect("a name"),
        external: false,
        driver: None,
        driver_opts: IndexMap::new(),
        labels: IndexMap::new(),
    };
    let mut then = shop("a", 10);
    of(&mut then, "web").networks.insert("back".into(), Attachment::default());
    let kind = MountKind::Volume { key: "files".into(), nocopy: false, subpath: None };
    of(&mut then, "web").mounts.push(Mount { target: "/files".into(), kind, read_only: false });
    then.networks.insert("back".into(), network("shop_back"));
    then.volumes.insert("files".into(), volume());
    let two = ledger([then.clone(), shop("b", 10)]);
    let kept = &two.target().expect("a release").app;
    assert!(kept.networks.contains_key("back") && kept.volumes.contains_key("files"));
    assert!(stays(&two, "web"));
    let gone = ledger([then.clone(), shop("b", 10), shop("b", 100)]);
    let kept = &gone.target().expect("a release").app;
    assert!(!kept.networks.contains_key("back") && !kept.volumes.contains_key("files"));
    // One that both use cannot be two at once.
    let mut other = then.clone();
    of(&mut other, "web").image = "b".into();
    other.networks["back"].internal = true;
    refused(
        then,
        other,
        expect![
            "two releases of `web` cannot run side by side: the network `back`, which the old one uses, changes | make that change in a release of its own, without `x-sea.edge.split.release`"
        ],
    );
}

/// The ledger after these apps were deployed and settled.
fn live(apps: impl IntoIterator<Item = App>) -> Ledger {
    let mut ledger = ledger(apps);
    let last = ledger.target().expect("a release").number;
    ledger.settle(last, Default::default(), Timestamp::from_secs(800));
    ledger
}

/// What is said of a share for a new release that cannot be.
#[track_caller]
fn refused(then: App, now: App, expected: Expect) {
    let mut ledger = live([then]);
    let told = preview(&ledger, &draft(now.clone()), &[]).expect_err("a refusal");
    let error = ledger.deploy(draft(now), Timestamp::from_secs(900)).expect_err("a refusal");
    assert_eq!(error, told);
    expected.assert_eq(&format!("{error} | {}", error.hint().unwrap_or_default()));
}

#[test]
fn what_cannot_be_split_is_refused_at_once() {
    let check = |change: fn(&mut App), expected: Expect| {
        let mut now = shop("a", 10);
        change(&mut now);
        // Also when nothing runs yet, or nothing changes.
        refused(shop("a", 100), now, expected);
    };
    check(
        |app| drop(app.services.insert(name("web.new"), service("x", 1))),
        expect![
            "two releases of `web` cannot run side by side: the part of the new one would be called `web.new`, which is no free name | give the other service, or this one, another name"
        ],
    );
    check(
        |app| need(of(app, "db"), "web", Condition::CompletedSuccessfully),
        expect![
            "two releases of `web` cannot run side by side: it runs once in a release | take `x-sea.edge.split.release` out"
        ],
    );
    check(
        |app| of(app, "web").update.order = Order::StopFirst,
        expect![
            "two releases of `web` cannot run side by side: its update stops the old one before it starts the new one | take `x-sea.edge.split.release` out; or, if two may write to its volumes at once, say `x-sea.writer: many`, or `order: start-first` in `deploy.update_config`"
        ],
    );
    check(
        |app| {
            of(app, "web").container_name = Some("web".into());
            of(app, "web").replicas = 1;
        },
        expect![
            "two releases of `web` cannot run side by side: a fixed `container_name` cannot be taken twice | take the fixed `container_name` out, or `x-sea.edge.split.release`"
        ],
    );
    check(
        |app| {
            let ipv4_address = Some("10.0.0.9".into());
            let fixed = Attachment { ipv4_address, ..Attachment::default() };
            of(app, "web").networks.insert("default".into(), fixed);
            of(app, "web").replicas = 1;
        },
        expect![
            "two releases of `web` cannot run side by side: a fixed address cannot be taken twice | take the fixed address out, or `x-sea.edge.split.release`"
        ],
    );
    check(
        |app| of(app, "web").network_mode = NetworkMode::Host,
        expect![
            "two releases of `web` cannot run side by side: it has no network of its own | take `x-sea.edge.split.release` out"
        ],
    );
    check(
        |app| of(app, "web").network_mode = NetworkMode::Service(name("db")),
        expect![
            "two releases of `web` cannot run side by side: it lives in a namespace of `db` | take `x-sea.edge.split.release` out"
        ],
    );
    check(
        |app| of(app, "web").routes.clear(),
        expect![
            "two releases of `web` cannot run side by side: no request comes to it through the edge | give it a route, a published port, or a port in `expose` that others call"
        ],
    );
}

#[test]
fn what_the_old_one_cannot_do_is_refused() {
    let check = |change: fn(&mut App), expected: Expect| {
        let mut now = shop("b", 10);
        change(&mut now);
        let mut then = shop("a", 10);
        need(of(&mut then, "web"), "db", Condition::Healthy);
        refused(then, now, expected);
    };
    check(
        |app| of(app, "web").routes[0].port = 90,
        expect![
            "two releases of `web` cannot run side by side: requests for `shop.example/` come to port 80 of the old one and to 90 of the new one | make that change in a release of its own, without `x-sea.edge.split.release`"
        ],
    );
    check(
        |app| of(app, "web").edge.http2 = true,
        expect![
            "two releases of `web` cannot run side by side: one speaks HTTP/2 and the other HTTP/1.1 | make that change in a release of its own, without `x-sea.edge.split.release`"
        ],
    );
    check(
        |app| drop(app.services.shift_remove(&name("db"))),
        expect![
            "two releases of `web` cannot run side by side: the old one needs `db`, which the file does not have | keep `db` until the new release has all requests"
        ],
    );
    // Nobody else may write to what it writes to, or take its name, also where the new file has none of that.
    let mut alone = shop("a", 100);
    of(&mut alone, "web").update.order = Order::StopFirst;
    refused(
        alone,
        shop("b", 10),
        expect![
            "two releases of `web` cannot run side by side: the old one was made to run alone | make that change in a release of its own, without `x-sea.edge.split.release`"
        ],
    );
    let mut named = shop("a", 100);
    of(&mut named, "web").container_name = Some("web".into());
    of(&mut named, "web").replicas = 1;
    refused(
        named,
        shop("b", 10),
        expect![
            "two releases of `web` cannot run side by side: the old one was made to run alone | make that change in a release of its own, without `x-sea.edge.split.release`"
        ],
    );
    let mut host = shop("a", 100);
    of(&mut host, "web").network_mode = NetworkMode::Host;
    refused(
        host,
        shop("b", 10),
        expect![
            "two releases of `web` cannot run side by side: it has no network of its own | take `x-sea.edge.split.release` out"
        ],
    );
}

#[test]
fn all_that_instances_do_not_see_is_the_new_files_at_once() {
    let mut now = shop("b", 10);
    let web = of(&mut now, "web");
    web.replicas = 5;
    web.edge.retries = Some(7);
    web.edge.proxy_protocol = Some(spec::ProxyProtocol::V2);
    web.routes[0].host = Some("new.example".into());
    web.update.parallelism = 3;
    web.networks
        .insert("default".into(), Attachment { aliases: vec!["shop".into()], ..Attachment::default() });
    let two = ledger([shop("a", 10), now]);
    let app = &two.target().expect("a release").app;
    let (old, new) = (&app.services[&name("web")], &app.services[&name("web.new")]);
    assert!(stays(&two, "web"));
    for one in [old, new] {
        assert_eq!((one.replicas, one.edge.retries, one.update.parallelism), (5, Some(7), 3));
    }
    assert_eq!(old.routes[0].host.as_deref(), Some("new.example"));
    // What a connection begins with is what each instance expects.
    assert_eq!((old.edge.proxy_protocol, new.edge.proxy_protocol), (None, Some(spec::ProxyProtocol::V2)));
    // The service's other names lead to both by way of the edge.
    assert!(new.routes.is_empty() && new.networks["default"].aliases.is_empty());
}

#[test]
fn a_plan_says_what_the_new_one_gets_and_how_it_differs() {
    let told = |then: Vec<App>, now: App| {
        let ledger = live(then);
        preview(&ledger, &draft(now), &[]).expect("a preview").to_string()
    };
    let mut changed = shop("b", 10);
    of(&mut changed, "web").environment.insert("MODE".into(), "fast".into());
    expect![[r#"
          web: keep, 0 -> 2
        + web.new: create, 0 -> 2
            gets 10 % of the requests for `web`, beside what runs
            image: a -> b
            environment.MODE: none -> fast
          db: keep, 0 -> 1
    "#]]
    .assert_eq(&told(vec![shop("a", 10)], changed));
    expect![[r#"
        ~ web: update, 0 -> 2
            edge.split.release: 10 % -> 12 %
          web.new: keep, 0 -> 2
          db: keep, 0 -> 1
    "#]]
    .assert_eq(&told(vec![shop("a", 10), shop("b", 10)], shop("b", 12)));
    expect![[r#"
        ~ web: replace, 0 -> 2
            image: a -> b
            edge.split.release: 10 % -> 100 %
          db: keep, 0 -> 1
        - web.new: remove
    "#]]
    .assert_eq(&told(vec![shop("a", 10), shop("b", 10)], shop("b", 100)));
}
