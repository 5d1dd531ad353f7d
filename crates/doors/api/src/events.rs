//! `GET /v1/events`: lines of the journal, and more as they come.

use axum::extract::{Query, State};
use axum::response::Response;
use base::{AppName, Timestamp};
use serde::Deserialize;
use store::{JournalQuery, Line};
use talk::Event;

use crate::Shared;
use crate::answer::{Lines, Refusal};

/// So many lines are read at once.
const BATCH: u32 = 500;

/// Which lines.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventsQuery {
    app: Option<String>,
    since: Option<i64>,
    follow: bool,
    tail: Option<u32>,
}

/// `GET /v1/events`.
pub(crate) async fn events(
    State(daemon): Shared,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Refusal> {
    let app = query.app.map(AppName::new).transpose()?;
    let first = JournalQuery {
        app: app.clone(),
        after: 0,
        since: query.since.map(Timestamp),
        limit: query.tail.unwrap_or(BATCH),
        last: true,
    };
    let mut changed = daemon.store.watch();
    changed.mark_unchanged();
    let mut last = *changed.borrow();
    let begun = daemon.store.journal(&first)?;
    let (lines, response) = Lines::begin();
    tokio::spawn(async move {
        for line in begun {
            last = last.max(line.number);
            if !lines.send(&event(line)).await {
                return;
            }
        }
        if !query.follow {
            return;
        }
        loop {
            tokio::select! {
                word = changed.changed() => if word.is_err() { return },
                () = lines.closed() => return,
            }
            loop {
                let next =
                    JournalQuery { app: app.clone(), after: last, since: None, limit: BATCH, last: false };
                let Ok(more) = daemon.store.journal(&next) else { return };
                if more.is_empty() {
                    break;
                }
                for line in more {
                    last = line.number;
                    if !lines.send(&event(line)).await {
                        return;
                    }
                }
            }
        }
    });
    Ok(response)
}

fn event(line: Line) -> Event {
    let Line { number, at, app, subject, event, message, detail } = line;
    Event { number, at, app, subject, event, message, detail }
}
