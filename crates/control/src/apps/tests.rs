//! Apps over a real store, with rooms that only remember.

use std::path::Path;
use std::time::Duration;

use base::{ContainerId, SystemClock};
use plan::ports::{BoxFuture, StartOrder};
use plan::seen::{Seen, State};
use plan::traffic::{RouteShare, TrafficSeen};
use serde_json::json;
use spec::PullPolicy;
use tokio::sync::Notify;

use super::*;

/// Rooms in which every instance is ready at once, unless its image is `bad`.
#[derive(Default)]
struct Memo {
    seen: Mutex<Vec<Seen>>,
    share: Mutex<RouteShare>,
    changed: Notify,
}

impl Memo {
    fn set(&self, id: &ContainerId, state: State) -> Result<(), Report> {
        let mut all = self.seen.lock().expect("no panic");
        all.iter_mut().filter(|seen| seen.id == *id).for_each(|seen| seen.state = state);
        self.changed.notify_one();
        Ok(())
    }

    fn states(&self) -> Vec<String> {
        let all = self.seen.lock().expect("no panic");
        let mut lines: Vec<_> = all.iter().map(|seen| format!("{}-{}", seen.service, seen.number)).collect();
        lines.sort();
        lines
    }
}

impl Driver for Memo {
    fn look<'a>(&'a self, _app: &'a AppName) -> BoxFuture<'a, Result<Vec<Seen>, Report>> {
        Box::pin(async { Ok(self.seen.lock().expect("no panic").clone()) })
    }

    fn prepare<'a>(&'a self, _app: &'a App) -> BoxFuture<'a, Result<(), Report>> {
        Box::pin(async { Ok(()) })
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<ContainerId, Report>> {
        let id = ContainerId::from_bytes(base::kernel_bytes());
        let bad = order.image == "bad";
        let state = if bad { State::Exited { code: 1, asked: false } } else { State::Ready };
        self.seen.lock().expect("no panic").push(Seen {
            id: id.clone(),
            service: order.service,
            revision: order.revision,
            number: order.number,
            state,
            age: Duration::ZERO,
            up: Duration::ZERO,
            ready_after: (!bad).then_some(Duration::ZERO),
            error: None,
            sick: false,
            restarts: 0,
            address: Some([10, 0, 0, 1].into()),
            volumes: Vec::new(),
            served: Vec::new(),
        });
        self.changed.notify_one();
        Box::pin(async { Ok(id) })
    }

    fn restart<'a>(&'a self, id: &'a ContainerId, _restarts: u32) -> BoxFuture<'a, Result<(), Report>> {
        Box::pin(async { self.set(id, State::Ready) })
    }

    fn stop<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<(), Report>> {
        Box::pin(async { self.set(id, State::Exited { code: 143, asked: true }) })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<(), Report>> {
        self.seen.lock().expect("no panic").retain(|seen| seen.id != *id);
        Box::pin(async { Ok(()) })
    }

    fn retire<'a>(&'a self, _app: &'a App, _volumes: bool) -> BoxFuture<'a, Result<(), Report>> {
        Box::pin(async { Ok(()) })
    }

    fn changed<'a>(&'a self, _app: &'a AppName) -> BoxFuture<'a, ()> {
        Box::pin(self.changed.notified())
    }
}

impl Traffic for Memo {
    fn apply<'a>(&'a self, _owner: &'a str, share: RouteShare) -> BoxFuture<'a, Result<(), Report>> {
        *self.share.lock().expect("no panic") = share;
        Box::pin(async { Ok(()) })
    }

    fn look(&self) -> BoxFuture<'_, Result<TrafficSeen, Report>> {
        let share = self.share.lock().expect("no panic").clone();
        let ends = share.pools.into_values().flat_map(|pool| pool.endpoints);
        let sending = ends.map(|end| end.instance).collect();
        Box::pin(async { Ok(TrafficSeen { sending, ..TrafficSeen::default() }) })
    }
}

impl Images for Memo {
    fn resolve<'a>(&'a self, name: &'a str, _: PullPolicy) -> BoxFuture<'a, Result<ImageFacts, Report>> {
        let digest = name.to_owned();
        Box::pin(async { Ok(ImageFacts { digest, ..ImageFacts::default() }) })
    }
}

fn shop(image: &str, replicas: u32) -> App {
    let zero = json!({"secs": 0, "nanos": 0});
    let policy = json!({"parallelism": 1, "delay": zero, "failure_action": "rollback", "monitor": zero,
        "max_failure_ratio": 0.0, "order": "start_first"});
    let route = json!({"host": "shop.example", "path": "/", "port": 80});
    let web = json!({"image": image, "stop_grace_period": zero, "replicas": replicas, "update": policy,
        "rollback": policy, "routes": [route]});
    serde_json::from_value(json!({"name": "shop", "services": {"web": web}})).expect("an app")
}

fn open(path: &Path, rooms: &Arc<Memo>) -> (Apps, Tasks) {
    let clock = SystemClock::shared();
    let store = Store::open(&path.join("sea.db"), clock.clone()).expect("a store");
    let tasks = Tasks::new();
    let apps = Apps::open(store, rooms.clone(), rooms.clone(), rooms.clone(), clock, tasks.clone());
    (apps.expect("no apps yet"), tasks)
}

fn options() -> DeployOptions {
    DeployOptions { cause: Cause::Deploy, message: None, force: false }
}

#[tokio::test]
async fn an_app_is_deployed_fails_goes_back_survives_the_daemon_and_leaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let rooms = Arc::new(Memo::default());
    let (apps, tasks) = open(folder.path(), &rooms);
    let name = AppName::new("shop").expect("a name");

    let first = apps.deploy(shop("good", 2), options()).await.expect("taken");
    assert_eq!(apps.wait(&name, first).await, Outcome::Done);
    assert_eq!(rooms.states(), ["web-1", "web-2"]);
    assert_eq!(rooms.share.lock().expect("no panic").pools["web:80"].endpoints.len(), 2);
    assert_eq!(apps.deploy(shop("good", 2), options()).await.expect("taken"), first, "nothing changed");

    let second = apps.deploy(shop("bad", 2), options()).await.expect("taken");
    assert_eq!(apps.wait(&name, second).await.code(), 3);
    assert_eq!(rooms.states(), ["web-1", "web-2"]);
    assert_eq!(apps.kept_images(), ["bad".to_owned(), "good".to_owned()].into());

    // Another daemon over the same records finds the app and goes on.
    tasks.shutdown().await;
    drop(apps);
    let (apps, tasks) = open(folder.path(), &rooms);
    assert_eq!(apps.names(), std::slice::from_ref(&name));
    let third =
        apps.scale(&name, [(ServiceName::new("web").expect("a name"), 3)].into()).await.expect("taken");
    assert_eq!(apps.wait(&name, third).await, Outcome::Done);
    assert_eq!(rooms.states(), ["web-1", "web-2", "web-3"]);
    assert!(apps.preview(shop("good", 3)).await.expect("a preview").is_empty());

    apps.down(&name, false).await.expect("taken");
    apps.wait_gone(&name).await;
    assert_eq!(rooms.states(), [""; 0]);
    assert!(apps.names().is_empty());
    let error = apps.scale(&name, BTreeMap::new()).await.expect_err("it is gone");
    assert_eq!(error.to_string(), "no app `shop` is here");
    tasks.shutdown().await;
}
