//! How long a preview and a plan of a file with a hundred services take: `cargo bench -p plan`.

use std::collections::BTreeMap;
use std::io::Write;

use base::{AppName, Clock, ContainerId, Instant, ServiceName, SystemClock, Timestamp};
use plan::ports::ImageFacts;
use plan::seen::{Seen, State};
use plan::{Cause, Draft, Ledger, Memory, Sight};
use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let mut ledger = Ledger::new(AppName::new("big").expect("a name"));
    ledger.deploy(draft("1"), Timestamp::from_secs(1)).expect("a deploy");
    let seen = instances(&ledger);
    let next = draft("2");
    time("preview of 100 services, all changed", || {
        let preview = plan::preview(&ledger, &next, &seen).expect("a preview");
        preview.services.len()
    })?;
    let memory = Memory::default();
    let (now, wall) = (Instant::from_secs(100), Timestamp::from_secs(100));
    let wanted = ledger.wanted().expect("a release");
    time("plan of 100 services, 300 instances", || {
        plan::plan(&wanted, &Sight { instances: &seen, traffic: None, memory: &memory, now, wall })
            .steps
            .len()
    })?;
    time("deploy of 100 services, all changed", || {
        ledger.clone().deploy(next.clone(), wall).expect("a deploy").1.releases.len()
    })
}

/// The median of many runs.
fn time(what: &str, mut run: impl FnMut() -> usize) -> std::io::Result<()> {
    const RUNS: usize = 101;
    let clock = SystemClock;
    let mut took: Vec<_> = (0..RUNS)
        .map(|_| {
            let begun = clock.now();
            std::hint::black_box(run());
            clock.now().since(begun)
        })
        .collect();
    took.sort_unstable();
    writeln!(std::io::stdout(), "{what}: {:?} (slowest {:?})", took[RUNS / 2], took[RUNS - 1])
}

fn draft(tag: &str) -> Draft {
    let zero = json!({"secs": 0, "nanos": 0});
    let policy = json!({"parallelism": 1, "delay": zero, "failure_action": "rollback", "monitor": zero,
        "max_failure_ratio": 0.0, "order": "start_first"});
    let environment: BTreeMap<_, _> =
        (0..20).map(|at| (format!("KEY_{at}"), format!("value {at} {tag}"))).collect();
    let service = |at: usize| {
        let needs: BTreeMap<_, _> = (at.saturating_sub(3)..at)
            .map(|on| (format!("s{on}"), json!({"condition": "healthy", "required": true})))
            .collect();
        let route = json!({"host": format!("s{at}.example"), "path": "/", "port": 80});
        json!({"image": format!("image{at}:{tag}"), "stop_grace_period": zero, "replicas": 3, "update": policy,
            "rollback": policy, "environment": environment, "depends_on": needs, "routes": [route]})
    };
    let services: serde_json::Map<String, Value> =
        (0..100).map(|at| (format!("s{at}"), service(at))).collect();
    let app: spec::App =
        serde_json::from_value(json!({"name": "big", "services": services})).expect("an app");
    let facts = ImageFacts { digest: format!("sha256:{tag}"), ..ImageFacts::default() };
    let images = app.services.keys().map(|name| (name.clone(), facts.clone())).collect();
    Draft { app, images, cause: Cause::Deploy, message: None, force: false }
}

fn instances(ledger: &Ledger) -> Vec<Seen> {
    let release = ledger.target().expect("a release");
    let each = |(at, service): (usize, &ServiceName)| Seen {
        id: ContainerId::new(format!("{at:064x}")).expect("an id"),
        service: service.clone(),
        revision: release.made[service].revision.clone(),
        number: at as u32 % 3 + 1,
        state: State::Ready,
        age: std::time::Duration::from_secs(60),
        up: std::time::Duration::from_secs(61),
        ready_after: Some(std::time::Duration::from_secs(1)),
        error: None,
        sick: false,
        restarts: 0,
        address: Some([10, 0, (at / 250) as u8, (at % 250) as u8].into()),
        volumes: Vec::new(),
        served: Vec::new(),
    };
    release.app.services.keys().flat_map(|name| [name; 3]).enumerate().map(each).collect()
}
