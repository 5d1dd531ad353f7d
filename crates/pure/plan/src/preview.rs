//! What a deploy would do, for `sea plan`: by service, with the keys that differ.

use std::fmt;

use base::{ReleaseNumber, ServiceName};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spec::{App, Order, Service};

use crate::beside::{self, Composed};
use crate::ledger::{Draft, Ledger, RequestError};
use crate::order;
use crate::release::{Made, Raw, make};
use crate::revision::{NOT_MADE_OF, as_made, value};
use crate::seen::{Seen, State};

/// What a deploy would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Against this release; none when there is none.
    pub against: Option<ReleaseNumber>,
    /// Each after all that it needs; services that leave come last.
    pub services: Vec<ServicePreview>,
    /// Volumes, networks, secrets and configs that come, leave or change.
    pub others: Vec<String>,
}

/// What would become of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePreview {
    /// The service.
    pub service: ServiceName,
    /// What happens to it.
    pub action: Action,
    /// The instances that run now.
    pub running: u32,
    /// The instances that shall run.
    pub replicas: u32,
    /// A job: runs once for the release.
    pub job: bool,
    /// Old instances stop before new ones start.
    pub stop_first: bool,
    /// The keys that differ, as in `image: a -> b`.
    pub changes: Vec<String>,
    /// What it waits for.
    pub after: Vec<ServiceName>,
}

/// What happens to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Create,
    /// Its instances are made anew.
    Replace,
    /// Its instances stay; how they are reached, counted or watched over changes.
    Update,
    /// It leaves.
    Remove,
    /// Nothing.
    Keep,
}

impl Preview {
    /// Whether a deploy would do nothing.
    pub fn is_empty(&self) -> bool {
        self.others.is_empty()
            && self.services.iter().all(|it| it.action == Action::Keep && it.running >= it.replicas)
    }
}

/// What a deploy of this draft would do.
pub fn preview(ledger: &Ledger, draft: &Draft, seen: &[Seen]) -> Result<Preview, RequestError> {
    let Composed { app, images } = ledger.composed(draft)?;
    let present = ledger.target();
    let jobs = order::jobs(&app);
    let all = make(&app, |name| {
        let then = present.and_then(|it| it.made.get(name));
        Raw {
            image: images.get(name).cloned().unwrap_or_default(),
            generation: then.map_or(0, |made| made.generation),
            // A job runs for every release; that alone is no change.
            run: then.and_then(|made| made.run).filter(|_| jobs.contains_key(name)),
        }
    })?;
    let running = |name: &ServiceName| {
        let alive = |one: &&Seen| match one.state {
            State::Starting | State::Ready | State::Spared | State::Unhealthy | State::Stopping => {
                one.service == *name
            }
            State::Created | State::Exited { .. } => false,
        };
        u32::try_from(seen.iter().filter(alive).count()).unwrap_or(u32::MAX)
    };
    let mut services = Vec::with_capacity(app.services.len());
    for (name, made) in &all {
        let Some(service) = app.services.get(name) else { continue };
        let then = present.and_then(|it| Some((it.app.services.get(name)?, it.made.get(name)?)));
        let (action, mut changes) = compare(then, (service, made));
        if then.is_none()
            && let Some(beside) = compared(&app, &all, name)
        {
            changes = beside;
        }
        services.push(ServicePreview {
            service: name.clone(),
            action,
            running: running(name),
            replicas: if jobs.contains_key(name) { 0 } else { service.replicas },
            job: jobs.contains_key(name),
            stop_first: service.update.order == Order::StopFirst,
            changes,
            after: order::needs(service).map(|need| need.on.clone()).collect(),
        });
    }
    let leaving = present
        .into_iter()
        .flat_map(|it| it.app.services.keys())
        .filter(|name| !app.services.contains_key(*name));
    services.extend(leaving.map(|name| ServicePreview {
        service: name.clone(),
        action: Action::Remove,
        running: running(name),
        replicas: 0,
        job: false,
        stop_first: false,
        changes: Vec::new(),
        after: Vec::new(),
    }));
    let others = others(present.map(|it| it.app.as_ref()), &app);
    Ok(Preview { against: present.map(|it| it.number), services, others })
}

/// What becomes of a service, and why.
fn compare(then: Option<(&Service, &Made)>, (service, made): (&Service, &Made)) -> (Action, Vec<String>) {
    let Some((old, old_made)) = then else {
        return (Action::Create, vec![format!("image: {}", service.image)]);
    };
    let mut changes = if old == service { Vec::new() } else { differences(&shown(old), &shown(service)) };
    let same_inside = !changes.iter().any(|line| seen_inside(line));
    if old_made.image != made.image && old.image == service.image {
        let (from, to) = (short(&old_made.image), short(&made.image));
        changes.push(format!("image {}: {from} -> {to}", service.image));
    }
    let action = match (old_made.revision == made.revision, changes.is_empty()) {
        (false, _) => Action::Replace,
        (true, false) => Action::Update,
        (true, true) => Action::Keep,
    };
    if action == Action::Replace && old_made.image == made.image && same_inside {
        changes.push("what it uses or follows changed".into());
    }
    (action, changes)
}

/// What a new release that stands beside the old one is, against that one.
fn compared(app: &App, made: &IndexMap<ServiceName, Made>, side: &ServiceName) -> Option<Vec<String>> {
    let (of, wish) = beside::original_of(app, side)?;
    let both = |name: &ServiceName| app.services.get(name).zip(made.get(name));
    let (_, mut changes) = compare(both(of), both(side)?);
    changes.retain(|line| seen_inside(line) || line.starts_with("image"));
    changes.insert(0, format!("gets {} % of the requests for `{of}`, beside what runs", wish.percent()));
    Some(changes)
}

/// Whether a service's instances see the key of this line.
fn seen_inside(line: &str) -> bool {
    let key = line.split(['.', ':']).next().unwrap_or_default();
    !NOT_MADE_OF.contains(&key)
}

/// A service as its file has it: a split between releases is what it says, and not what is made of that.
fn shown(service: &Service) -> Value {
    let mut document = value(as_made(service).as_ref());
    let Some(edge) = document.get_mut("edge").and_then(Value::as_object_mut) else { return document };
    let Some(wish) = &service.edge.release else { return document };
    let mut split = edge.remove("release");
    if let Some(split) = split.as_mut().and_then(Value::as_object_mut) {
        split.remove("of_10_000");
        split.insert("release".into(), format!("{} %", wish.percent()).into());
    }
    edge.insert("split".into(), split.unwrap_or_default());
    document
}

/// Networks, volumes, secrets and configs that differ.
fn others(then: Option<&App>, app: &App) -> Vec<String> {
    let part = |app: &App| {
        let secret = |files: &IndexMap<String, spec::FileSource>| {
            // The bytes themselves are nobody's business.
            let mut files = files.clone();
            for file in files.values_mut() {
                if let Some(content) = &mut file.content {
                    let sum = crate::revision::digest(&content.0);
                    content.0 = sum.into_bytes();
                }
            }
            value(files)
        };
        [
            ("networks", value(&app.networks)),
            ("volumes", value(&app.volumes)),
            ("secrets", secret(&app.secrets)),
            ("configs", secret(&app.configs)),
        ]
    };
    let now = part(app);
    let then = then.map(part);
    let mut lines = Vec::new();
    for (place, (what, now)) in now.iter().enumerate() {
        let empty = Value::Object(serde_json::Map::new());
        let old = then.as_ref().map_or(&empty, |then| &then[place].1);
        let (Value::Object(old), Value::Object(now)) = (old, now) else { continue };
        for (key, value) in now {
            match old.get(key) {
                None if key.contains('@') => {
                    lines.push(format!("{what}.{key}: stays as it is for what runs"))
                }
                None => lines.push(format!("{what}.{key}: new")),
                Some(old) if old != value => lines.push(format!("{what}.{key}: changed")),
                Some(_) => {}
            }
        }
        lines.extend(
            old.keys().filter(|key| !now.contains_key(*key)).map(|key| format!("{what}.{key}: leaves")),
        );
    }
    lines
}

/// The keys in which two documents differ, as in `environment.MODE: "a" -> "b"`.
pub fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk(&mut String::new(), old, new, &mut lines);
    lines
}

fn walk(path: &mut String, old: &Value, new: &Value, lines: &mut Vec<String>) {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        if old != new {
            lines.push(if is_secret(path) {
                format!("{path}: changed")
            } else {
                format!("{path}: {} -> {}", show(old), show(new))
            });
        }
        return;
    };
    let mut each = |key: &str, old: &Value, new: &Value| {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        walk(path, old, new, lines);
        path.truncate(length);
    };
    if before.len() == after.len() && before.keys().zip(after.keys()).all(|(one, other)| one == other) {
        // Documents of one type have their keys in one order, which spares us looking them up.
        before.iter().zip(after.values()).for_each(|((key, old), new)| each(key, old, new));
        return;
    }
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    for key in after.keys().chain(gone) {
        each(key, before.get(key).unwrap_or(&Value::Null), after.get(key).unwrap_or(&Value::Null));
    }
}

/// Whether a value under this key may be something that a log must not have.
fn is_secret(path: &str) -> bool {
    const WORDS: [&str; 6] = ["password", "passwd", "secret", "token", "credential", "key"];
    let variable = path.strip_prefix("environment.").map(str::to_lowercase);
    variable.is_some_and(|variable| WORDS.iter().any(|word| variable.contains(word)))
}

/// A value as people read it, not too long.
fn show(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The first digits of a digest.
fn short(digest: &str) -> &str {
    let digits = digest.rsplit(':').next().unwrap_or(digest);
    digits.get(..12).unwrap_or(digits)
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in &self.services {
            let (sign, verb) = match it.action {
                Action::Create => ('+', "create"),
                Action::Replace if it.stop_first => ('~', "replace, stop first"),
                Action::Replace => ('~', "replace"),
                Action::Update => ('~', "update"),
                Action::Remove => ('-', "remove"),
                Action::Keep => (' ', "keep"),
            };
            write!(f, "{sign} {}: {verb}", it.service)?;
            if it.job {
                write!(f, ", runs once")?;
            } else if it.running != it.replicas {
                write!(f, ", {} -> {}", it.running, it.replicas)?;
            }
            writeln!(f)?;
            for change in &it.changes {
                writeln!(f, "    {change}")?;
            }
        }
        self.others.iter().try_for_each(|line| writeln!(f, "~ {line}"))
    }
}

#[cfg(test)]
mod tests;
