//! Variables of a build: what stands before the first FROM, what a stage declares, and what is always there.

use std::collections::BTreeMap;

use oci::Platform;

use crate::dockerfile::expand::{self, Substitution, Variables};
use crate::dockerfile::{ArgItem, Command, Dockerfile};
use crate::error::BuildError;

/// Arguments that need no ARG, are seen by commands only, and neither kept in the image nor counted by the cache.
const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What stands before the first FROM, and what the build was given.
pub(crate) struct Global {
    /// What the build was given.
    given: BTreeMap<String, String>,
    /// Declared before the first FROM, and what is always there: the names of platforms, and the target's.
    declared: BTreeMap<String, Option<String>>,
}

impl Global {
    /// Reads the ARGs before the first FROM, for a build of this stage.
    pub(crate) fn new(
        file: &Dockerfile,
        given: &BTreeMap<String, String>,
        target: Option<&str>,
    ) -> Result<Self, (usize, Substitution)> {
        let mut global = Self { given: given.clone(), declared: platforms() };
        let target = target.filter(|target| !target.is_empty()).unwrap_or("default");
        global.declared.insert("TARGETSTAGE".to_owned(), Some(target.to_owned()));
        for (index, one) in file.instructions.iter().enumerate() {
            let Command::Arg(items) = &one.command else { break };
            for item in items {
                let value = match (given.get(&item.name), &item.default) {
                    (Some(value), _) => Some(value.clone()),
                    (None, Some(default)) => Some(
                        expand::word(default, file.directives.escape, &global).map_err(|why| (index, why))?,
                    ),
                    (None, None) => global.declared.get(&item.name).cloned().flatten(),
                };
                global.declared.insert(item.name.clone(), value);
            }
        }
        Ok(global)
    }

    /// Whether an ARG before the first FROM declares it, or it is always there.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    /// The names of all that [`Global::declares`].
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().map(String::as_str)
    }

    /// The proxies that the build was given, as commands see them.
    pub(crate) fn proxies(&self) -> impl Iterator<Item = (&str, &str)> {
        PROXIES.iter().filter_map(|name| Some((*name, self.given.get(*name)?.as_str())))
    }

    /// What the build was given that no ARG of these instructions declares.
    pub(crate) fn unused(&self, file: &Dockerfile) -> Vec<String> {
        let mut names: Vec<String> = self.given.keys().cloned().collect();
        for one in &file.instructions {
            if let Command::Arg(items) = &one.command {
                names.retain(|name| items.iter().all(|item| item.name != *name));
            }
        }
        names.retain(|name| {
            !PROXIES.contains(&name.as_str()) && name != "SOURCE_DATE_EPOCH" && !name.starts_with("BUILDKIT_")
        });
        names
    }
}

/// The time that the build argument `SOURCE_DATE_EPOCH` says.
pub(crate) fn epoch(given: &BTreeMap<String, String>) -> Result<Option<i64>, BuildError> {
    let Some(text) = given.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| BuildError::Value {
        value: text.clone(),
        what: "SOURCE_DATE_EPOCH",
        allowed: "a number of seconds since 1970",
    })
}

impl Variables for Global {
    fn value(&self, name: &str) -> Option<String> {
        self.declared.get(name).cloned().flatten()
    }
}

/// `TARGETPLATFORM` and its like: we build for the machine that we run on.
fn platforms() -> BTreeMap<String, Option<String>> {
    let ours = Platform::ours();
    let mut all = BTreeMap::new();
    for side in ["TARGET", "BUILD"] {
        let parts = [
            ("PLATFORM", ours.to_string()),
            ("OS", ours.os.clone()),
            ("OSVERSION", String::new()),
            ("ARCH", ours.architecture.clone()),
            ("VARIANT", ours.variant.clone().unwrap_or_default()),
        ];
        all.extend(parts.map(|(part, value)| (format!("{side}{part}"), Some(value))));
    }
    all
}

/// The arguments that a stage declared so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct StageArgs {
    declared: Vec<(String, Option<String>)>,
}

impl StageArgs {
    /// `ARG`: the build's value, else the default, else what stands before the first FROM.
    pub(crate) fn declare(
        &mut self,
        item: &ArgItem,
        global: &Global,
        env: &[String],
        escape: char,
    ) -> Result<Option<String>, Substitution> {
        let value = match (global.given.get(&item.name), &item.default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(expand::word(default, escape, &StageScope { args: self, env })?),
            (None, None) => global.value(&item.name),
        };
        match self.declared.iter_mut().find(|(name, _)| *name == item.name) {
            Some((_, known)) => known.clone_from(&value),
            None => self.declared.push((item.name.clone(), value.clone())),
        }
        Ok(value)
    }

    /// Those that have a value, in the order of their declaration. An ENV of the same name wins.
    pub(crate) fn values<'a>(&'a self, env: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.declared.iter().filter_map(|(name, value)| {
            let value = lookup(env, name).or(value.as_deref())?;
            Some((name.as_str(), value))
        })
    }
}

/// The variables at one instruction of a stage: its environment, then its arguments.
pub(crate) struct StageScope<'a> {
    pub args: &'a StageArgs,
    pub env: &'a [String],
}

impl Variables for StageScope<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let declared = || self.args.declared.iter().find(|(known, _)| known == name)?.1.clone();
        lookup(self.env, name).map(str::to_owned).or_else(declared)
    }
}

/// A variable's value in a list of `NAME=value`.
pub(crate) fn lookup<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter().rev().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Sets a variable in a list of `NAME=value`, where it stands already if it does.
pub(crate) fn set(env: &mut Vec<String>, name: &str, value: &str) {
    let pair = format!("{name}={value}");
    match env.iter_mut().find(|old| old.split_once('=').is_some_and(|(known, _)| known == name)) {
        Some(old) => *old = pair,
        None => env.push(pair),
    }
}
