//! What a Dockerfile looks like from outside: the steps that people see, which files of the context they need.
//!
//! Pure. A file whose stages make no sense has a layout without numbers; the build itself says what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use build::dockerfile::expand::{self, Variables};
use build::dockerfile::{Command, Dockerfile, Form, Instruction, Run, Transfer};
use build::graph::{Base, Graph};
use oci::Platform;

/// A Dockerfile from outside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    /// By the first line of an instruction that makes files, or of a FROM.
    steps: BTreeMap<u32, Step>,
    /// The images that stages begin with or take files from.
    pub images: BTreeSet<String>,
    /// What the steps take from the context.
    pub context: Needed,
}

/// A step that people see.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// In front of the instruction, as in `[build 2/5] `.
    label: String,
    /// A FROM: what it shows instead of its text.
    image: Option<String>,
}

/// The files of the context that are needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Needed {
    /// None: no step names any.
    #[default]
    Nothing,
    /// These paths and patterns.
    Paths(BTreeSet<String>),
    /// All: a step takes the whole, or a name depends on variables.
    All,
}

impl Layout {
    /// The layout of a file, for a target and arguments. `contexts` are the names that stand for other places.
    pub(crate) fn new(
        file: &Dockerfile,
        args: &BTreeMap<String, String>,
        target: Option<&str>,
        contexts: &BTreeSet<String>,
    ) -> Self {
        let variables = Globals::new(file, args);
        let Ok(graph) = Graph::new(file, &variables, target, contexts) else {
            return Self { context: Needed::All, ..Self::default() };
        };
        let mut layout = Self::default();
        let several = graph.order.len() > 1;
        for &number in &graph.order {
            let stage = &graph.stages[number];
            let name = match &stage.name {
                Some(name) => format!("{name} "),
                None if several => format!("stage-{number} "),
                None => String::new(),
            };
            let image = match &stage.base {
                Base::Image(image) => Some(whole(image)),
                Base::Scratch | Base::Stage(_) | Base::Context(_) => None,
            };
            let makes: Vec<&Instruction> =
                stage.instructions.iter().filter(|one| makes_files(&one.command)).collect();
            let total = makes.len() + usize::from(image.is_some());
            let width = total.to_string().len();
            let label = |index: usize| format!("[{name}{index:>width$}/{total}] ");
            let mut index = 0;
            if let Some(image) = image {
                index += 1;
                let shown = Some(format!("FROM {image}"));
                layout.steps.insert(stage.span.start, Step { label: label(index), image: shown });
                layout.images.insert(image);
            }
            for one in makes {
                index += 1;
                layout.steps.insert(one.span.start, Step { label: label(index), image: None });
            }
            for one in &stage.instructions {
                layout.needs(&graph, number, one);
            }
        }
        layout
    }

    /// The name of the step that begins at this line, if it has one here.
    pub(crate) fn step(&self, line: u32, text: &str) -> Option<String> {
        let step = self.steps.get(&line)?;
        let text = step.image.as_deref().unwrap_or(text);
        Some(format!("{}{text}", step.label))
    }

    /// A FROM at this line begins with an image; of other kinds people see nothing. Of a file without a layout nobody
    /// knows.
    pub(crate) fn is_image(&self, line: u32) -> bool {
        self.steps.is_empty() || self.steps.contains_key(&line)
    }

    fn needs(&mut self, graph: &Graph, stage: usize, one: &Instruction) {
        let from = |from: Option<&str>| match from {
            None => Some(None),
            Some(from) => Some(Some(graph.source(stage, from))),
        };
        match &one.command {
            Command::Copy(copy) | Command::Add(copy) => match from(copy.flags.from.as_deref()) {
                Some(None) => self.transfer(copy),
                Some(Some(Base::Image(image))) => drop(self.images.insert(whole(&image))),
                Some(Some(Base::Stage(_) | Base::Scratch | Base::Context(_))) | None => {}
            },
            Command::Run(run) => self.mounts(run, &from),
            _ => {}
        }
    }

    fn transfer(&mut self, transfer: &Transfer) {
        for source in &transfer.sources {
            let remote =
                ["http://", "https://", "git@", "git://", "ssh://"].iter().any(|it| source.starts_with(it));
            if !remote {
                self.context.add(source);
            }
        }
    }

    fn mounts(&mut self, run: &Run, from: &dyn Fn(Option<&str>) -> Option<Option<Base>>) {
        for mount in &run.mounts {
            let field = |name: &str| {
                mount.fields.iter().find(|field| field.name == name).and_then(|field| field.value.as_deref())
            };
            let kind = field("type").unwrap_or("bind");
            match (kind, from(field("from"))) {
                ("bind", Some(None)) => self.context.add(field("source").unwrap_or(".")),
                ("bind" | "cache", Some(Some(Base::Image(image)))) => drop(self.images.insert(whole(&image))),
                _ => {}
            }
        }
    }
}

impl Needed {
    fn add(&mut self, path: &str) {
        let clean = path.trim_start_matches('/').trim_start_matches("./").trim_end_matches('/');
        // A path with `..` means something else once it is made clean, and quotes and variables are not looked through.
        let plain = !clean.is_empty() && clean != "." && !clean.contains(['$', '"', '\'', '\\']);
        if !plain || clean.split('/').any(|part| part == "..") {
            *self = Self::All;
            return;
        }
        match self {
            Self::All => {}
            Self::Paths(paths) => drop(paths.insert(clean.to_owned())),
            Self::Nothing => *self = Self::Paths(BTreeSet::from([clean.to_owned()])),
        }
    }
}

/// The command of the RUN at this line, as the kernel got it: for the message of a command that failed.
pub(crate) fn process(file: &Dockerfile, line: u32) -> Option<String> {
    let mut shell = vec!["/bin/sh".to_owned(), "-c".to_owned()];
    for one in &file.instructions {
        match &one.command {
            Command::From { .. } => shell = vec!["/bin/sh".to_owned(), "-c".to_owned()],
            Command::Shell(own) => shell.clone_from(own),
            Command::Run(run) if one.span.start == line => {
                return Some(match &run.command {
                    Form::Exec(words) => words.join(" "),
                    Form::Shell(text) => format!("{} {}", shell.join(" "), script(run, text)),
                });
            }
            _ => {}
        }
    }
    None
}

/// A RUN that is one heredoc runs its text.
fn script<'a>(run: &'a Run, text: &'a str) -> &'a str {
    match run.heredocs.as_slice() {
        [only] if text.trim() == only.mark => only.text.trim_end(),
        _ => text,
    }
}

fn makes_files(command: &Command) -> bool {
    matches!(command, Command::Run(_) | Command::Copy(_) | Command::Add(_) | Command::Workdir(_))
}

/// The image's name made whole; as it is written where it is none.
fn whole(image: &str) -> String {
    image.parse::<oci::Reference>().map_or_else(|_| image.to_owned(), |reference| reference.to_string())
}

/// The variables before the first FROM.
struct Globals(BTreeMap<String, String>);

impl Globals {
    fn new(file: &Dockerfile, given: &BTreeMap<String, String>) -> Self {
        let ours = Platform::ours();
        let mut all = Self(BTreeMap::new());
        for side in ["TARGET", "BUILD"] {
            all.0.insert(format!("{side}PLATFORM"), ours.to_string());
            all.0.insert(format!("{side}OS"), ours.os.clone());
            all.0.insert(format!("{side}ARCH"), ours.architecture.clone());
        }
        for one in &file.instructions {
            let Command::Arg(items) = &one.command else { break };
            for item in items {
                let default = item.default.as_ref();
                let value = given
                    .get(&item.name)
                    .cloned()
                    .or_else(|| expand::word(default?, file.directives.escape, &all).ok());
                if let Some(value) = value {
                    all.0.insert(item.name.clone(), value);
                }
            }
        }
        all
    }
}

impl Variables for Globals {
    fn value(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

#[cfg(test)]
mod tests;
