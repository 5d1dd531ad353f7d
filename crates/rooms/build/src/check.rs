//! What in a Dockerfile is probably not meant, by the rules of BuildKit's checks.
//!
//! Pure. Rules have the names that BuildKit gives them, so that `# check=skip=…` means the same; they are listed in
//! [`RULES`]. What only a run would tell is not looked at: triggers of base images, and the machine that an image is for.

mod rules;
mod settings;
mod stages;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use oci::{ImageConfig, Platform, Reference};

use crate::dockerfile::{Command, Dockerfile, Instruction};
use crate::graph::Graph;
use crate::ignore::Ignore;
use crate::scope::Global;

pub use rules::{RULES, description};
pub use settings::Settings;
use words::{Seen, looked, nearest};

/// Something that is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule, as in `WorkdirRelativePath`.
    pub rule: &'static str,
    /// Its line.
    pub line: u32,
    /// What.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.message)?;
        if self.line == 0 { Ok(()) } else { write!(f, " (line {})", self.line) }
    }
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// In the order of their lines.
    pub found: Vec<Finding>,
    /// Whether the Dockerfile is not to be built with such findings.
    pub fatal: bool,
}

impl Findings {
    /// Why it is not to be built, if it is not.
    pub fn refusal(&self) -> Option<String> {
        let rules: BTreeSet<&str> = self.found.iter().map(|one| one.rule).collect();
        let rules = rules.into_iter().collect::<Vec<_>>().join(", ");
        (self.fatal && !self.found.is_empty()).then(|| format!("lint violation found for rules: {rules}"))
    }
}

/// What is known around a Dockerfile.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Build arguments.
    pub args: &'a BTreeMap<String, String>,
    /// Which stages are looked into.
    pub stages: Stages<'a>,
    /// The names of named contexts.
    pub contexts: &'a BTreeSet<String>,
    /// What stays out of the context.
    pub ignore: Option<&'a Ignore>,
    /// What is known of an image by its name.
    pub image: &'a dyn Fn(&str) -> Option<Base>,
}

/// Which stages are looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stages<'a> {
    /// All of them.
    All,
    /// What this one needs; the last when none.
    For(Option<&'a str>),
}

/// What a stage begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base {
    /// Its environment, as `NAME=value`.
    pub env: Vec<String>,
    /// Whether it says what runs the shell forms.
    pub shell: bool,
}

impl Base {
    /// What an image says; none where its triggers change that first.
    pub fn of(config: &ImageConfig) -> Option<Self> {
        let run = &config.config;
        let plain = run.on_build.is_empty();
        plain.then(|| Self { env: run.env.clone(), shell: !run.shell.is_empty() })
    }
}

/// Looks at a Dockerfile; or tells why what it says of its checks makes no sense.
pub fn check(file: &Dockerfile, around: Around<'_>) -> Result<Findings, String> {
    let said = around.args.get("BUILDKIT_DOCKERFILE_CHECK").or(file.directives.check.as_ref());
    let settings = Settings::parse(said.map_or("", String::as_str))?;
    let mut checks = Checks { file, around, settings, findings: Vec::new() };
    checks.lines();
    checks.names();
    checks.casing();
    checks.defaults();
    let target = match around.stages {
        Stages::All => None,
        Stages::For(target) => target,
    };
    if let Ok(global) = Global::new(file, around.args, target) {
        checks.bases(&global);
        if let Ok(graph) = Graph::new(file, &global, target, around.contexts) {
            checks.stages(&global, &graph);
        }
    }
    let Checks { mut findings, settings, .. } = checks;
    findings.sort_by_key(|finding| (finding.line, finding.rule));
    Ok(Findings { found: findings, fatal: settings.error })
}

struct Checks<'a> {
    file: &'a Dockerfile,
    around: Around<'a>,
    settings: Settings,
    findings: Vec<Finding>,
}

/// The instruction's word, as it is written.
fn word(one: &Instruction) -> &str {
    one.text.split_whitespace().next().unwrap_or_default()
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}

impl Checks<'_> {
    fn find(&mut self, settings: &Settings, rule: &'static str, line: u32, message: String) {
        if settings.take(rule, rules::is_experimental(rule)) {
            self.findings.push(Finding { rule, line, message });
        }
    }

    /// The same for the whole file, whatever stands above the line.
    fn find_at_all(&mut self, rule: &'static str, line: u32, message: String) {
        let settings = self.settings.clone();
        self.find(&settings, rule, line, message);
    }

    /// What single lines say by themselves.
    fn lines(&mut self) {
        for line in &self.file.gaps {
            self.find_at_all("NoEmptyContinuation", *line, "Empty continuation line".to_owned());
        }
        for one in &self.file.instructions {
            let settings = self.settings.with(&one.comments);
            let line = one.span.start;
            match &one.command {
                Command::Maintainer(_) => {
                    let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
                    self.find(&settings, "MaintainerDeprecated", line, message);
                }
                Command::From { name: Some(name), .. } => {
                    self.stage_words(&settings, one);
                    self.comment(&settings, one, "FROM", std::slice::from_ref(name));
                }
                Command::Arg(items) => {
                    let names: Vec<String> = items.iter().map(|item| item.name.clone()).collect();
                    self.comment(&settings, one, "ARG", &names);
                }
                _ => {}
            }
        }
    }

    fn stage_words(&mut self, settings: &Settings, one: &Instruction) {
        let words: Vec<&str> = one.text.split_whitespace().collect();
        let [from, .., keyword, name] = words.as_slice() else { return };
        if !is_lower(name) {
            let message = format!("Stage name '{name}' should be lowercase");
            self.find(settings, "StageNameCasing", one.span.start, message);
        }
        let fits = match (is_lower(from), is_upper(from)) {
            (true, _) => is_lower(keyword),
            (false, true) => is_upper(keyword),
            // That FROM itself is odd is told by another rule.
            (false, false) => true,
        };
        if !fits {
            let message = format!("'{keyword}' and '{from}' keywords' casing do not match");
            self.find(settings, "FromAsCasing", one.span.start, message);
        }
    }

    /// The comment above speaks of one of these names.
    fn comment(&mut self, settings: &Settings, one: &Instruction, instruction: &str, names: &[String]) {
        let (Some(comment), Some(first)) = (one.comments.last(), names.first()) else { return };
        if names.iter().any(|name| Some(name.as_str()) == comment.split(' ').next()) {
            return;
        }
        let name = if names.len() > 1 { "<arg_key>" } else { first };
        let message = format!("Comment for {instruction} should follow the format: `# {name} <description>`");
        self.find(settings, "InvalidDefinitionDescription", one.span.start, message);
    }

    /// Names of stages are no other's.
    fn names(&mut self) {
        let mut names = BTreeSet::new();
        for one in &self.file.instructions {
            let Command::From { name: Some(name), .. } = &one.command else { continue };
            if ["context", "scratch"].contains(&name.as_str()) {
                let message = format!("Stage name should not use the same name as reserved stage {name:?}");
                self.find_at_all("ReservedStageName", one.span.start, message);
            }
            if !names.insert(name) {
                let message = format!("Duplicate stage name {name:?}, stage names should be unique");
                self.find_at_all("DuplicateStageName", one.span.start, message);
            }
        }
    }

    /// Words of instructions are all in capitals, or all small. What stands before the first FROM does not count.
    fn casing(&mut self) {
        let file = self.file;
        let first = file.instructions.iter().position(|one| matches!(one.command, Command::From { .. }));
        let counted = &file.instructions[first.unwrap_or(0)..];
        let lower = counted.iter().filter(|one| is_lower(word(one))).count();
        let upper = counted.iter().filter(|one| is_upper(word(one)) && !is_lower(word(one))).count();
        let (case, fits): (_, fn(&str) -> bool) =
            if lower > upper { ("lowercase", is_lower) } else { ("uppercase", is_upper) };
        for one in counted.iter().filter(|one| !fits(word(one))) {
            let word = word(one);
            let message = format!("Command '{word}' should match the case of the command majority ({case})");
            self.find_at_all("ConsistentInstructionCasing", one.span.start, message);
        }
    }

    /// Without build arguments every FROM names an image.
    fn defaults(&mut self) {
        let Ok(global) = Global::new(self.file, &BTreeMap::new(), None) else { return };
        for one in &self.file.instructions {
            let Command::From { image, .. } = &one.command else { continue };
            let Ok(expanded) = looked(image, self.file.directives.escape, &global).0 else { return };
            if expanded.parse::<Reference>().is_err() {
                let message =
                    format!("Default value for ARG {image} results in empty or invalid base image name");
                self.find_at_all("InvalidDefaultArgInFrom", one.span.start, message);
            }
        }
    }

    /// What every FROM begins with.
    fn bases(&mut self, global: &Global) {
        for one in &self.file.instructions {
            let Command::From { image, name, platform } = &one.command else { continue };
            let settings = self.settings.with(&one.comments);
            let (_, seen) = looked(image, self.file.directives.escape, global);
            self.undeclared(&settings, one, global, &seen);
            let Some(platform) = platform else { continue };
            let (expanded, seen) = looked(platform, self.file.directives.escape, global);
            self.undeclared(&settings, one, global, &seen);
            let Ok(expanded) = expanded else { continue };
            if seen.set.iter().eq(["TARGETPLATFORM"]) && seen.unset.is_empty() {
                if expanded == Platform::ours().to_string() {
                    let message = format!(
                        "Setting platform to predefined {platform} in FROM is redundant as this is the default behavior"
                    );
                    self.find(&settings, "RedundantTargetPlatform", one.span.start, message);
                }
            } else if seen.set.is_empty() && seen.unset.is_empty() {
                let name = name.as_deref().unwrap_or_default();
                // A stage that is for one kind of machine by its name may be.
                let meant = words::machine(&expanded)
                    .is_none_or(|(os, architecture)| name.contains(&os) || name.contains(&architecture));
                if !meant {
                    let message = format!("FROM --platform flag should not use constant value {expanded:?}");
                    self.find(&settings, "FromPlatformFlagConstDisallowed", one.span.start, message);
                }
            }
        }
    }

    /// Every variable of a FROM is declared before the first.
    fn undeclared(&mut self, settings: &Settings, one: &Instruction, global: &Global, seen: &Seen) {
        for name in seen.unset.iter().filter(|name| !global.declares(name)) {
            let near = nearest(name, global.names());
            let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            let message = format!("FROM argument '{name}' is not declared{near}");
            self.find(settings, "UndefinedArgInFrom", one.span.start, message);
        }
    }
}

#[cfg(test)]
mod tests;
