//! What a build tells while it goes on. Steps run at the same time, so every event names its own.
//!
//! A step is planned, started, and then either cached, finished, failed or stopped. Its number never changes; numbers
//! follow the file's order, except that triggers of base images get the next free ones.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use oci::Digest;

use crate::runner::Stream;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// These steps will come. All but those of triggers are told at once, in the beginning.
    Planned(Vec<Step>),
    /// A step begins.
    Started(Step),
    /// The step was done before.
    Cached {
        /// Its number.
        step: usize,
        /// See `Finished`.
        image: Option<Digest>,
    },
    /// The step is done.
    Finished {
        /// Its number.
        step: usize,
        /// How long it took.
        took_ms: u64,
        /// What an image of all up to here would be named: the digest of its configuration.
        image: Option<Digest>,
    },
    /// The step failed, or was stopped because another failed.
    Failed {
        /// Its number.
        step: usize,
        /// Why, in one line.
        why: String,
    },
    /// Output of the step's command, in pieces of at most 64 KiB; not whole lines.
    Output {
        /// The step's number.
        step: usize,
        /// Where from.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
    },
    /// Bytes that the step moves: of a context, a base image, a file that is fetched.
    Moved {
        /// The step's number.
        step: usize,
        /// What.
        what: String,
        /// Bytes so far.
        bytes: u64,
        /// Of so many, if known.
        of: Option<u64>,
        /// It is all there.
        done: bool,
    },
    /// Something that is probably not meant.
    Warning {
        /// The rule of a check, if one found it.
        rule: Option<&'static str>,
        /// The line, 0 if it is about none.
        line: u32,
        /// What.
        message: String,
    },
}

/// A step of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Unique in the build, from 1.
    pub number: usize,
    /// What is done.
    pub kind: StepKind,
    /// The instruction's text; what is done, for other kinds.
    pub text: String,
    /// Its first line in the Dockerfile; 0 if none.
    pub line: u32,
    /// The stage by name or number, as in `builder` or `stage-1`; empty for steps of no stage.
    pub stage: String,
    /// Whether the Dockerfile has several stages, so that `stage` is worth showing.
    pub several_stages: bool,
    /// Its place among those steps of the stage that take files, and how many these are; none for the others.
    pub place: Option<(usize, usize)>,
    /// Its place among all instructions of all stages that are built, and how many these are; none for no instruction.
    pub count: Option<(usize, usize)>,
    /// Unique in the build, and the same for the same Dockerfile.
    pub digest: Digest,
    /// The numbers of the steps whose results it uses.
    pub inputs: Vec<usize>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// Takes the context in.
    Context,
    /// Begins a stage.
    From,
    /// Makes a layer: RUN, COPY, ADD, WORKDIR.
    Files,
    /// Changes the configuration alone.
    Settings,
    /// Writes and names the image.
    Export,
}

impl Step {
    /// `[builder 2/5] RUN make`, as BuildKit names its steps.
    pub fn title(&self) -> String {
        let text: String = self.text.lines().next().unwrap_or_default().chars().take(500).collect();
        match (self.kind, self.place) {
            (StepKind::Context, _) => format!("[internal] {text}"),
            (StepKind::Export, _) => text,
            (StepKind::From | StepKind::Files | StepKind::Settings, place) => {
                let place = place.map(|(at, of)| format!("{at}/{of}"));
                let stage = self.several_stages.then(|| self.stage.clone());
                let head: Vec<String> = stage.into_iter().chain(place).collect();
                if head.is_empty() { text } else { format!("[{}] {text}", head.join(" ")) }
            }
        }
    }
}

/// Tells whoever asked for the build, and keeps what was planned.
pub(crate) struct Teller<'a> {
    progress: &'a (dyn Fn(Progress) + Sync),
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    steps: BTreeMap<usize, Step>,
    /// Instructions that began.
    begun: usize,
    cached: usize,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(progress: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self { progress, book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, event: Progress) {
        (self.progress)(event);
    }

    pub(crate) fn warn(&self, line: u32, message: String) {
        self.tell(Progress::Warning { rule: None, line, message });
    }

    /// Plans steps. Those whose number is 0 get the next free one; gives all numbers.
    pub(crate) fn plan(&self, mut steps: Vec<Step>) -> Vec<usize> {
        let mut book = self.book();
        for step in &mut steps {
            if step.number == 0 {
                step.number = book.steps.last_key_value().map_or(1, |(last, _)| last + 1);
                let seed = format!("{} {}", step.digest, step.number);
                step.digest = Digest::sha256(seed.as_bytes());
            }
            book.steps.insert(step.number, step.clone());
        }
        drop(book);
        let numbers = steps.iter().map(|step| step.number).collect();
        if !steps.is_empty() {
            self.tell(Progress::Planned(steps));
        }
        numbers
    }

    pub(crate) fn started(&self, number: usize) {
        let mut book = self.book();
        let Some(step) = book.steps.get(&number).cloned() else { return };
        book.begun += usize::from(step.count.is_some());
        drop(book);
        self.tell(Progress::Started(step));
    }

    pub(crate) fn cached(&self, number: usize, image: Option<Digest>) {
        self.book().cached += 1;
        self.tell(Progress::Cached { step: number, image });
    }

    /// How many instructions were begun, and how many steps were cached.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let book = self.book();
        (book.begun, book.cached)
    }
}
