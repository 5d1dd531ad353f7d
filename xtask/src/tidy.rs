//! The gate for `STYLE.md`: what a machine can see of it, seen on every file that would be committed.
//!
//! Prints each offence as `file:line: rule: what to do`, and one line of figures.

mod calls;
mod figures;
mod layers;
mod lexer;
mod manifests;
mod shape;
mod source;
mod texts;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::tree;
use source::Source;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offence {
    file: String,
    /// From 1; 0 speaks of the whole file.
    line: usize,
    rule: &'static str,
    advice: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line.max(1), self.rule, self.advice)
    }
}

/// Checks the whole tree.
pub(crate) fn run() -> Result<()> {
    check().map(|_| ())
}

/// Checks the whole tree and says how many files that were.
pub(crate) fn check() -> Result<usize> {
    let files = tree::files()?;
    let texts: Vec<(&str, String)> =
        files.iter().filter_map(|file| Some((file.as_str(), text_of(file)?))).collect();
    let mut sources: Vec<Source> = texts
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, text)| Source::read(path, text))
        .collect();
    mark_test_modules(&mut sources);

    let mut offences = Vec::new();
    for source in &sources {
        offences.extend(shape::offences(source));
        offences.extend(calls::offences(source));
    }
    offences.extend(texts::offences(&texts));
    offences.extend(manifests::offences(&texts)?);
    offences.extend(layers::offences()?);
    offences.extend(unformatted(&tree::root())?);
    offences.extend(unformatted(&tree::root().join("examples/harbour"))?);
    offences.sort();
    for offence in &offences {
        crate::print(&format!("{offence}\n"));
    }
    crate::print(&figures::line(&sources));
    ensure!(offences.is_empty(), "{} places break a rule of style; each is named above", offences.len());
    Ok(files.len())
}

/// The file's text; none where it is not text.
fn text_of(file: &str) -> Option<String> {
    String::from_utf8(std::fs::read(tree::root().join(file)).ok()?).ok()
}

/// A file whose parent declares it behind `cfg(test)` is a test.
fn mark_test_modules(sources: &mut [Source]) {
    let mut behind = BTreeSet::new();
    for source in sources.iter() {
        let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", source.path));
        let home = match file {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            other => format!("{folder}/{}", other.trim_end_matches(".rs")),
        };
        for module in &source.test_modules {
            behind.insert(format!("{home}/{module}.rs"));
            behind.insert(format!("{home}/{module}/mod.rs"));
        }
    }
    for source in sources.iter_mut().filter(|source| behind.contains(source.path)) {
        source.is_behind_cfg_test();
    }
}

/// The files of this workspace that the formatter would change.
fn unformatted(workspace: &Path) -> Result<Vec<Offence>> {
    let mut command = Command::new("cargo");
    let asked = command
        .args(["fmt", "--all", "--", "--check", "--files-with-diff"])
        .current_dir(workspace)
        .output()?;
    let root = format!("{}/", tree::root().display());
    let listed = String::from_utf8_lossy(&asked.stdout);
    let offence = |file: &str| Offence {
        file: file.trim_start_matches(&root).to_owned(),
        line: 1,
        rule: "format",
        advice: "run `cargo fmt`".to_owned(),
    };
    let found: BTreeSet<Offence> = listed.lines().filter(|line| line.ends_with(".rs")).map(offence).collect();
    let failed = !asked.status.success() && found.is_empty();
    ensure!(!failed, "`cargo fmt` failed: {}", String::from_utf8_lossy(&asked.stderr));
    Ok(found.into_iter().collect())
}
