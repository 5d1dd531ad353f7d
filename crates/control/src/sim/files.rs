//! Random apps, as people might write them, with images that work or fail.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{AppName, Rng, ServiceName};
use plan::ports::ImageFacts;
use plan::{Cause, Draft};
use serde_json::json;
use spec::{
    App, Condition, Dependency, FailureAction, HealthCheck, Mount, MountKind, Order, PathPrefix, Probe,
    ReleaseSplit, Restart, Route, Service,
};

/// How instances of an image behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Good,
    /// Ends soon after its start.
    Crashes,
    /// Its health check never passes.
    NeverReady,
    /// Becomes ready, and ends soon after.
    DiesLate,
    /// A job that ends with an error.
    FailsJob,
    /// Cannot even be started.
    CannotStart,
}

impl Nature {
    /// By the image's digest, so that a rollback finds it again.
    pub(super) fn of(image: &str) -> Self {
        match image.split('-').next() {
            Some("crashes") => Self::Crashes,
            Some("neverready") => Self::NeverReady,
            Some("dieslate") => Self::DiesLate,
            Some("failsjob") => Self::FailsJob,
            Some("cannotstart") => Self::CannotStart,
            _ => Self::Good,
        }
    }
}

pub(super) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("a name")
}

pub(super) fn app_name() -> AppName {
    AppName::new("shop").expect("a name")
}

fn base() -> Service {
    let zero = json!({"secs": 0, "nanos": 0});
    let policy = json!({"parallelism": 1, "delay": zero, "failure_action": "rollback",
        "monitor": {"secs": 5, "nanos": 0}, "max_failure_ratio": 0.0, "order": "start_first"});
    serde_json::from_value(json!({"image": "x", "stop_grace_period": {"secs": 10, "nanos": 0}, "replicas": 1,
        "update": policy, "rollback": policy}))
    .expect("a service")
}

/// Draws app after app.
pub(super) struct Author {
    base: Service,
    version: u32,
}

impl Author {
    pub(super) fn new() -> Self {
        Self { base: base(), version: 0 }
    }

    /// An app; with `calm` all its images work.
    pub(super) fn draft(&mut self, rng: &mut Rng, calm: bool) -> Draft {
        let mut app = App {
            name: app_name(),
            services: Default::default(),
            networks: Default::default(),
            volumes: Default::default(),
            secrets: Default::default(),
            configs: Default::default(),
        };
        let volume = serde_json::from_value(json!({"name": "shop_data"})).expect("a volume");
        app.volumes.insert("data".into(), volume);
        let mut images = BTreeMap::new();
        let database = if rng.chance(0.85) { "db" } else { "db2" };
        let has_job = rng.chance(0.5);
        self.database(rng, &mut app, database);
        if has_job {
            self.job(&mut app, database);
        }
        self.web(rng, &mut app, database, has_job);
        if rng.chance(0.5) {
            self.worker(rng, &mut app);
        }
        for service in app.services.keys() {
            let nature = if calm || rng.chance(0.85) { "good" } else { bad(rng, service) };
            // Most services keep their image from one version to the next.
            if rng.chance(0.5) {
                self.version += 1;
            }
            let digest = format!(
                "{nature}-{}",
                if service.as_str() == "web" { self.version } else { self.version / 3 }
            );
            images.insert(service.clone(), ImageFacts { digest, ..ImageFacts::default() });
        }
        Draft { app, images, cause: Cause::Deploy, message: None, force: false }
    }

    fn database(&self, rng: &mut Rng, app: &mut App, called: &str) {
        let mut service = self.base.clone();
        service.update.order = Order::StopFirst;
        service.rollback.order = Order::StopFirst;
        let kind = MountKind::Volume { key: "data".into(), nocopy: false, subpath: None };
        service.mounts.push(Mount { target: "/data".into(), kind, read_only: false });
        service.healthcheck = Some(check());
        if rng.chance(0.3) {
            service.routes.push(route("db.example", 5432));
        }
        app.services.insert(name(called), service);
    }

    fn job(&self, app: &mut App, database: &str) {
        let mut service = self.base.clone();
        service.restart = Restart::No;
        need(&mut service, database, Condition::Healthy, false);
        app.services.insert(name("migrate"), service);
    }

    fn web(&self, rng: &mut Rng, app: &mut App, database: &str, has_job: bool) {
        let mut service = self.base.clone();
        service.replicas = 1 + rng.below(3) as u32;
        service.update.parallelism = rng.below(3) as u32;
        service.update.delay = Duration::from_secs(rng.below(3));
        service.healthcheck = rng.chance(0.7).then(check);
        service.update.failure_action = *rng
            .pick(&[
                FailureAction::Rollback,
                FailureAction::Rollback,
                FailureAction::Rollback,
                FailureAction::Pause,
            ])
            .expect("some");
        service.routes.push(route("shop.example", 8080 + rng.below(2) as u16));
        if rng.chance(0.4) {
            // What cannot stand beside the release that runs is refused.
            let of_10_000 = *rng.pick(&[0, 1000, 6000, 10_000]).expect("some");
            let replicas = rng.chance(0.5).then(|| 1 + rng.below(2) as u32);
            let (matches, sticky) = (Vec::new(), spec::Sticky::No);
            service.edge.release = Some(ReleaseSplit { of_10_000, replicas, matches, sticky });
        }
        if has_job {
            need(&mut service, "migrate", Condition::CompletedSuccessfully, false);
        } else {
            need(&mut service, database, Condition::Healthy, rng.chance(0.2));
        }
        app.services.insert(name("web"), service);
    }

    fn worker(&self, rng: &mut Rng, app: &mut App) {
        let mut service = self.base.clone();
        service.replicas = rng.below(3) as u32;
        need(&mut service, "web", Condition::Started, rng.chance(0.5));
        app.services.insert(name("worker"), service);
    }
}

fn bad(rng: &mut Rng, service: &ServiceName) -> &'static str {
    let natures: &[&str] = match service.as_str() {
        "migrate" => &["failsjob"],
        _ => &["crashes", "neverready", "dieslate", "cannotstart"],
    };
    rng.pick(natures).expect("some")
}

fn need(service: &mut Service, on: &str, condition: Condition, restart: bool) {
    service.depends_on.insert(name(on), Dependency { condition, restart, required: true });
}

fn route(host: &str, port: u16) -> Route {
    Route {
        host: Some(host.into()),
        path: PathPrefix::root(),
        port,
        strip_prefix: false,
        https: spec::RouteHttps::default(),
        rules: spec::RouteRules::default(),
    }
}

fn check() -> HealthCheck {
    HealthCheck {
        probe: Probe::Tcp { port: 1 },
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        retries: 3,
        start_period: Duration::from_secs(2),
        start_interval: Duration::from_millis(100),
    }
}
