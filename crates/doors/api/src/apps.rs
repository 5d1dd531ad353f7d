//! `/v1/apps`.

mod follow;
mod ports;
mod status;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use base::{AppName, Kind, Report};
use control::DeployOptions;
use plan::preview::{Action, ServicePreview};
use plan::{Cause, Preview};
use talk::{
    AppSummary, Change, DeployOrder, DownOrder, PlanView, ReleaseView, RollbackOrder, ScaleOrder,
    ServiceChange, ServicesOrder, Status,
};

use crate::answer::{Answer, Refusal, ok};
use crate::{Daemon, Shared};

pub(crate) fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/apps", get(list))
        .route("/apps/{app}", get(inspect))
        .route("/apps/{app}/releases", get(releases))
        .route("/apps/{app}/plan", post(preview))
        .route("/apps/{app}/deploy", post(deploy))
        .route("/apps/{app}/scale", post(scale))
        .route("/apps/{app}/rollback", post(rollback))
        .route("/apps/{app}/restart", post(restart))
        .route("/apps/{app}/stop", post(stop))
        .route("/apps/{app}/start", post(start))
        .route("/apps/{app}/down", post(down))
}

/// The answer where an app is asked for that is not here.
pub(crate) fn missing(app: &AppName) -> Refusal {
    let report = Report::new(Kind::NotFound, format!("no app `{app}`"));
    Refusal(report.hint("`sea ls` lists those there are; `sea up` makes it from its compose file"))
}

/// `GET /v1/apps`.
async fn list(State(daemon): Shared) -> Answer<Vec<AppSummary>> {
    let traffic = daemon.traffic().await;
    let names = daemon.apps.names();
    let status = names.iter().filter_map(|name| daemon.status(name, &traffic));
    ok(status.map(|status| status.summary).collect())
}

/// `GET /v1/apps/{app}`.
async fn inspect(State(daemon): Shared, Path(app): Path<AppName>) -> Answer<Status> {
    let traffic = daemon.traffic().await;
    daemon.status(&app, &traffic).map(Json).ok_or_else(|| missing(&app))
}

/// `GET /v1/apps/{app}/releases`: the newest first.
async fn releases(State(daemon): Shared, Path(app): Path<AppName>) -> Answer<Vec<ReleaseView>> {
    let releases = daemon.apps.releases(&app).ok_or_else(|| missing(&app))?;
    ok(releases.iter().rev().map(|release| status::release(release)).collect())
}

/// `POST /v1/apps/{app}/plan`: what a deploy would do; nothing is done.
async fn preview(State(daemon): Shared, Json(order): Json<DeployOrder>) -> Answer<PlanView> {
    let order = with_ports(&daemon, order)?;
    let preview = daemon.apps.preview(order.app).await?;
    ok(plan_view(&preview))
}

/// `POST /v1/apps/{app}/deploy`: answers with lines until the release has ended.
async fn deploy(
    State(daemon): Shared,
    Path(app): Path<AppName>,
    Json(order): Json<DeployOrder>,
) -> Result<Response, Refusal> {
    if order.app.name != app {
        let what = format!("the order is for the app `{}`, not for `{app}`", order.app.name);
        return Err(Refusal(Report::new(Kind::Invalid, what)));
    }
    let order = with_ports(&daemon, order)?;
    crate::files::all_here(&daemon, &order.app)?;
    let options = DeployOptions { cause: Cause::Up, message: order.message, force: order.recreate };
    let number = daemon.apps.deploy(order.app, options).await?;
    Ok(follow::release(daemon, app, number, order.wait))
}

/// `POST /v1/apps/{app}/scale`.
async fn scale(
    State(daemon): Shared,
    Path(app): Path<AppName>,
    Json(order): Json<ScaleOrder>,
) -> Result<Response, Refusal> {
    let number = daemon.apps.scale(&app, order.replicas).await?;
    Ok(follow::release(daemon, app, number, None))
}

/// `POST /v1/apps/{app}/rollback`.
async fn rollback(
    State(daemon): Shared,
    Path(app): Path<AppName>,
    Json(order): Json<RollbackOrder>,
) -> Result<Response, Refusal> {
    let number = daemon.apps.rollback(&app, order.to).await?;
    Ok(follow::release(daemon, app, number, None))
}

/// `POST /v1/apps/{app}/restart`.
async fn restart(
    State(daemon): Shared,
    Path(app): Path<AppName>,
    Json(order): Json<ServicesOrder>,
) -> Result<Response, Refusal> {
    let number = daemon.apps.restart(&app, order.services).await?;
    Ok(follow::release(daemon, app, number, None))
}

/// `POST /v1/apps/{app}/stop`.
async fn stop(
    State(daemon): Shared,
    Path(app): Path<AppName>,
    Json(order): Json<ServicesOrder>,
) -> Result<Response, Refusal> {
    daemon.apps.stop(&app, order.services).await?;
    Ok(follow::rest(daemon, app))
}

/// `POST /v1/apps/{app}/start`.
async fn start(
    State(daemon): Shared,
    Path(app): Path<AppName>,
    Json(order): Json<ServicesOrder>,
) -> Result<Response, Refusal> {
    daemon.apps.start(&app, order.services).await?;
    Ok(follow::rest(daemon, app))
}

/// `POST /v1/apps/{app}/down`.
async fn down(
    State(daemon): Shared,
    Path(app): Path<AppName>,
    Json(order): Json<DownOrder>,
) -> Result<Response, Refusal> {
    daemon.apps.down(&app, order.volumes).await?;
    Ok(follow::gone(daemon, app))
}

/// The order with a port for each that the file leaves open.
fn with_ports(daemon: &Daemon, mut order: DeployOrder) -> Result<DeployOrder, Refusal> {
    let before = daemon.apps.picture(&order.app.name).and_then(|it| it.ledger.target().cloned());
    ports::fill(&mut order.app, before.as_ref().map(|release| &*release.app)).map_err(|error| {
        Refusal(Report::new(Kind::Exhausted, "no free port for a published port").because(error))
    })?;
    Ok(order)
}

fn plan_view(preview: &Preview) -> PlanView {
    PlanView {
        services: preview.services.iter().map(service_change).collect(),
        resources: preview.others.clone(),
        changes: !preview.is_empty(),
    }
}

fn service_change(service: &ServicePreview) -> ServiceChange {
    let change = match service.action {
        Action::Create => Change::Create,
        Action::Replace => Change::Replace,
        Action::Update => Change::Adjust,
        Action::Remove => Change::Remove,
        Action::Keep => Change::Keep,
    };
    let mut how = Vec::new();
    match change {
        Change::Create | Change::Replace if service.job => how.push("one-off job".to_owned()),
        Change::Create => how.push(format!("{} to start", service.replicas)),
        Change::Replace if service.stop_first => {
            how.push("the old one stops before the new one starts".into())
        }
        Change::Replace => how.push("the new one is ready before the old one leaves".into()),
        Change::Remove => how.push(format!("{} to stop", service.running)),
        Change::Adjust | Change::Keep => {}
    }
    if matches!(change, Change::Create | Change::Replace) && !service.after.is_empty() {
        let names: Vec<&str> = service.after.iter().map(base::ServiceName::as_str).collect();
        how.push(format!("after {}", names.join(", ")));
    }
    ServiceChange {
        service: service.service.to_string(),
        change,
        because: service.changes.clone(),
        how: how.join(", "),
    }
}
