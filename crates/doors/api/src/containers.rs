//! `/v1/containers` and `/v1/run`.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use base::{AppName, ContainerId, ContainerName, Kind, Report, ServiceName};
use containers::{By, Create, Filter, Removal, Until};
use serde::Deserialize;
use talk::{ContainerView, Created, Exited, KillOrder, RemoveOrder, RunOrder, StatsView, StopOrder};

use crate::answer::{Answer, Refusal, ok};
use crate::{Daemon, Shared, streams, views};

pub(crate) fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/containers", get(list).post(run_detached))
        .route("/containers/{id}", get(inspect))
        .route("/containers/{id}/start", post(start))
        .route("/containers/{id}/stop", post(stop))
        .route("/containers/{id}/restart", post(restart))
        .route("/containers/{id}/kill", post(kill))
        .route("/containers/{id}/pause", post(pause))
        .route("/containers/{id}/unpause", post(unpause))
        .route("/containers/{id}/remove", post(remove))
        .route("/containers/{id}/wait", post(wait))
        .route("/containers/{id}/stats", get(stats))
        .route("/containers/{id}/exec", post(exec))
        .route("/run", post(run))
}

/// The query of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListQuery {
    all: bool,
    app: Option<String>,
    services: String,
}

/// `GET /v1/containers`.
async fn list(State(daemon): Shared, Query(query): Query<ListQuery>) -> Answer<Vec<ContainerView>> {
    let filter = Filter {
        all: query.all,
        app: query.app.map(AppName::new).transpose()?,
        services: names(&query.services)?,
    };
    ok(daemon.containers.list(&filter).iter().map(|view| daemon.view(view)).collect())
}

/// `GET /v1/containers/{id}`.
async fn inspect(State(daemon): Shared, Path(id): Path<String>) -> Answer<ContainerView> {
    let id = daemon.containers.find(&id)?;
    ok(daemon.view(&daemon.containers.inspect(&id)?))
}

/// `POST /v1/containers/{id}/start`.
async fn start(State(daemon): Shared, Path(id): Path<String>) -> Answer<()> {
    let id = daemon.containers.find(&id)?;
    ok(daemon.containers.start(&id).await?)
}

/// `POST /v1/containers/{id}/stop`: answers when it has ended.
async fn stop(State(daemon): Shared, Path(id): Path<String>, Json(order): Json<StopOrder>) -> Answer<()> {
    let id = daemon.containers.find(&id)?;
    ok(daemon.containers.stop(&id, order.grace, By::Hand).await?)
}

/// `POST /v1/containers/{id}/restart`.
async fn restart(State(daemon): Shared, Path(id): Path<String>, Json(order): Json<StopOrder>) -> Answer<()> {
    let id = daemon.containers.find(&id)?;
    ok(daemon.containers.restart(&id, order.grace).await?)
}

/// `POST /v1/containers/{id}/kill`.
async fn kill(State(daemon): Shared, Path(id): Path<String>, Json(order): Json<KillOrder>) -> Answer<()> {
    let id = daemon.containers.find(&id)?;
    ok(daemon.containers.kill(&id, &order.signal).await?)
}

/// `POST /v1/containers/{id}/pause`.
async fn pause(State(daemon): Shared, Path(id): Path<String>) -> Answer<()> {
    let id = daemon.containers.find(&id)?;
    match daemon.containers.pause(&id, true).await? {
        true => ok(()),
        false => Err(Refusal(Report::new(Kind::Conflict, "the container is paused already"))),
    }
}

/// `POST /v1/containers/{id}/unpause`.
async fn unpause(State(daemon): Shared, Path(id): Path<String>) -> Answer<()> {
    let id = daemon.containers.find(&id)?;
    match daemon.containers.pause(&id, false).await? {
        true => ok(()),
        false => Err(Refusal(Report::new(Kind::Conflict, "the container is not paused"))),
    }
}

/// `POST /v1/containers/{id}/remove`.
async fn remove(State(daemon): Shared, Path(id): Path<String>, Json(order): Json<RemoveOrder>) -> Answer<()> {
    let id = daemon.containers.find(&id)?;
    let removal = Removal { force: order.force, volumes: order.volumes };
    ok(daemon.containers.remove(&id, removal).await?)
}

/// `POST /v1/containers/{id}/wait`: answers when it has ended.
async fn wait(State(daemon): Shared, Path(id): Path<String>) -> Answer<Exited> {
    let id = daemon.containers.find(&id)?;
    let view = daemon.containers.wait(&id).await?;
    match view.record.state {
        containers::State::Exited { code, oom, error, .. } => ok(Exited { code, oom, error }),
        containers::State::Created | containers::State::Running { .. } => {
            Err(Refusal(Report::new(Kind::Conflict, format!("`{}` has not run", view.record.name))))
        }
    }
}

/// `GET /v1/containers/{id}/stats`.
async fn stats(State(daemon): Shared, Path(id): Path<String>) -> Answer<StatsView> {
    let id = daemon.containers.find(&id)?;
    let name = daemon.containers.inspect(&id)?.record.name.to_string();
    let stats = daemon.containers.stats(&id).await?;
    ok(StatsView {
        name,
        cpu: std::time::Duration::from_nanos(stats.cpu_ns),
        memory: base::Bytes(stats.memory.saturating_sub(stats.memory_inactive_file)),
        memory_limit: stats.memory_limit.map(base::Bytes),
        pids: stats.pids,
    })
}

/// `POST /v1/containers/{id}/exec`: leaves HTTP for a stream of frames.
async fn exec(State(daemon): Shared, Path(id): Path<String>, request: Request) -> Result<Response, Refusal> {
    let (upgrade, order) = streams::accept::<talk::ExecOrder>(request).await?;
    let id = daemon.containers.find(&id)?;
    let attached = daemon.containers.exec(&id, exec_order(order)).await;
    Ok(streams::answer(upgrade, async move |stream| match attached {
        Ok(attached) => streams::carry(stream, attached).await,
        Err(error) => streams::fail(stream, &error).await,
    }))
}

/// `POST /v1/containers`: makes and starts one; answers when it runs.
async fn run_detached(State(daemon): Shared, Json(order): Json<RunOrder>) -> Answer<Created> {
    let id = daemon.containers.create(create(order)?).await?;
    if let Err(error) = daemon.containers.start(&id).await {
        // What never ran is of no use to anybody.
        let _ = daemon.containers.remove(&id, Removal { force: true, volumes: true }).await;
        return Err(error.into());
    }
    let name =
        daemon.containers.inspect(&id).map_or_else(|_| String::new(), |view| view.record.name.to_string());
    ok(Created { id: id.to_string(), name })
}

/// `POST /v1/run`: makes and starts one with its input and output attached, as a stream of frames.
async fn run(State(daemon): Shared, request: Request) -> Result<Response, Refusal> {
    let (upgrade, order) = streams::accept::<RunOrder>(request).await?;
    let remove = order.remove;
    let size = order.size;
    let id = daemon.containers.create(create(order)?).await?;
    // From here on, since it may end and be started again before anybody looks.
    let ended = daemon.containers.wait_until(&id, Until::NextExit)?;
    let attached = daemon.containers.start_attached(&id, size).await;
    Ok(streams::answer(upgrade, async move |stream| {
        let (writer, ending) = match attached {
            Ok(attached) => {
                let said = streams::carry_output(stream, attached).await;
                // Who is told of the end finds it when looking.
                ended.await;
                said
            }
            Err(error) => (tokio::io::split(stream).1, streams::Ending::of(&error)),
        };
        if remove {
            daemon.finish_removal(&id).await;
        }
        streams::end(writer, ending).await;
    }))
}

impl Daemon {
    /// Waits until a container that goes when it ends has gone, so that its name is free again.
    async fn finish_removal(&self, id: &ContainerId) {
        // One that ended goes by itself; this waits for both, or does it when the daemon had to give up.
        let _ = self.containers.wait(id).await;
        let _ = self.containers.remove(id, Removal { force: true, volumes: true }).await;
    }

    pub(crate) fn view(&self, view: &containers::View) -> ContainerView {
        views::container(view, self.containers.command(&view.record))
    }
}

fn exec_order(order: talk::ExecOrder) -> containers::ExecOrder {
    containers::ExecOrder {
        args: order.args,
        env: order.env,
        cwd: order.cwd,
        user: order.user,
        tty: order.tty,
        stdin: order.stdin,
        privileged: order.privileged,
        ..containers::ExecOrder::default()
    }
}

fn create(order: RunOrder) -> Result<Create, Refusal> {
    let service = order
        .app
        .services
        .values()
        .next()
        .cloned()
        .ok_or_else(|| Refusal(Report::new(Kind::Invalid, "the order names no service to run")))?;
    Ok(Create {
        name: order.name.map(ContainerName::new).transpose()?,
        service,
        app: Arc::new(order.app),
        image: None,
        owner: None,
        auto_remove: order.remove,
        asked: serde_json::Value::Null,
    })
}

/// Names with commas between.
pub(crate) fn names(text: &str) -> Result<Vec<ServiceName>, Refusal> {
    let names = text.split(',').filter(|name| !name.is_empty()).map(ServiceName::new);
    Ok(names.collect::<Result<_, _>>()?)
}
