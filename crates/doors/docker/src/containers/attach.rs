//! `POST /containers/{id}/attach`, and the stream that a connection becomes.

mod hijack;
mod keys;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use containers::Ahead;
use runtime::logs::{Query, Stream};
use runtime::{Attached, Event};

pub(super) use hijack::{Framing, Hijack, Lane, Reader, Writer, detached, feed};
pub(super) use keys::Keys;

use super::life;
use crate::Shared;
use crate::answer::Refusal;
use crate::params::Params;
use crate::version::ApiVersion;

/// Which of a program's streams a client wants.
#[derive(Debug, Clone, Copy)]
struct Wants {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    logs: bool,
    stream: bool,
}

/// `POST /containers/{id}/attach`.
pub(super) async fn attach(
    State(docker): Shared,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    let id = docker.containers.find(&id)?;
    let record = docker.containers.inspect(&id)?.record;
    let truth = |name: &str| params.truth(name);
    let wants = Wants {
        stdin: truth("stdin") && record.service.stdin_open,
        stdout: truth("stdout"),
        stderr: truth("stderr"),
        logs: truth("logs"),
        stream: truth("stream"),
    };
    let keys = Keys::parse(params.text("detachKeys"))?;
    if let containers::State::Running { paused: true, .. } = record.state {
        return Err(Refusal::conflict(format!(
            "container {id} is paused, unpause the container before attach"
        )));
    }
    let framing = Framing::of(record.service.tty, version);
    let asked = &record.asked["Config"];
    // Who leaves ends the input only where that was wanted, as with `docker run -i`.
    let ends_input = asked.is_null() || asked["StdinOnce"] == true;
    let ahead = if wants.stream { Some(docker.containers.attach_ahead(&id).await?) } else { None };
    let folder = docker.containers.log_folder(&id)?;
    let keys = if record.service.tty { keys } else { None };
    let (hijack, response) = Hijack::take(request, framing);
    let client = Client { wants, ends_input, keys };
    tokio::spawn(async move {
        let Some((reader, mut writer)) = hijack.open().await else { return };
        if wants.logs && !replay(folder, wants, &mut writer).await {
            return;
        }
        let attached = match ahead {
            Some(Ahead::Now(attached)) => *attached,
            Some(Ahead::Then(coming)) => {
                tokio::select! {
                    attached = coming => match attached {
                        Ok(attached) => attached,
                        Err(_) => return writer.end().await,
                    },
                    () = writer.closed() => return,
                }
            }
            None => return writer.end().await,
        };
        carry(attached, client, reader, writer).await;
    });
    Ok(response)
}

/// Sends what the log has; false when nobody reads any more.
async fn replay(folder: PathBuf, wants: Wants, writer: &mut Writer) -> bool {
    let lines = tokio::task::spawn_blocking(move || {
        let mut lines = Vec::new();
        let read = runtime::logs::read(&folder, &Query::default(), |line| {
            lines.push(line);
            true
        });
        read.map(|()| lines)
    });
    for line in lines.await.ok().and_then(Result::ok).unwrap_or_default() {
        let (lane, wanted) = match line.stream {
            Stream::Stdout => (Lane::Stdout, wants.stdout),
            Stream::Stderr => (Lane::Stderr, wants.stderr),
        };
        if wanted && !writer.send(lane, &line.written()).await {
            return false;
        }
    }
    true
}

/// What a client wants of a program, and how it leaves it.
struct Client {
    wants: Wants,
    ends_input: bool,
    keys: Option<Keys>,
}

/// Carries a program both ways until it ends or the client leaves.
async fn carry(attached: Attached, client: Client, reader: Reader, mut writer: Writer) {
    let Client { wants, ends_input, keys } = client;
    let Attached { mut output, input, .. } = attached;
    let input = Arc::new(tokio::sync::Mutex::new(input));
    let mut feeding = wants.stdin.then(|| tokio::spawn(feed(reader, input, ends_input, keys)));
    loop {
        let event = tokio::select! {
            event = output.next() => event,
            left = detached(&mut feeding) => {
                if left {
                    break;
                }
                feeding = None;
                continue;
            }
        };
        let sent = match event {
            Ok(Event::Stdout(bytes)) if wants.stdout => writer.send(Lane::Stdout, &bytes).await,
            Ok(Event::Stderr(bytes)) if wants.stderr => writer.send(Lane::Stderr, &bytes).await,
            Ok(Event::Stdout(_) | Event::Stderr(_)) => true,
            Ok(Event::Exited(_)) | Err(_) => break,
        };
        if !sent {
            break;
        }
    }
    if let Some(feeding) = feeding {
        feeding.abort();
    }
    writer.end().await;
}

/// `POST /containers/{id}/resize`.
pub(super) async fn resize(
    State(docker): Shared,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let id = docker.containers.find(&id)?;
    let size = life::size(&params)?;
    let record = docker.containers.inspect(&id)?.record;
    if record.state.runs() && !record.service.tty {
        // Without a terminal there is nothing to resize, which is no error in docker's eyes.
        return Ok(StatusCode::OK);
    }
    docker.containers.resize(&id, size.rows, size.columns).await?;
    Ok(StatusCode::OK)
}
