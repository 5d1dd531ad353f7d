//! The variables of a project: the process's, and those of `.env` files, which never win over it.

use std::collections::BTreeMap;

use crate::dotenv::{self, Scope};
use crate::interpolate::Environment;
use crate::problem::Fault;
use crate::session::{Session, Stop};
use crate::tree::Span;

/// Reads env files that must exist; `current` wins over what they say.
pub(crate) fn read_files(
    paths: &[String],
    current: &Environment,
    session: &mut Session<'_>,
) -> Result<Environment, Stop> {
    let mut all = BTreeMap::new();
    for path in paths {
        if session.files.is_dir(path) {
            return Err(Fault::nowhere("", format!("the env file `{path}` is a folder")).into());
        }
        read(path, &mut all, session, &|name| current.get(name).cloned())?;
    }
    Ok(all)
}

/// Reads one env file into `vars`.
pub(crate) fn read(
    path: &str,
    vars: &mut Environment,
    session: &mut Session<'_>,
    outer: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Stop> {
    let file = session.read(path)?;
    let text = session.sources[file as usize].text.clone();
    let mut missing = Vec::new();
    let outcome =
        dotenv::parse(&text, vars, &mut Scope { outer, missing: &mut |name| missing.push(name.to_owned()) });
    for name in missing {
        session.unset(&name, Span::default(), path);
    }
    outcome.map_err(|wrong| {
        let start: usize = text.split_inclusive('\n').take(wrong.line - 1).map(str::len).sum();
        let len = text[start..].find('\n').unwrap_or(text.len() - start);
        let at = Span { file, line: wrong.line as u32, column: 1, start: start as u32, len: len as u32 };
        Fault::at(at, "", wrong.what).into()
    })
}

/// Adds what is not there yet.
pub(crate) fn add(environment: &mut Environment, more: Environment) {
    for (name, value) in more {
        environment.entry(name).or_insert(value);
    }
}
