//! `GET /containers/{id}/logs`.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use base::ContainerId;
use runtime::logs::{Follower, Line, Query, Stream};

use super::attach::{Framing, Lane};
use crate::answer::{Pieces, Refusal};
use crate::params::Params;
use crate::version::ApiVersion;
use crate::{Docker, Shared};

/// So often we look for new lines.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
struct Form {
    framing: Framing,
    stdout: bool,
    stderr: bool,
    timestamps: bool,
}

pub(super) async fn logs(
    State(docker): Shared,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
) -> Result<Response, Refusal> {
    let id = docker.containers.find(&id)?;
    let record = docker.containers.inspect(&id)?.record;
    let form = Form {
        framing: Framing::of(record.service.tty, version),
        stdout: params.truth("stdout"),
        stderr: params.truth("stderr"),
        timestamps: params.truth("timestamps"),
    };
    if !form.stdout && !form.stderr {
        return Err(Refusal::invalid("Bad parameters: you must choose at least one stream"));
    }
    if !record.service.logging.keep {
        return Err(Refusal::unsupported("configured logging driver does not support reading"));
    }
    let now = docker.clock.wall();
    let some = |moment: Option<base::Timestamp>| moment.filter(|at| at.0 != 0);
    let wanted = Query {
        since: some(params.moment("since", now)?),
        until: some(params.moment("until", now)?),
        tail: match params.text("tail") {
            None | Some("all") => None,
            Some(text) => text.parse::<i64>().ok().and_then(|count| usize::try_from(count).ok()),
        },
    };
    let folder = docker.containers.log_folder(&id)?;
    let (pieces, response) = Pieces::begin(form.framing.content_type());
    let follower = Follower::new(&folder, wanted, LOOK_EVERY)
        .map_err(|error| Refusal::failed(format!("the log cannot be read: {error}")))?;
    if params.truth("follow") {
        tokio::spawn(follow(docker, id, follower, wanted, form, pieces));
    } else {
        tokio::task::spawn_blocking(move || read(follower, form, &pieces));
    }
    Ok(response)
}

fn read(mut follower: Follower, form: Form, pieces: &Pieces) {
    while let Ok(Some(line)) = follower.try_next() {
        if let Some(piece) = piece(&line, form)
            && !pieces.bytes_blocking(piece)
        {
            return;
        }
    }
}

async fn follow(
    docker: std::sync::Arc<Docker>,
    id: ContainerId,
    mut follower: Follower,
    wanted: Query,
    form: Form,
    pieces: Pieces,
) {
    loop {
        // Asked before the files are read, so that no line that was written before the end is missed.
        let over = match docker.containers.inspect(&id) {
            Ok(view) => !view.record.state.runs() && !view.record.restarts_soon(),
            Err(_) => true,
        } || wanted.until.is_some_and(|until| docker.clock.wall() >= until);
        loop {
            match follower.try_next() {
                Ok(Some(line)) => {
                    if let Some(piece) = piece(&line, form)
                        && !pieces.bytes(piece).await
                    {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        if over {
            return;
        }
        tokio::select! {
            () = pieces.closed() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// A line as it is sent; none when nobody wants its stream.
fn piece(line: &Line, form: Form) -> Option<bytes::Bytes> {
    let (lane, wanted) = match line.stream {
        Stream::Stdout => (Lane::Stdout, form.stdout),
        Stream::Stderr => (Lane::Stderr, form.stderr),
    };
    if !wanted {
        return None;
    }
    let mut text = Vec::with_capacity(line.text.len() + 40);
    if form.timestamps {
        text.extend_from_slice(line.time.to_string().as_bytes());
        text.push(b' ');
    }
    text.extend_from_slice(&line.text);
    if line.whole {
        text.push(b'\n');
    }
    Some(form.framing.framed(lane, &text))
}
