//! `POST /containers/{id}/exec` and `/exec/…`: programs beside a container's own.

use axum::Json;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base::{ContainerId, Problem};
use containers::{ContainerError, ExecOrder, ExecState, Started};
use serde::Deserialize;
use serde_json::{Value, json};

use super::attach::{Client, EndsInput, Framing, Hijack, Lane, Reader, Writer};
use super::{archive, attach, life};
use crate::Shared;
use crate::answer::{Answer, Refusal};
use crate::params::{Document, MaybeDocument, Params};
use crate::version::ApiVersion;

/// A program as a client orders it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ExecConfig {
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    console_size: Option<(u16, u16)>,
    detach_keys: String,
    tty: bool,
    env: Vec<String>,
    cmd: Vec<String>,
    privileged: bool,
    user: String,
    working_dir: String,
}

/// `POST /containers/{id}/exec`.
pub(super) async fn create(
    State(docker): Shared,
    Path(id): Path<String>,
    Document(config): Document<ExecConfig>,
) -> Result<Response, Refusal> {
    if config.cmd.is_empty() {
        return Err(Refusal::invalid("No exec command specified"));
    }
    let id = docker.containers.find(&id)?;
    runs(&docker.containers, &id)?;
    if !config.user.is_empty() {
        let known = docker.containers.knows_user(&id, &config.user).await;
        known.map_err(|error| archive::refusal(error, id.as_str()))?;
    }
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let keys = some(config.detach_keys);
    attach::Keys::parse(keys.as_deref())?;
    let order = ExecOrder {
        args: config.cmd,
        env: config.env,
        cwd: some(config.working_dir),
        user: some(config.user),
        tty: config.tty.then(|| config.console_size.unwrap_or((24, 80))),
        stdin: config.attach_stdin,
        privileged: config.privileged,
        attach: (config.attach_stdout, config.attach_stderr),
        detach_keys: keys,
    };
    let exec = match docker.containers.exec_create(&id, order) {
        Err(ContainerError::NotRunning(_)) => {
            return Err(Refusal::conflict(format!("container {id} is not running")));
        }
        exec => exec?,
    };
    Ok((StatusCode::CREATED, Json(json!({ "Id": exec }))).into_response())
}

/// Refuses a container in which nothing can be run now.
fn runs(containers: &containers::Containers, id: &ContainerId) -> Result<(), Refusal> {
    match containers.inspect(id)?.record.state {
        containers::State::Running { paused: true, .. } => {
            Err(Refusal::conflict(format!("Container {id} is paused, unpause the container before exec")))
        }
        state if !state.runs() => Err(Refusal::conflict(format!("container {id} is not running"))),
        _ => Ok(()),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct StartConfig {
    detach: bool,
    tty: bool,
    console_size: Option<(u16, u16)>,
}

/// `POST /exec/{id}/start`.
pub(super) async fn start(
    State(docker): Shared,
    Path(exec): Path<String>,
    version: ApiVersion,
    request: Request,
) -> Result<Response, Refusal> {
    let (config, request) = start_config(request).await?;
    let view = docker.containers.exec_inspect(&exec).map_err(no_exec)?;
    let order = view.order;
    runs(&docker.containers, &view.container)?;
    if config.console_size.is_some() && !config.tty {
        return Err(Refusal::invalid("console size is only supported when TTY is enabled"));
    }
    let size = config.console_size.filter(|_| version >= ApiVersion(1, 42));
    if config.detach {
        // It runs on without anybody who listens.
        docker.containers.exec_start(&exec, size).await.map_err(|error| not_started(&exec, error))?;
        return Ok(StatusCode::OK.into_response());
    }
    // The answer goes first and the program starts then: a client that reads the head of an answer into a buffer and
    // the stream past it, as docker-py does, would lose what came with the head.
    let (hijack, response) = Hijack::take(request, Framing::of(config.tty, version));
    tokio::spawn(async move {
        let Some((reader, mut writer)) = hijack.open().await else { return };
        match docker.containers.exec_start(&exec, size).await {
            Ok(started) => carry((reader, writer), started, order).await,
            Err(error) => {
                // The client is told on the stream that it expects, as docker does.
                let text = format!("{}\r\n", not_started(&exec, error).message);
                writer.send(Lane::Stdout, text.as_bytes()).await;
                writer.end().await;
            }
        }
    });
    Ok(response)
}

fn not_started(exec: &str, error: ContainerError) -> Refusal {
    match error {
        error @ ContainerError::Failed { .. } if error.kind() == base::Kind::Conflict => {
            Refusal::conflict(format!("Error: Exec command {exec} is already running"))
        }
        error => no_exec(error),
    }
}

async fn carry(streams: (Reader, Writer), started: Started, order: ExecOrder) {
    let keys = attach::Keys::parse(order.detach_keys.as_deref()).ok().flatten();
    let (stdout, stderr) = order.attach;
    let client = Client {
        stdout,
        stderr,
        stdin: order.stdin.then_some(EndsInput(true)),
        keys: keys.filter(|_| order.tty.is_some()),
    };
    attach::carry(streams, started.output, started.input, client).await;
}

/// The document of a start. Where the client upgrades, its body ends; elsewhere what follows it is input.
async fn start_config(request: Request) -> Result<(StartConfig, Request), Refusal> {
    let (parts, body) = request.into_parts();
    let mut copy = Request::new(body);
    *copy.headers_mut() = parts.headers.clone();
    let MaybeDocument(document) = MaybeDocument::from_request(copy, &()).await?;
    let config = document.unwrap_or_default();
    Ok((config, Request::from_parts(parts, axum::body::Body::empty())))
}

fn no_exec(error: ContainerError) -> Refusal {
    match error {
        ContainerError::NoExec(id) => Refusal::missing(format!("No such exec instance: {id}")),
        other => other.into(),
    }
}

/// `POST /exec/{id}/resize`.
pub(super) async fn resize(
    State(docker): Shared,
    Path(exec): Path<String>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let size = life::size(&params)?;
    docker.containers.exec_resize(&exec, size.rows, size.columns).await.map_err(no_exec)?;
    Ok(StatusCode::OK)
}

/// `GET /exec/{id}/json`.
pub(super) async fn inspect(State(docker): Shared, Path(exec): Path<String>) -> Answer<Value> {
    let view = docker.containers.exec_inspect(&exec).map_err(no_exec)?;
    let order = view.order;
    let (running, code, pid) = match view.state {
        ExecState::Created | ExecState::Starting => (false, None, 0),
        ExecState::Running { pid } => (true, None, pid),
        ExecState::Ended { code, pid } => (false, Some(code), pid),
    };
    let mut process = json!({
        "tty": order.tty.is_some(),
        "entrypoint": order.args.first(),
        "arguments": order.args.iter().skip(1).collect::<Vec<_>>(),
        "privileged": order.privileged,
    });
    if let Some(user) = &order.user {
        process["user"] = json!(user);
    }
    Ok(Json(json!({
        "ID": view.id,
        "Running": running,
        "ExitCode": code,
        "ProcessConfig": process,
        "OpenStdin": order.stdin,
        "OpenStderr": order.attach.1,
        "OpenStdout": order.attach.0,
        "CanRemove": false,
        "ContainerID": view.container,
        "DetachKeys": order.detach_keys.unwrap_or_default(),
        "Pid": pid,
    })))
}
