//! Small apps and sightings from text, for the tests of this crate.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{AppName, ContainerId, Instant, Revision, ServiceName, Timestamp};
use serde_json::json;
use spec::{App, Condition, Dependency, PathPrefix, Route, Service};

use crate::ports::ImageFacts;
use crate::seen::{Seen, State};
use crate::{Cause, Draft, Ledger, Memory, Sight};

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("a name")
}

pub(crate) fn service(image: &str, replicas: u32) -> Service {
    let zero = json!({"secs": 0, "nanos": 0});
    let policy = json!({"parallelism": 1, "delay": zero, "failure_action": "rollback",
        "monitor": {"secs": 5, "nanos": 0}, "max_failure_ratio": 0.0, "order": "start_first"});
    serde_json::from_value(json!({"image": image, "stop_grace_period": {"secs": 10, "nanos": 0},
        "replicas": replicas, "update": policy, "rollback": policy}))
    .expect("a service")
}

pub(crate) fn route(service: &mut Service, port: u16) {
    let path = PathPrefix::root();
    service.routes.push(Route {
        host: Some("shop.example".into()),
        path,
        port,
        strip_prefix: false,
        https: spec::RouteHttps::default(),
        rules: spec::RouteRules::default(),
    });
}

pub(crate) fn need(service: &mut Service, on: &str, condition: Condition) {
    let dependency = Dependency { condition, restart: false, required: true };
    service.depends_on.insert(name(on), dependency);
}

pub(crate) fn app(services: impl IntoIterator<Item = (&'static str, Service)>) -> App {
    App {
        name: AppName::new("shop").expect("a name"),
        services: services.into_iter().map(|(key, service)| (name(key), service)).collect(),
        networks: Default::default(),
        volumes: Default::default(),
        secrets: Default::default(),
        configs: Default::default(),
    }
}

/// A draft whose images are what their names say.
pub(crate) fn draft(app: App) -> Draft {
    let facts = |image: &str| ImageFacts { digest: format!("sha256:{image}"), ..ImageFacts::default() };
    let images: BTreeMap<_, _> =
        app.services.iter().map(|(name, service)| (name.clone(), facts(&service.image))).collect();
    Draft { app, images, cause: Cause::Deploy, message: None, force: false }
}

/// A ledger after these apps were deployed, each settled but the last.
pub(crate) fn ledger(apps: impl IntoIterator<Item = App>) -> Ledger {
    let mut ledger = Ledger::new(AppName::new("shop").expect("a name"));
    for (at, app) in apps.into_iter().enumerate() {
        let now = Timestamp::from_secs(100 * at as i64);
        if let Some(number) = ledger.target().map(|release| release.number) {
            ledger.settle(number, Default::default(), now);
        }
        ledger.deploy(draft(app), now).expect("a deploy");
    }
    ledger
}

/// Instances from text, as in `web-1 r1 ready, web-2 r2 exited:1`: `r1` is the revision of release 1.
pub(crate) fn seen(ledger: &Ledger, text: &str) -> Vec<Seen> {
    let parts = text.split(", ").filter(|part| !part.is_empty());
    parts.enumerate().map(|(at, part)| one(ledger, at, part)).collect()
}

fn one(ledger: &Ledger, at: usize, text: &str) -> Seen {
    let mut words = text.split(' ');
    let mut word = || words.next().expect("three words");
    let (service, number) = word().split_once('-').expect("a name and a number");
    let release = word().trim_start_matches('r').parse().expect("a release");
    let made =
        ledger.releases.get(&base::ReleaseNumber(release)).and_then(|it| it.made.get(service_of(service)));
    let revision = made.map_or_else(|| Revision::new("f0").expect("digits"), |made| made.revision.clone());
    let state = word();
    let sick = state == "sick";
    let state = match state.split_once(':').unwrap_or((state, "0")) {
        ("created", _) => State::Created,
        ("starting", _) => State::Starting,
        ("ready", _) => State::Ready,
        ("unhealthy", _) => State::Unhealthy,
        ("spared", _) => State::Spared,
        ("stopping", _) => State::Stopping,
        ("stopped" | "sick", _) => State::Exited { code: 143, asked: true },
        ("exited", code) => State::Exited { code: code.parse().expect("a code"), asked: false },
        (other, _) => panic!("no state {other}"),
    };
    Seen {
        id: ContainerId::new(format!("{:064x}", at + 1)).expect("an id"),
        service: name(service),
        revision,
        number: number.parse().expect("a number"),
        state,
        age: Duration::from_secs(3),
        up: Duration::from_secs(4),
        ready_after: matches!(state, State::Ready).then_some(Duration::from_secs(1)),
        error: None,
        sick,
        restarts: 0,
        address: Some([10, 0, 0, at as u8 + 1].into()),
        volumes: Vec::new(),
        served: Vec::new(),
    }
}

fn service_of(text: &str) -> &ServiceName {
    // Keys are looked up by the type that the map has.
    Box::leak(Box::new(name(text)))
}

/// A sight long after the last deploy began.
pub(crate) fn sight<'a>(instances: &'a [Seen], memory: &'a Memory) -> Sight<'a> {
    let traffic = None;
    Sight { instances, traffic, memory, now: Instant::from_secs(1000), wall: Timestamp::from_secs(1000) }
}
