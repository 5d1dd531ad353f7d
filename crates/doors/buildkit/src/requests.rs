//! What can be asked of a Dockerfile instead of building it: its targets, its parameters, whether it has flaws.
//!
//! The answers are JSON documents that clients print, and the same as text for those that cannot read them.

use std::collections::{BTreeMap, HashMap};

use build::check;
use build::dockerfile::{ArgItem, Command, Dockerfile, MountFlag, Span};
use data_encoding::BASE64;
use serde::Serialize;
use serde_json::{Value, json};

use crate::grpc::Status;
use crate::proto::errors::Source;
use crate::work::Work;

pub(crate) const DESCRIBE: &str = "frontend.subrequests.describe";
pub(crate) const LINT: &str = "frontend.lint";
const OUTLINE: &str = "frontend.outline";
const TARGETS: &str = "frontend.targets";
const VERSION: &str = "1.0.0";

/// The name of an answer's part, and its bytes.
type Answer = HashMap<String, Vec<u8>>;

/// Whether there is an answer to this.
pub(crate) fn is_known(name: &str) -> bool {
    [DESCRIBE, LINT, OUTLINE, TARGETS].contains(&name)
}

/// The answer to what was asked of this Dockerfile.
pub(crate) fn answer(work: &Work) -> Result<Answer, Status> {
    let request = work.options().request.as_deref().unwrap_or_default();
    match request {
        DESCRIBE => Ok(describe()),
        TARGETS => targets(work),
        OUTLINE => outline(work),
        LINT => Ok(lint(work)),
        other => Err(Status::failed(format!("unsupported request {other}"))),
    }
}

/// What can be asked.
pub(crate) fn describe() -> Answer {
    let all = [
        (OUTLINE, "List all parameters current build target supports"),
        (TARGETS, "List all targets current build supports"),
        (LINT, "Lint a Dockerfile"),
        (DESCRIBE, "List available subrequest types"),
    ];
    let list: Vec<Value> = all
        .iter()
        .map(|(name, description)| {
            json!({
                "name": name, "version": VERSION, "type": "rpc", "description": description, "opts": [],
                "metadata": [{"name": "result.json"}, {"name": "result.txt"}],
            })
        })
        .collect();
    let rows = all.iter().map(|(name, what)| {
        vec![name.trim_start_matches("frontend.").to_owned(), VERSION.to_owned(), (*what).to_owned()]
    });
    document(&list, table(&["NAME", "VERSION", "DESCRIPTION"], rows))
}

fn document(json: &impl Serialize, text: String) -> Answer {
    let json = serde_json::to_vec_pretty(json).unwrap_or_default();
    let parts = [("result.json", json), ("result.txt", text.into_bytes()), ("version", VERSION.into())];
    parts.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut all = vec![head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
    all.extend(rows);
    let width = |column: usize| all.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("   ").trim_end())
    };
    all.iter().map(line).collect()
}

fn place(span: Span) -> Value {
    json!({"ranges": [{"start": {"line": span.start}, "end": {"line": span.end}}]})
}

/// The comment above a line that speaks of a name, as in `# name: what it is`.
fn comment(text: &str, line: u32, name: &str) -> String {
    let above = (line as usize).checked_sub(2).and_then(|index| text.lines().nth(index)).unwrap_or_default();
    let said = above.trim().strip_prefix('#').map(str::trim_start).and_then(|rest| rest.split_once(' '));
    match said {
        Some((word, rest)) if !name.is_empty() && word.eq_ignore_ascii_case(name) => rest.trim().to_owned(),
        _ => String::new(),
    }
}

fn targets(work: &Work) -> Result<Answer, Status> {
    let source = work.source();
    let text = String::from_utf8_lossy(&source.data).into_owned();
    let stages: Vec<_> =
        work.file().instructions.iter().filter(|one| matches!(one.command, Command::From { .. })).collect();
    let mut list = Vec::new();
    let mut rows = Vec::new();
    for (number, one) in stages.iter().enumerate() {
        let Command::From { image, name, platform } = &one.command else { continue };
        let name = name.clone().unwrap_or_default();
        let is_default = number + 1 == stages.len();
        let description = comment(&text, one.span.start, &name);
        let shown = match (name.as_str(), is_default) {
            ("", true) => "(default)".to_owned(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_owned(),
        };
        rows.push(vec![shown, description.clone()]);
        list.push(json!({
            "name": name, "default": is_default, "description": description, "base": image,
            "platform": platform.clone().unwrap_or_default(), "location": place(one.span),
        }));
    }
    let json = json!({"targets": list, "sources": [BASE64.encode(&source.data)]});
    Ok(document(&json, table(&["TARGET", "DESCRIPTION"], rows.into_iter())))
}

fn outline(work: &Work) -> Result<Answer, Status> {
    let source = work.source();
    let text = String::from_utf8_lossy(&source.data).into_owned();
    let target = work.options().target.as_deref();
    let own = stage(work.file(), target).ok_or_else(|| {
        Status::failed(format!("target stage {:?} could not be found", target.unwrap_or_default()))
    })?;
    let mut takes = Takes::default();
    for index in own.indexes {
        let one = &work.file().instructions[index];
        match &one.command {
            Command::Arg(items) => takes.args(items, one.span, &text, &work.options().args),
            Command::Run(run) => run.mounts.iter().for_each(|mount| takes.mount(mount, one.span)),
            _ => {}
        }
    }
    let rows = takes.args.iter().map(|arg| {
        ["name", "value", "description"].map(|key| arg[key].as_str().unwrap_or_default().to_owned()).to_vec()
    });
    let shown = table(&["BUILD ARG", "VALUE", "DESCRIPTION"], rows);
    let json = json!({
        "name": own.name, "description": comment(&text, own.span.start, &own.name), "args": takes.args,
        "secrets": takes.secrets, "ssh": takes.agents, "cache": takes.caches.values().collect::<Vec<_>>(),
        "sources": [BASE64.encode(&source.data)],
    });
    Ok(document(&json, shown))
}

/// What a stage takes from whoever builds it.
#[derive(Default)]
struct Takes {
    args: Vec<Value>,
    secrets: Vec<Value>,
    agents: Vec<Value>,
    caches: BTreeMap<String, Value>,
}

impl Takes {
    fn args(&mut self, items: &[ArgItem], span: Span, text: &str, given: &BTreeMap<String, String>) {
        self.args.extend(items.iter().map(|item| {
            let value = given.get(&item.name).or(item.default.as_ref()).cloned().unwrap_or_default();
            let description = comment(text, span.start, &item.name);
            json!({"name": item.name, "description": description, "value": value, "location": place(span)})
        }));
    }

    fn mount(&mut self, mount: &MountFlag, span: Span) {
        let field = |name: &str| mount.fields.iter().find(|field| field.name == name);
        let value = |name: &str| field(name).and_then(|field| field.value.clone());
        let required = field("required").is_some_and(|field| field.value.as_deref() != Some("false"));
        let named = |name: String| json!({"name": name, "required": required, "location": place(span)});
        let target = value("target");
        match value("type").as_deref() {
            Some("secret") => {
                let base = target.and_then(|path| path.rsplit('/').next().map(str::to_owned));
                self.secrets.push(named(value("id").or(base).unwrap_or_default()));
            }
            Some("ssh") => self.agents.push(named(value("id").unwrap_or_else(|| "default".into()))),
            Some("cache") => {
                let id = value("id").or(target).unwrap_or_default();
                self.caches.entry(id.clone()).or_insert_with(|| json!({"ID": id, "location": place(span)}));
            }
            _ => {}
        }
    }
}

/// A stage with all that it is built on in the same file.
struct Own {
    name: String,
    span: Span,
    indexes: Vec<usize>,
}

fn stage(file: &Dockerfile, target: Option<&str>) -> Option<Own> {
    let mut stages: Vec<(String, String, Span, Vec<usize>)> = Vec::new();
    let mut global = Vec::new();
    for (index, one) in file.instructions.iter().enumerate() {
        match (&one.command, stages.last_mut()) {
            (Command::From { image, name, .. }, _) => {
                stages.push((name.clone().unwrap_or_default(), image.to_lowercase(), one.span, Vec::new()));
            }
            (_, Some(stage)) => stage.3.push(index),
            (_, None) => global.push(index),
        }
    }
    let wanted = match target {
        None => stages.len().checked_sub(1)?,
        Some(name) => {
            let named = stages.iter().rposition(|stage| stage.0 == name.to_lowercase());
            named.or_else(|| name.parse().ok().filter(|number| *number < stages.len()))?
        }
    };
    let (mut indexes, mut here) = (global, Some(wanted));
    let mut chain = Vec::new();
    while let Some(number) = here {
        chain.push(number);
        here = stages[..number].iter().rposition(|stage| !stage.0.is_empty() && stage.0 == stages[number].1);
    }
    indexes.extend(chain.iter().rev().flat_map(|number| stages[*number].3.clone()));
    let (name, _, span, _) = stages[wanted].clone();
    Some(Own { name, span, indexes })
}

fn lint(work: &Work) -> Answer {
    let source = work.source();
    let warnings: Vec<Value> = work
        .findings()
        .iter()
        .map(|finding| {
            let mut place = place(Span::line(finding.line));
            place["sourceIndex"] = json!(0);
            let (description, url) =
                (check::description(finding.rule), crate::progress::rule_url(finding.rule));
            json!({
                "ruleName": finding.rule, "description": description, "url": url, "detail": finding.message,
                "location": place,
            })
        })
        .collect();
    let text = work.findings().iter().map(|finding| format!("WARNING: {finding}\n")).collect();
    checked(&warnings, &source.filename, &BASE64.encode(&source.data), None, text)
}

/// The answer about a Dockerfile that cannot be read at all; none if the failure is about something else.
pub(crate) fn broken(status: &Status) -> Option<Answer> {
    let detail = status.details.iter().find(|detail| detail.type_url.ends_with("errdefs.Source+json"))?;
    let source: Source = serde_json::from_slice(&detail.value).ok()?;
    let error = json!({"message": status.message, "location": {"sourceIndex": 0, "ranges": source.ranges}});
    Some(checked(&[], &source.info.filename, &source.info.data, Some(error), format!("{}\n", status.message)))
}

fn checked(warnings: &[Value], filename: &str, data: &str, error: Option<Value>, text: String) -> Answer {
    let flawed = !warnings.is_empty() || error.is_some();
    let mut json = json!({
        "warnings": warnings,
        "sources": [{"filename": filename, "language": "Dockerfile", "data": data}],
    });
    if let Some(error) = error {
        json["buildError"] = error;
    }
    let mut answer = document(&json, text);
    answer.insert("result.statuscode".to_owned(), if flawed { b"1".to_vec() } else { b"0".to_vec() });
    answer
}
