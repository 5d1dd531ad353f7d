//! What a build tells, in the words of BuildKit's clients: vertices, their parts, their output.
//!
//! Pure: it is told the time. Steps that make no files are not shown, as BuildKit does not show them. Output of a step is
//! bounded: what is beyond the bound is left out, with a line that says so.

use std::collections::BTreeMap;

use base::Timestamp;
use build::check::Finding;
use build::{Progress, StepKind};
use oci::Digest;

use crate::layout::Layout;
use crate::proto::Moment;
use crate::proto::control::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use crate::proto::ops::{Range, SourceInfo};

/// The most output of one step, as BuildKit has it.
const LOG_BYTES: usize = 2 << 20;

/// So many findings are told; each carries the whole text along.
const FINDINGS: usize = 50;
/// The longest text that goes along with a finding.
const SHOWN_BYTES: usize = 64 << 10;
/// The most output of all steps together.
const ALL_BYTES: usize = 64 << 20;

/// Tells of one build.
#[derive(Debug)]
pub(crate) struct Narrator {
    reference: String,
    layout: Layout,
    source: SourceInfo,
    /// What the warnings of the Dockerfile are said with.
    definition: String,
    /// By the build's own number.
    steps: BTreeMap<usize, Step>,
    /// Steps that are not shown, with the digests of those behind them that are.
    hidden: BTreeMap<usize, Vec<String>>,
    /// Bytes of output of all steps.
    logged: usize,
}

#[derive(Debug, Clone)]
struct Step {
    vertex: Vertex,
    line: u32,
    logged: usize,
    /// What it moves, and since when.
    moved: BTreeMap<String, Timestamp>,
}

/// Something beside the steps of the Dockerfile, such as a transfer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chore {
    vertex: Vertex,
    began: Timestamp,
}

/// Where docker explains a rule: its name in small words.
pub(crate) fn rule_url(rule: &str) -> String {
    let mut words = String::new();
    let mut before = ' ';
    let mut letters = rule.chars().peekable();
    while let Some(letter) = letters.next() {
        let begins = letter.is_uppercase()
            && !words.is_empty()
            && (before.is_lowercase() || letters.peek().is_some_and(|next| next.is_lowercase()));
        if begins {
            words.push('-');
        }
        words.extend(letter.to_lowercase());
        before = letter;
    }
    format!("https://docs.docker.com/go/dockerfile/rule/{words}/")
}

/// The digest of a vertex: the same build says the same name for the same thing.
fn digest(reference: &str, name: &str) -> String {
    Digest::sha256(format!("{reference}\0{name}").as_bytes()).to_string()
}

impl Chore {
    /// Begins it.
    pub(crate) fn begin(reference: &str, name: impl Into<String>, now: Timestamp) -> Self {
        let name = name.into();
        let vertex =
            Vertex { digest: digest(reference, &name), name, started: Some(now.into()), ..Vertex::default() };
        Self { vertex, began: now }
    }

    /// Its digest.
    pub(crate) fn digest(&self) -> &str {
        &self.vertex.digest
    }

    /// It is under way.
    pub(crate) fn started(&self) -> StatusResponse {
        StatusResponse { vertexes: vec![self.vertex.clone()], ..StatusResponse::default() }
    }

    /// It is over.
    pub(crate) fn ended(&self, error: Option<&str>, now: Timestamp) -> StatusResponse {
        let vertex = Vertex {
            completed: Some(now.into()),
            error: error.unwrap_or_default().to_owned(),
            ..self.vertex.clone()
        };
        StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() }
    }

    /// A part of it is so far; `total` is 0 where nobody knows.
    pub(crate) fn part(
        &self,
        id: &str,
        current: u64,
        total: u64,
        done: bool,
        now: Timestamp,
    ) -> StatusResponse {
        let times = (self.began, now);
        let status = part(&self.vertex.digest, id.to_owned(), (current, total), done.then_some(now), times);
        StatusResponse { statuses: vec![status], ..StatusResponse::default() }
    }

    /// A line about it.
    pub(crate) fn line(&self, text: &str, now: Timestamp) -> StatusResponse {
        StatusResponse {
            logs: vec![log(&self.vertex.digest, 1, format!("{text}\n").into_bytes(), now)],
            ..StatusResponse::default()
        }
    }
}

fn part(
    vertex: &str,
    id: String,
    (current, total): (u64, u64),
    completed: Option<Timestamp>,
    (began, now): (Timestamp, Timestamp),
) -> VertexStatus {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    VertexStatus {
        id,
        vertex: vertex.to_owned(),
        current: number(current),
        total: number(total),
        timestamp: Some(now.into()),
        started: Some(began.into()),
        completed: completed.map(Into::into),
    }
}

fn log(vertex: &str, stream: i64, msg: Vec<u8>, now: Timestamp) -> VertexLog {
    VertexLog { vertex: vertex.to_owned(), timestamp: Some(now.into()), stream, msg }
}

impl Narrator {
    /// Tells of the build of this name and file. `definition` is the vertex with which the file was loaded.
    pub(crate) fn new(reference: &str, layout: Layout, source: SourceInfo, definition: &str) -> Self {
        Self {
            reference: reference.to_owned(),
            layout,
            source,
            definition: definition.to_owned(),
            steps: BTreeMap::new(),
            hidden: BTreeMap::new(),
            logged: 0,
        }
    }

    /// What in the Dockerfile is probably not meant.
    pub(crate) fn findings(&self, findings: &[Finding]) -> StatusResponse {
        let warning = |finding: &Finding| VertexWarning {
            url: rule_url(finding.rule),
            detail: vec![build::check::description(finding.rule).as_bytes().to_vec()],
            ..self.warning(finding.line, &finding.to_string())
        };
        StatusResponse {
            warnings: findings.iter().take(FINDINGS).map(warning).collect(),
            ..StatusResponse::default()
        }
    }

    /// The build told this.
    pub(crate) fn tell(&mut self, progress: Progress, now: Timestamp) -> StatusResponse {
        let mut status = StatusResponse::default();
        match progress {
            // Steps that never begin are not shown; why one failed is said at the end, with its lines.
            Progress::Planned(_) | Progress::Failed { .. } => {}
            Progress::Started(step) => status.vertexes.extend(self.started(&step, now)),
            Progress::Cached { step, .. } => {
                status.vertexes.extend(self.change(step, |vertex| {
                    vertex.cached = true;
                    vertex.completed = Some(now.into());
                }));
            }
            Progress::Finished { step, .. } => {
                status.vertexes.extend(self.change(step, |vertex| vertex.completed = Some(now.into())));
            }
            Progress::Output { step, stream, bytes } => {
                let stream = match stream {
                    build::Stream::Stdout => 1,
                    build::Stream::Stderr => 2,
                };
                status.logs.extend(self.output(step, stream, bytes, now));
            }
            Progress::Moved { step, what, bytes, of, done } => {
                status.statuses.extend(self.moved(step, what, (bytes, of), done, now));
            }
            Progress::Warning { line, message, .. } => status.warnings.push(self.warning(line, &message)),
        }
        status
    }

    fn started(&mut self, step: &build::Step, now: Timestamp) -> Option<Vertex> {
        let name = match step.kind {
            StepKind::From | StepKind::Files => {
                self.layout.step(step.line, &step.text).unwrap_or_else(|| step.title())
            }
            // Transfers and exports are told of by whoever does them; settings make no files.
            StepKind::Settings | StepKind::Context | StepKind::Export => {
                self.stand_in(step);
                return None;
            }
        };
        if step.kind == StepKind::From && !self.layout.is_image(step.line) {
            self.stand_in(step);
            return None;
        }
        let digest = digest(&self.reference, &format!("{}\0{name}", step.number));
        let vertex = Vertex {
            inputs: self.inputs(step),
            digest,
            name,
            started: Some(now.into()),
            ..Vertex::default()
        };
        self.steps.insert(
            step.number,
            Step { vertex: vertex.clone(), line: step.line, logged: 0, moved: BTreeMap::new() },
        );
        Some(vertex)
    }

    /// A step that is not shown: who uses it uses what it uses.
    fn stand_in(&mut self, step: &build::Step) {
        let inputs = self.inputs(step);
        self.hidden.insert(step.number, inputs);
    }

    fn inputs(&self, step: &build::Step) -> Vec<String> {
        let mut all = Vec::new();
        for input in &step.inputs {
            match (self.steps.get(input), self.hidden.get(input)) {
                (Some(shown), _) => all.push(shown.vertex.digest.clone()),
                (None, Some(behind)) => all.extend(behind.iter().cloned()),
                (None, None) => {}
            }
        }
        all.sort();
        all.dedup();
        all
    }

    fn moved(
        &mut self,
        number: usize,
        what: String,
        (bytes, of): (u64, Option<u64>),
        done: bool,
        now: Timestamp,
    ) -> Option<VertexStatus> {
        let step = self.steps.get_mut(&number)?;
        let began = *step.moved.entry(what.clone()).or_insert(now);
        Some(part(&step.vertex.digest, what, (bytes, of.unwrap_or(0)), done.then_some(now), (began, now)))
    }

    fn change(&mut self, number: usize, change: impl FnOnce(&mut Vertex)) -> Option<Vertex> {
        let step = self.steps.get_mut(&number)?;
        change(&mut step.vertex);
        Some(step.vertex.clone())
    }

    fn output(
        &mut self,
        number: usize,
        stream: i64,
        mut bytes: Vec<u8>,
        now: Timestamp,
    ) -> Option<VertexLog> {
        let step = self.steps.get_mut(&number)?;
        if step.logged >= LOG_BYTES || self.logged >= ALL_BYTES {
            return None;
        }
        let room = (LOG_BYTES - step.logged).min(ALL_BYTES - self.logged);
        let clipped = bytes.len() >= room;
        bytes.truncate(room);
        step.logged += bytes.len();
        self.logged += bytes.len();
        if clipped {
            step.logged = LOG_BYTES;
            bytes.extend_from_slice(b"\n[output clipped, log limit 2MiB reached]\n");
        }
        Some(log(&step.vertex.digest, stream, bytes, now))
    }

    fn warning(&self, line: u32, message: &str) -> VertexWarning {
        VertexWarning {
            vertex: self.definition.clone(),
            level: 1,
            short: message.as_bytes().to_vec(),
            info: Some(self.source.clone()).filter(|source| source.data.len() <= SHOWN_BYTES),
            ranges: if line == 0 { Vec::new() } else { vec![Range::lines(line, line)] },
            ..VertexWarning::default()
        }
    }

    /// The build failed: at this line, if at one. Gives the step's digest too.
    pub(crate) fn failed(
        &self,
        line: Option<u32>,
        error: &str,
        now: Timestamp,
    ) -> (StatusResponse, Option<String>) {
        let open = self.steps.values().filter(|step| step.vertex.completed.is_none());
        let mut failed = None;
        let vertexes = open
            .map(|step| {
                let this = Some(step.line) == line;
                if this {
                    failed = Some(step.vertex.digest.clone());
                }
                let error = if this { error } else { "context canceled" };
                Vertex { completed: Some(Moment::from(now)), error: error.to_owned(), ..step.vertex.clone() }
            })
            .collect();
        (StatusResponse { vertexes, ..StatusResponse::default() }, failed)
    }
}

#[cfg(test)]
mod tests;
