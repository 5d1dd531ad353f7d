//! `GET /v1/logs`: the lines of one or more containers, and more as they come.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Response;
use base::{AppName, ContainerId, ServiceName, Timestamp};
use containers::Filter;
use runtime::logs::{Follower, Line, Stream};
use talk::{LogLine, LogQuery};

use crate::answer::{Lines, Refusal};
use crate::containers::names;
use crate::{Daemon, Shared, apps};

/// How often files are looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often new instances of an app are looked for.
const NEW_EVERY: Duration = Duration::from_millis(500);

/// Which containers.
enum Chosen {
    These(Vec<ContainerId>),
    Of(AppName, Vec<ServiceName>),
}

impl Chosen {
    fn now(&self, daemon: &Daemon) -> Vec<ContainerId> {
        match self {
            Self::These(ids) => ids.clone(),
            Self::Of(app, services) => {
                let filter = Filter { all: true, app: Some(app.clone()), services: services.clone() };
                daemon.containers.list(&filter).into_iter().map(|view| view.record.id).collect()
            }
        }
    }
}

/// `GET /v1/logs`.
pub(crate) async fn logs(State(daemon): Shared, Query(query): Query<LogQuery>) -> Result<Response, Refusal> {
    let chosen = match &query.app {
        Some(app) => {
            let app = AppName::new(app.clone())?;
            daemon.apps.picture(&app).ok_or_else(|| apps::missing(&app))?;
            Chosen::Of(app, names(&query.services)?)
        }
        None => {
            let listed = query.containers.split(',').filter(|name| !name.is_empty());
            Chosen::These(listed.map(|name| daemon.containers.find(name)).collect::<Result<_, _>>()?)
        }
    };
    let wanted = runtime::logs::Query {
        since: query.since.map(Timestamp),
        until: query.until.map(Timestamp),
        tail: query.tail.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX)),
    };
    let (lines, response) = Lines::begin();
    if query.follow {
        tokio::spawn(follow_all(daemon, chosen, wanted, lines));
    } else {
        tokio::task::spawn_blocking(move || read_all(&daemon, &chosen, &wanted, &lines));
    }
    Ok(response)
}

/// What is there now, by time.
fn read_all(daemon: &Daemon, chosen: &Chosen, wanted: &runtime::logs::Query, lines: &Lines) {
    let mut ids = chosen.now(daemon);
    if let [id] = &ids[..] {
        // A single log is handed on as it is read, however long it is.
        let Ok((name, folder)) = place(daemon, id) else { return };
        let _ = runtime::logs::read(&folder, wanted, |line| lines.send_blocking(&told(&name, line)));
        return;
    }
    ids.reverse();
    let mut followers: Vec<(String, Follower, Option<Line>)> = Vec::new();
    for id in &ids {
        if let Ok((name, folder)) = place(daemon, id)
            && let Ok(mut follower) = Follower::new(&folder, *wanted, LOOK_EVERY)
        {
            let first = follower.try_next().ok().flatten();
            followers.push((name, follower, first));
        }
    }
    loop {
        let heads = followers.iter_mut().filter(|(_, _, head)| head.is_some());
        let Some((name, follower, head)) =
            heads.min_by_key(|(_, _, head)| head.as_ref().map(|line| line.time))
        else {
            return;
        };
        let next = follower.try_next().ok().flatten();
        if let Some(line) = std::mem::replace(head, next)
            && !lines.send_blocking(&told(name, line))
        {
            return;
        }
    }
}

/// Follows each container in a task of its own, also those that are made later.
async fn follow_all(daemon: Arc<Daemon>, chosen: Chosen, wanted: runtime::logs::Query, lines: Lines) {
    let mut followed: HashSet<ContainerId> = HashSet::new();
    let mut tasks = tokio::task::JoinSet::new();
    let mut wanted = wanted;
    loop {
        for id in chosen.now(&daemon) {
            if followed.insert(id.clone())
                && let Ok((name, folder)) = place(&daemon, &id)
            {
                tasks.spawn(follow(daemon.clone(), id, name, folder, wanted, lines.clone()));
            }
        }
        // Of instances that come later everything is wanted.
        wanted.tail = None;
        let over = matches!(chosen, Chosen::These(_)) && tasks.is_empty();
        if over {
            return;
        }
        tokio::select! {
            () = lines.closed() => return,
            () = tokio::time::sleep(NEW_EVERY) => {}
        }
        while tasks.try_join_next().is_some() {}
    }
}

async fn follow(
    daemon: Arc<Daemon>,
    id: ContainerId,
    name: String,
    folder: PathBuf,
    wanted: runtime::logs::Query,
    lines: Lines,
) {
    let Ok(mut follower) = Follower::new(&folder, wanted, LOOK_EVERY) else { return };
    loop {
        // Asked before the files are read, so that no line that was written before the end is missed.
        let over = match daemon.containers.inspect(&id) {
            Ok(view) => !view.record.state.runs() && view.record.owner.is_none(),
            Err(_) => true,
        };
        loop {
            match follower.try_next() {
                Ok(Some(line)) => {
                    if !lines.send(&told(&name, line)).await {
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
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn place(daemon: &Daemon, id: &ContainerId) -> Result<(String, PathBuf), containers::ContainerError> {
    let view = daemon.containers.inspect(id)?;
    Ok((view.record.name.to_string(), daemon.containers.log_folder(id)?))
}

fn told(name: &str, line: Line) -> LogLine {
    LogLine {
        container: name.to_owned(),
        at: line.time,
        stderr: line.stream == Stream::Stderr,
        text: String::from_utf8_lossy(&line.text).into_owned(),
        whole: line.whole,
    }
}
