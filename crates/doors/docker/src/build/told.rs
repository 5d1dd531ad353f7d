//! A build's story in the words of docker's classic builder. Pure.

use std::collections::BTreeMap;

use ::build::dockerfile::{Fault as Malformed, ParseError};
use ::build::{BuildError, Progress, StepFault, Stream};
use base::Report;
use serde_json::{Value, json};

use super::stream;
use crate::answer::{Refusal, line};

/// Turns progress into pieces of the answer, and remembers what was done last.
#[derive(Debug, Default)]
pub(super) struct Teller {
    /// The instructions that are under way, by number.
    texts: BTreeMap<usize, String>,
    last: String,
    /// The instruction that is being told.
    told: Option<usize>,
    /// What waits until that one is over, by number.
    waiting: BTreeMap<usize, Waiting>,
}

/// What is to be said of an instruction that runs beside the one that is being told.
#[derive(Debug, Default)]
struct Waiting {
    said: Vec<Value>,
    over: bool,
}

impl Teller {
    /// What there is to say now: one instruction after the other, though some run at the same time.
    pub(super) fn tell(&mut self, progress: Progress) -> Vec<Value> {
        let (step, over) = match &progress {
            Progress::Started(step) => (step.number, false),
            Progress::Output { step, .. } | Progress::Moved { step, .. } => (*step, false),
            Progress::Cached { step, .. }
            | Progress::Finished { step, .. }
            | Progress::Failed { step, .. } => (*step, true),
            Progress::Planned(_) | Progress::Warning { .. } => return self.words(progress),
        };
        let counts = matches!(&progress, Progress::Started(step) if step.count.is_some());
        let said = self.words(progress);
        if !counts && self.told != Some(step) && !self.waiting.contains_key(&step) {
            return said;
        }
        let waiting = self.waiting.entry(step).or_default();
        waiting.said.extend(said);
        waiting.over |= over;
        self.flush()
    }

    /// Takes what may be said: all of the instruction that is being told, and once it is over the next.
    fn flush(&mut self) -> Vec<Value> {
        let mut said = Vec::new();
        while let Some(step) = self.told.or_else(|| self.waiting.keys().next().copied()) {
            self.told = Some(step);
            let Some(mut waiting) = self.waiting.remove(&step) else { break };
            said.append(&mut waiting.said);
            if !waiting.over {
                break;
            }
            self.told = None;
        }
        said
    }

    fn words(&mut self, progress: Progress) -> Vec<Value> {
        match progress {
            Progress::Started(step) => {
                let Some((at, of)) = step.count else { return Vec::new() };
                self.texts.insert(step.number, step.text.clone());
                self.last.clone_from(&step.text);
                vec![stream(format!("Step {at}/{of} : {}", step.text)), stream("\n")]
            }
            Progress::Cached { step, image } => {
                let known = self.texts.remove(&step);
                let from = known.as_deref().is_none_or(|text| is(text, "FROM"));
                let mut said = Vec::new();
                if known.is_some() && !from {
                    said.push(stream(" ---> Using cache\n"));
                }
                said.extend(
                    image.filter(|_| known.is_some()).map(|id| stream(format!(" ---> {}\n", id.short()))),
                );
                said
            }
            Progress::Finished { step, image, .. } => {
                let known = self.texts.remove(&step);
                image
                    .filter(|_| known.is_some())
                    .map(|id| stream(format!(" ---> {}\n", id.short())))
                    .into_iter()
                    .collect()
            }
            Progress::Output { stream: Stream::Stdout, bytes, .. } => {
                vec![stream(String::from_utf8_lossy(&bytes))]
            }
            Progress::Output { stream: Stream::Stderr, bytes, .. } => {
                vec![stream(format!("\u{1b}[91m{}\u{1b}[0m", String::from_utf8_lossy(&bytes)))]
            }
            Progress::Moved { what, bytes, of, done, step } if self.texts.contains_key(&step) => {
                let status = if done { "Download complete" } else { "Downloading" };
                let detail = of.map_or_else(
                    || json!({ "current": bytes }),
                    |of| json!({ "current": bytes, "total": of }),
                );
                vec![json!({ "status": status, "progressDetail": detail, "id": what })]
            }
            // The classic builder looks for these two alone.
            Progress::Warning { rule: Some(rule), .. }
                if !matches!(rule, "NoEmptyContinuation" | "MaintainerDeprecated") =>
            {
                Vec::new()
            }
            Progress::Warning { line, message, .. } => {
                let place = if line == 0 { String::new() } else { format!("line {line}: ") };
                vec![stream(format!("[Warning] {place}{message}\n"))]
            }
            Progress::Planned(_) | Progress::Failed { .. } | Progress::Moved { .. } => Vec::new(),
        }
    }

    /// The command of the last instruction, as docker shows it.
    pub(super) fn command(&self) -> String {
        let text = self.last.as_str();
        let rest = if is(text, "RUN") { text[3..].trim_start() } else { text };
        let mut words = rest;
        // Flags are the builder's, not the command's.
        while let Some(flag) = words.strip_prefix("--") {
            let end = flag.find(char::is_whitespace).unwrap_or(flag.len());
            words = flag[end..].trim_start();
        }
        match serde_json::from_str::<Vec<String>>(words) {
            Ok(args) => args.join(" "),
            Err(_) => format!("/bin/sh -c {words}"),
        }
    }
}

fn is(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Why a build failed, as it is answered.
pub(super) struct Fault {
    pub(super) refusal: Refusal,
    /// The command's exit code, if it was a command.
    pub(super) code: Option<i32>,
}

/// Docker's words for a failure, where clients look for them; ours for the rest.
pub(super) fn fault(error: &BuildError, command: &str) -> Fault {
    let plain = |refusal| Fault { refusal, code: None };
    match error {
        BuildError::Dockerfile(error) => plain(Refusal::invalid(malformed(error))),
        BuildError::NoDockerfile { path } => {
            plain(Refusal::failed(format!("Cannot locate specified Dockerfile: {path}")))
        }
        BuildError::Stages { fault: ::build::graph::GraphFault::NoTarget { target, .. }, .. } => {
            plain(Refusal::invalid(format!("target stage \"{target}\" could not be found")))
        }
        BuildError::Context(error) => {
            // The archive is the client's; docker calls it a failure all the same.
            plain(Refusal::failed(line(&Report::of(error))))
        }
        BuildError::Step(step) => match &step.fault {
            StepFault::Exit { code, .. } => Fault {
                refusal: Refusal::failed(format!("The command '{command}' returned a non-zero code: {code}")),
                code: Some(*code),
            },
            StepFault::NoSource { path, place } if place.contains("context") => {
                let word = command_word(&step.excerpt);
                plain(Refusal::failed(format!(
                    "{word} failed: file not found in build context or excluded by .dockerignore: stat {path}: file does not exist"
                )))
            }
            _ => plain(Refusal::failed(line(&Report::of(error)))),
        },
        other => plain(Refusal::of(other)),
    }
}

/// COPY or ADD, whichever stands in the lines.
fn command_word(excerpt: &str) -> &'static str {
    let upper = excerpt.to_ascii_uppercase();
    if upper.contains("ADD ") && !upper.contains("COPY ") { "ADD" } else { "COPY" }
}

fn malformed(error: &ParseError) -> String {
    let why = match &error.fault {
        Malformed::NoStage if error.excerpt.trim().is_empty() => {
            return "the Dockerfile (Dockerfile) cannot be empty".into();
        }
        Malformed::NoStage => return "file with no instructions".into(),
        Malformed::UnknownInstruction { word, near } => {
            let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            format!("unknown instruction: {}{near}", word.to_ascii_uppercase())
        }
        other => other.to_string(),
    };
    format!("dockerfile parse error on line {}: {why}", error.span.start)
}

#[cfg(test)]
mod tests;
