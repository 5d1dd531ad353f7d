//! Stages and what they need of each other: which are built, and after which.
//!
//! Pure. A stage names an earlier one in `FROM`, in `COPY --from` and in `RUN --mount=from=`; anything else there is
//! an image. What the wanted stage does not need, directly or through others, is not built.

use std::collections::BTreeSet;

use oci::Reference;

use crate::dockerfile::expand::{self, Substitution, Variables};
use crate::dockerfile::{Command, Dockerfile, Instruction, Span, nearest};

/// The stages of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// All of them, in the file's order.
    pub stages: Vec<Stage>,
    /// Those that are built, each behind what it needs; the last is the wanted one.
    pub order: Vec<usize>,
    /// The names of named contexts, as [`context_name`] gives them.
    contexts: BTreeSet<String>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name, in lower case.
    pub name: Option<String>,
    /// What it begins with.
    pub base: Base,
    /// `--platform`, expanded.
    pub platform: Option<String>,
    /// Its FROM.
    pub span: Span,
    /// The text of its FROM.
    pub text: String,
    /// Its instructions behind FROM.
    pub instructions: Vec<Instruction>,
    /// The stages that it needs, from the file's order.
    pub needs: BTreeSet<usize>,
}

impl Stage {
    /// Its name, or what it is called without one.
    pub fn title(&self, number: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("stage-{number}"))
    }
}

/// What a stage begins with, or takes files from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// A stage of the same file.
    Stage(usize),
    /// An image by name.
    Image(String),
    /// A named context of the build.
    Context(String),
}

/// Why there is no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphFault {
    /// The wanted stage is not there.
    #[error("there is no stage `{target}`")]
    NoTarget {
        /// What was wanted.
        target: String,
        /// What was probably meant.
        near: Option<String>,
        /// What is there.
        names: Vec<String>,
    },
    /// A FROM whose image is empty once variables are expanded.
    #[error("FROM names no image: `{text}` is empty")]
    EmptyBase {
        /// As written.
        text: String,
        /// Where.
        span: Span,
    },
    /// A stage that takes files from itself.
    #[error("a stage cannot take files from itself")]
    Itself {
        /// Where.
        span: Span,
    },
    /// A variable that cannot be expanded.
    #[error("a variable of FROM cannot be expanded")]
    Substitution {
        /// Where.
        span: Span,
        /// Why.
        source: Substitution,
    },
}

impl Graph {
    /// The graph of a file. `global` knows what stands before the first FROM; `target` is a name or a number, and
    /// the last stage when none; `contexts` are the names of named contexts, which go before stages and images.
    pub fn new(
        file: &Dockerfile,
        global: &dyn Variables,
        target: Option<&str>,
        contexts: &BTreeSet<String>,
    ) -> Result<Self, GraphFault> {
        let mut stages: Vec<Stage> = Vec::new();
        for one in &file.instructions {
            if let Command::From { image, name, platform } = &one.command {
                let escape = file.directives.escape;
                let expand = |text: &str| {
                    expand::word(text, escape, global)
                        .map_err(|source| GraphFault::Substitution { span: one.span, source })
                };
                let base = expand(image)?;
                if base.is_empty() {
                    return Err(GraphFault::EmptyBase { text: image.clone(), span: one.span });
                }
                let mut base =
                    if base == "scratch" { Base::Scratch } else { find_name(&stages, &base, contexts) };
                // A context in place of the stage itself: nothing that the stage says is done.
                if let Some(name) = name.as_ref().filter(|name| contexts.contains(*name)) {
                    base = Base::Context(name.clone());
                }
                let platform = platform.as_deref().map(expand).transpose()?.filter(|text| !text.is_empty());
                let needs =
                    if let Base::Stage(number) = base { BTreeSet::from([number]) } else { BTreeSet::new() };
                let (name, text, instructions) = (name.clone(), one.text.clone(), Vec::new());
                stages.push(Stage { name, base, platform, span: one.span, text, instructions, needs });
            } else if let Some(number) = stages.len().checked_sub(1) {
                let own = stages[number].name.as_ref();
                if own.is_some_and(|name| stages[number].base == Base::Context(name.clone())) {
                    continue;
                }
                let needs = needs(&stages, number, one, contexts)?;
                stages[number].needs.extend(needs);
                stages[number].instructions.push(one.clone());
            }
        }
        let wanted = wanted(&stages, target)?;
        let order = order(&stages, wanted);
        Ok(Self { stages, order, contexts: contexts.clone() })
    }

    /// The stage that is wanted.
    pub fn target(&self) -> usize {
        self.order.last().copied().unwrap_or(0)
    }

    /// What `--from=text` in this stage means.
    pub fn source(&self, stage: usize, text: &str) -> Base {
        find(&self.stages[..stage.min(self.stages.len())], text, &self.contexts)
    }
}

/// The name of a named context as it is compared: an image's name in its short form, without `:latest`.
pub fn context_name(text: &str) -> String {
    let familiar = text.parse::<Reference>().map_or_else(|_| text.to_owned(), |image| image.familiar());
    familiar.strip_suffix(":latest").unwrap_or(&familiar).to_owned()
}

/// The stages that an instruction of the last stage takes files from.
fn needs(
    stages: &[Stage],
    number: usize,
    one: &Instruction,
    contexts: &BTreeSet<String>,
) -> Result<Vec<usize>, GraphFault> {
    let mut needs = Vec::new();
    for from in sources(&one.command) {
        match find(stages, from, contexts) {
            Base::Stage(itself) if itself == number => return Err(GraphFault::Itself { span: one.span }),
            Base::Stage(other) => needs.push(other),
            Base::Scratch | Base::Image(_) | Base::Context(_) => {}
        }
    }
    Ok(needs)
}

/// What the instruction takes from other stages or images.
pub(crate) fn sources(command: &Command) -> Vec<&str> {
    match command {
        Command::Copy(transfer) => transfer.flags.from.as_deref().into_iter().collect(),
        Command::Run(run) => {
            let fields = run.mounts.iter().flat_map(|mount| &mount.fields);
            fields.filter(|field| field.name == "from").filter_map(|field| field.value.as_deref()).collect()
        }
        _ => Vec::new(),
    }
}

/// An earlier stage by its name, the last of that name; else a named context, or an image.
fn find_name(stages: &[Stage], text: &str, contexts: &BTreeSet<String>) -> Base {
    let lower = text.to_lowercase();
    if let Some(number) = stages.iter().rposition(|stage| stage.name.as_ref() == Some(&lower)) {
        return Base::Stage(number);
    }
    let short = context_name(text);
    if contexts.contains(&short) { Base::Context(short) } else { Base::Image(text.to_owned()) }
}

/// An earlier stage by its name or number; else a named context, or an image.
fn find(stages: &[Stage], text: &str, contexts: &BTreeSet<String>) -> Base {
    match (find_name(stages, text, contexts), text.parse::<usize>()) {
        (Base::Image(_), Ok(number)) if number < stages.len() => Base::Stage(number),
        (Base::Image(_), _) if text == "scratch" => Base::Scratch,
        (base, _) => base,
    }
}

fn wanted(stages: &[Stage], target: Option<&str>) -> Result<usize, GraphFault> {
    let Some(target) = target.filter(|target| !target.is_empty()) else {
        return Ok(stages.len().saturating_sub(1));
    };
    if let Base::Stage(number) = find(stages, target, &BTreeSet::new()) {
        return Ok(number);
    }
    let names: Vec<String> = stages.iter().filter_map(|stage| stage.name.clone()).collect();
    let candidates: Vec<&str> = names.iter().map(String::as_str).collect();
    let near = nearest(target, &candidates).map(str::to_owned);
    Err(GraphFault::NoTarget { target: target.to_owned(), near, names })
}

/// The stages that `wanted` needs and itself, each behind its needs. Needs point backwards, so the file's order is one.
fn order(stages: &[Stage], wanted: usize) -> Vec<usize> {
    let mut needed = BTreeSet::from([wanted]);
    for number in (0..=wanted).rev() {
        if needed.contains(&number)
            && let Some(stage) = stages.get(number)
        {
            needed.extend(&stage.needs);
        }
    }
    needed.into_iter().collect()
}

#[cfg(test)]
mod tests;
