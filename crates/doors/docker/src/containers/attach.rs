//! `POST /containers/{id}/attach`, and the stream that a connection becomes.

mod hijack;
mod keys;

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use containers::Ahead;
use runtime::logs::{Follower, Query, Stream};
use runtime::{Attached, Event, Input};
use tokio::sync::mpsc;

pub(super) use hijack::{Framing, Hijack, Lane, Reader, Writer};
use hijack::{detached, feed};
pub(super) use keys::Keys;

use super::life;
use super::logs::LOOK_EVERY;
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
    let listener = docker.containers.listener(&id)?;
    let ahead = if wants.stream { Some(docker.containers.attach_ahead(&id).await?) } else { None };
    let folder = docker.containers.log_folder(&id)?;
    let keys = if record.service.tty { keys } else { None };
    let (hijack, response) = Hijack::take(request, framing);
    let stdin = wants.stdin.then_some(EndsInput(ends_input));
    let client = Client { stdout: wants.stdout, stderr: wants.stderr, stdin, keys };
    tokio::spawn(async move {
        let _listener = listener;
        let Some((reader, mut writer)) = hijack.open().await else { return };
        if wants.logs && !replay(&folder, wants, &mut writer).await {
            return;
        }
        let Attached { output, input, .. } = match ahead {
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
        carry((reader, writer), output, Arc::new(tokio::sync::Mutex::new(input)), client).await;
    });
    Ok(response)
}

/// Sends what the log has; false when nobody reads any more.
async fn replay(folder: &FilePath, wants: Wants, writer: &mut Writer) -> bool {
    // A log that cannot be read is no reason not to attach.
    let Ok(mut lines) = Follower::new(folder, Query::default(), LOOK_EVERY) else { return true };
    while let Ok(Some(line)) = lines.try_next() {
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
pub(super) struct Client {
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    /// Whether it feeds the program, and whether the end of its input is the end of the program's.
    pub(super) stdin: Option<EndsInput>,
    pub(super) keys: Option<Keys>,
}

/// Whether the end of a client's input is the end of the program's.
pub(super) struct EndsInput(pub(super) bool);

/// What a program writes, one event after another; none once it has ended.
pub(super) trait Said: Send + 'static {
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

impl Said for runtime::Output {
    async fn next(&mut self) -> Option<Event> {
        Self::next(self).await.ok()
    }
}

impl Said for mpsc::Receiver<Event> {
    async fn next(&mut self) -> Option<Event> {
        self.recv().await
    }
}

/// Carries a program both ways until it ends or the client leaves.
pub(super) async fn carry(
    (reader, mut writer): (Reader, Writer),
    mut output: impl Said,
    input: Arc<tokio::sync::Mutex<Input>>,
    client: Client,
) {
    let Client { stdout, stderr, stdin, keys } = client;
    let mut feeding = stdin.map(|EndsInput(ends)| tokio::spawn(feed(reader, input, ends, keys)));
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
            Some(Event::Stdout(bytes)) if stdout => writer.send(Lane::Stdout, &bytes).await,
            Some(Event::Stderr(bytes)) if stderr => writer.send(Lane::Stderr, &bytes).await,
            Some(Event::Stdout(_) | Event::Stderr(_)) => true,
            Some(Event::Exited(_)) | None => break,
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
