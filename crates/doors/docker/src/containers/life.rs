//! Start, stop, restart, kill, remove.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use base::{ContainerId, ContainerName};
use containers::{By, ConnectError, ContainerError, Removal};
use runtime::order::Size;

use crate::answer::Refusal;
use crate::params::Params;
use crate::{Docker, Shared};

/// A container, and the name that messages give it.
fn named(docker: &Docker, id: &str) -> Result<(ContainerId, ContainerName), Refusal> {
    let id = docker.containers.find(id)?;
    let name = docker.containers.inspect(&id)?.record.name;
    Ok((id, name))
}

/// `POST /containers/{id}/start`.
pub(super) async fn start(State(docker): Shared, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let id = docker.containers.find(&id)?;
    if docker.containers.inspect(&id)?.record.state.runs() {
        return Ok(StatusCode::NOT_MODIFIED);
    }
    joins(&docker, &id)?;
    docker.containers.start(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses a start while one whose namespace is to be shared does not run.
fn joins(docker: &Docker, id: &ContainerId) -> Result<(), Refusal> {
    let service = docker.containers.inspect(id)?.record.service;
    for (what, namespace) in [("PID", &service.pid), ("IPC", &service.ipc)] {
        let spec::Namespace::Container(other) = namespace else { continue };
        let failed = |why: String| Refusal::failed(format!("failed to join {what} namespace: {why}"));
        let other = docker.containers.find(other).map_err(|error| failed(Refusal::from(error).message))?;
        if !docker.containers.inspect(&other)?.record.state.runs() {
            return Err(failed(format!("container {other} is not running")));
        }
    }
    Ok(())
}

/// Seconds from the signal to the kill; a negative number means for ever.
fn grace(params: &Params) -> Result<Option<Duration>, Refusal> {
    const EVER: Duration = Duration::from_secs(365 * 24 * 3600);
    Ok(params.number("t")?.map(|seconds| u64::try_from(seconds).map_or(EVER, Duration::from_secs)))
}

/// `POST /containers/{id}/stop`: answers when it has ended.
pub(super) async fn stop(
    State(docker): Shared,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let id = docker.containers.find(&id)?;
    let record = docker.containers.inspect(&id)?.record;
    if !record.state.runs() && !record.restarts_soon() {
        return Ok(StatusCode::NOT_MODIFIED);
    }
    docker.containers.stop_with(&id, grace(&params)?, By::Hand, params.text("signal")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /containers/{id}/restart`.
pub(super) async fn restart(
    State(docker): Shared,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let id = docker.containers.find(&id)?;
    docker.containers.restart_with(&id, grace(&params)?, params.text("signal")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /containers/{id}/kill`.
pub(super) async fn kill(
    State(docker): Shared,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let (id, name) = named(&docker, &id)?;
    let signal = params.text("signal").unwrap_or("KILL");
    match docker.containers.kill(&id, signal).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(ContainerError::NotRunning(_)) => {
            Err(Refusal::conflict(format!("cannot kill container: {name}: container {id} is not running")))
        }
        Err(ContainerError::Invalid(_)) => Err(Refusal::invalid(format!("invalid signal: {signal}"))),
        Err(error) => Err(error.into()),
    }
}

/// `DELETE /containers/{id}`.
pub(super) async fn remove(
    State(docker): Shared,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    if params.truth("link") {
        return unlink(&docker, &id).await;
    }
    let (id, name) = named(&docker, &id)?;
    let record = docker.containers.inspect(&id)?.record;
    if record.restarts_soon() && !params.truth("force") {
        return Err(runs(&name, "restarting: stop the container before removing or force remove"));
    }
    let removal = Removal { force: params.truth("force"), volumes: params.truth("v") };
    match docker.containers.remove(&id, removal).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(ContainerError::Running(_)) => {
            let paused = matches!(record.state, containers::State::Running { paused: true, .. });
            Err(runs(
                &name,
                if paused {
                    "paused and must be unpaused first"
                } else {
                    "running: stop the container before removing or force remove"
                },
            ))
        }
        Err(error) => Err(error.into()),
    }
}

fn runs(name: &ContainerName, how: &str) -> Refusal {
    Refusal::conflict(format!("cannot remove container \"{name}\": container is {how}"))
}

/// `DELETE /containers/{parent}/{alias}`.
pub(super) async fn remove_link(
    State(docker): Shared,
    Path((parent, alias)): Path<(String, String)>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let link = format!("{parent}/{alias}");
    if params.truth("link") {
        unlink(&docker, &link).await
    } else {
        Err(Refusal::missing(format!("No such container: {link}")))
    }
}

/// `?link=1`: takes the name that one container has for another away, as in `web/db`.
async fn unlink(docker: &Docker, link: &str) -> Result<StatusCode, Refusal> {
    let path = link.trim_start_matches('/');
    let Some((parent, alias)) = path.split_once('/') else {
        return Err(Refusal::failed("Conflict, cannot remove the default link name of the container"));
    };
    let no_parent = |_| Refusal::failed(format!("Cannot get parent /{parent} for link name /{path}"));
    let id = docker.containers.find(parent).map_err(no_parent)?;
    docker.containers.unlink(&id, alias).await.map_err(|error| match error {
        ConnectError::NotOn { .. } => Refusal::missing(format!("No such container: /{path}")),
        other => Refusal::of(&other),
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// The size of a terminal's window.
pub(super) fn size(params: &Params) -> Result<Size, Refusal> {
    let of = |name: &str, what: &str| -> Result<u16, Refusal> {
        let text = params.get(name).unwrap_or_default();
        let wrong = |why| Refusal::invalid(format!("invalid resize {what} \"{text}\": {why}"));
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong("invalid syntax"));
        }
        let number: u32 = text.parse().map_err(|_| wrong("value out of range"))?;
        // The kernel has no larger windows.
        Ok(u16::try_from(number).unwrap_or(u16::MAX))
    };
    Ok(Size { rows: of("h", "height")?, columns: of("w", "width")? })
}
