//! `.dockerignore`: which files of a context stay behind, by docker's matching rules.
//!
//! The last pattern that speaks of a path decides. A pattern that takes a folder takes what is below it, and `!`
//! takes back. `*` and `?` stop at slashes, `**` does not.

use base::path::clean;
use base::{Kind, Problem};

use crate::glob::{Dialect, Glob};

/// Patterns of an ignore file.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    glob: Glob,
    /// It begins with `!`.
    back: bool,
    /// It takes whatever is there.
    all: bool,
}

/// An ignore file that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(".dockerignore line {line}: `{text}` is not a pattern")]
pub struct IgnoreError {
    /// Its line.
    pub line: usize,
    /// What is there.
    pub text: String,
}

impl Problem for IgnoreError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some("`[` needs its `]`, `\\` needs a character behind it, and `!` a pattern".into())
    }
}

impl Ignore {
    /// Nothing is ignored.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads an ignore file.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#'));
        let mut patterns = Vec::new();
        for (line, written) in lines {
            let trimmed = written.trim();
            if trimmed.is_empty() {
                continue;
            }
            let fault = || IgnoreError { line, text: trimmed.to_owned() };
            let (back, rest) = match trimmed.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, trimmed),
            };
            if rest.is_empty() {
                return Err(fault());
            }
            let path = clean(rest);
            let path = path.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&path);
            let glob = Glob::new(path, Dialect::Ignore).map_err(|_| fault())?;
            let all = !back && ["*", "**", "**/*"].contains(&path);
            patterns.push(Pattern { glob, back, all });
        }
        Ok(Self { patterns })
    }

    /// The patterns of `--exclude` flags, which follow the same rules.
    pub(crate) fn from_flags(patterns: &[String]) -> Result<Self, IgnoreError> {
        Self::parse(&patterns.join("\n"))
    }

    /// Whether the path, relative and with slashes, stays behind.
    pub fn takes(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let parents: Vec<&str> = ends.map(|at| &path[..at]).collect();
        let mut taken = false;
        for pattern in &self.patterns {
            // A pattern that could not change the answer is not asked.
            if pattern.back != taken {
                continue;
            }
            let matches =
                pattern.glob.matches(path) || parents.iter().any(|parent| pattern.glob.matches(parent));
            if matches {
                taken = !pattern.back;
            }
        }
        taken
    }

    /// Whether a pattern takes whatever is there.
    pub(crate) fn takes_all(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.all)
    }

    /// Whether something below a folder that stays behind could come along after all.
    pub fn takes_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.back)
    }
}

#[cfg(test)]
mod tests;
