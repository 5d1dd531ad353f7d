//! `GET /events`: the journal in docker's words, from the past and as it goes on.

mod filter;
mod words;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::get;
use base::Timestamp;
use store::JournalQuery;

use crate::answer::{Pieces, Refusal};
use crate::params::Params;
use crate::version::ApiVersion;
use crate::{Docker, Shared};
use filter::Filter;
pub(crate) use words::{DockerEvent, words};

/// So many lines are read at once.
const BATCH: u32 = 500;
/// No sleep is longer; then the clock is asked again.
const LONGEST: Duration = Duration::from_secs(3600);

pub(crate) fn routes() -> Router<Arc<Docker>> {
    Router::new().route("/events", get(events))
}

/// How documents follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    content_type: &'static str,
    /// Each document begins with a record separator.
    separated: bool,
}

/// What the client asks for, else what its version is used to.
fn form(headers: &HeaderMap, version: ApiVersion) -> Form {
    const LINES: Form = Form { content_type: "application/jsonl", separated: false };
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    for kind in accepted.split(',').map(|one| one.split(';').next().unwrap_or_default().trim()) {
        match kind {
            "application/jsonl" => return LINES,
            "application/x-ndjson" => return Form { content_type: "application/x-ndjson", separated: false },
            "application/json-seq" => return Form { content_type: "application/json-seq", separated: true },
            _ => {}
        }
    }
    if version < ApiVersion(1, 52) { Form { content_type: "application/json", ..LINES } } else { LINES }
}

/// `GET /events`.
async fn events(
    State(docker): Shared,
    version: ApiVersion,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let now = docker.clock.wall();
    let moment = |name: &str| {
        params.moment(name, now).map_err(|_| {
            Refusal::invalid(format!(
                "invalid value for '{name}': strconv.ParseInt: parsing \"{}\": invalid syntax",
                params.get(name).unwrap_or_default()
            ))
        })
    };
    let (since, until) = (moment("since")?, moment("until")?);
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(Refusal::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            params.get("since").unwrap_or_default(),
            params.get("until").unwrap_or_default()
        )));
    }
    let filter = Filter::of(&params.filters()?);
    let form = form(&headers, version);
    let (pieces, response) = Pieces::begin(form.content_type);
    let mut changed = docker.store.watch();
    changed.mark_unchanged();
    let head = *changed.borrow();
    let teller = Teller { docker, pieces, filter, version, form, until };
    tokio::spawn(async move {
        let from = match (since, until) {
            // Nobody asks for the past.
            (None, None) => head,
            (since, _) => match teller.tell(0, since).await {
                Some(last) => last,
                None => return,
            },
        };
        teller.follow(from, changed).await;
    });
    Ok(response)
}

/// Tells one client.
struct Teller {
    docker: Arc<Docker>,
    pieces: Pieces,
    filter: Filter,
    version: ApiVersion,
    form: Form,
    until: Option<Timestamp>,
}

impl Teller {
    /// Tells what was written after a line; answers with the last that was read, or nothing when there is no more to
    /// tell.
    async fn tell(&self, after: u64, since: Option<Timestamp>) -> Option<u64> {
        let mut last = after;
        loop {
            let query = JournalQuery { app: None, after: last, since, limit: BATCH, last: false };
            let lines = match self.docker.store.journal(&query) {
                Ok(lines) => lines,
                Err(problem) => {
                    self.pieces.break_off(problem.to_string());
                    return None;
                }
            };
            if lines.is_empty() {
                return Some(last);
            }
            for line in lines {
                last = line.number;
                if self.until.is_some_and(|until| line.at > until) {
                    return None;
                }
                for event in words(&line).into_iter().filter(|event| self.is_meant(event)) {
                    if !self.send(&event).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Clients of before do not know that images are made.
    fn is_meant(&self, event: &DockerEvent) -> bool {
        let unknown = self.version < ApiVersion(1, 46) && event.kind == "image" && event.action == "create";
        !unknown && self.filter.takes(event)
    }

    async fn send(&self, event: &DockerEvent) -> bool {
        let document = event.document(self.version);
        if !self.form.separated {
            return self.pieces.send(&document).await;
        }
        let mut text = b"\x1e".to_vec();
        text.extend_from_slice(document.to_string().as_bytes());
        text.push(b'\n');
        self.pieces.bytes(text).await
    }

    /// Tells what comes, until the time is over or nobody reads any more.
    async fn follow(&self, from: u64, mut changed: tokio::sync::watch::Receiver<u64>) {
        let mut last = from;
        loop {
            let now = self.docker.clock.wall();
            let left = self.until.map(|until| if until > now { until.since(now) } else { Duration::ZERO });
            // What came until now is told before the end.
            match self.tell(last, None).await {
                Some(read) => last = read,
                None => return,
            }
            if left == Some(Duration::ZERO) {
                return;
            }
            tokio::select! {
                word = changed.changed() => if word.is_err() { return },
                () = self.pieces.closed() => return,
                () = tokio::time::sleep(left.unwrap_or(LONGEST).min(LONGEST)) => {}
            }
        }
    }
}
