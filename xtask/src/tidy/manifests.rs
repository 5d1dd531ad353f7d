//! Manifests and the lock file: one place for versions, no default features, no build scripts, few packages.

use anyhow::Result;

use crate::tidy::Offence;

/// Packages in the lock file, ours included.
const LOCKED: usize = 350;
/// The one build script: it has a word for the linker, and generates nothing.
const LINKS: &str = "crates/app/build.rs";
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What is wrong with manifests and lock files.
pub(crate) fn offences(texts: &[(&str, String)]) -> Result<Vec<Offence>> {
    let mut found = Vec::new();
    for (path, text) in texts {
        let told = match *path {
            "Cargo.toml" => of_root(text),
            "Cargo.lock" => of_lock(text),
            // Workspaces of their own.
            "fuzz/Cargo.toml" => Vec::new(),
            _ if path.ends_with("Cargo.toml") && !path.starts_with("examples/") => of_member(text),
            LINKS => Vec::new(),
            _ if path.starts_with("crates/") && path.ends_with("/build.rs") && !path.contains("/src/") => {
                vec![(
                    1,
                    "build script",
                    "product crates have none; commit what it would generate".to_owned(),
                )]
            }
            _ => Vec::new(),
        };
        found.extend(told.into_iter().map(|(line, rule, advice)| Offence {
            file: (*path).to_owned(),
            line,
            rule,
            advice,
        }));
    }
    Ok(found)
}

type Told = Vec<(usize, &'static str, String)>;

fn of_root(text: &str) -> Told {
    let outside = entries(text, |section| section == "workspace.dependencies");
    outside
        .filter(|(_, _, value)| !value.contains("path =") && !value.contains("default-features = false"))
        .map(|(line, name, _)| {
            (line, "default features", format!("give `{name}` `default-features = false`"))
        })
        .collect()
}

fn of_member(text: &str) -> Told {
    let all = entries(text, |section| section.ends_with("dependencies"));
    let mut told: Told = all
        .filter(|(_, name, value)| !name.ends_with(".workspace") && !value.contains("workspace = true"))
        .map(|(line, name, _)| {
            (
                line,
                "versions",
                format!("name `{name}` in the root manifest, and write `{name}.workspace = true` here"),
            )
        })
        .collect();
    for (line, _, _) in entries(text, |section| section == "package").filter(|(_, name, _)| *name == "build")
    {
        told.push((
            line,
            "build script",
            "product crates have none; commit what it would generate".to_owned(),
        ));
    }
    if !text.contains("[lints]\nworkspace = true") {
        told.push((1, "lints", "take the workspace's: `[lints]` with `workspace = true`".to_owned()));
    }
    told
}

fn of_lock(text: &str) -> Told {
    let mut told = Vec::new();
    let count = text.matches("[[package]]").count();
    if count > LOCKED {
        told.push((
            1,
            "locked packages",
            format!("{count}, at most {LOCKED}; do without the last one that was added"),
        ));
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(source) = line.strip_prefix("source = \"").filter(|source| !source.starts_with(CRATES_IO))
        {
            let advice = format!(
                "`{}` is not crates.io; lock again without that source",
                source.trim_end_matches('"')
            );
            told.push((number + 1, "sources", advice));
        }
    }
    told
}

/// The `name = value` lines of the sections picked, with their line numbers.
fn entries<'a>(
    text: &'a str,
    picked: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (usize, &'a str, &'a str)> + 'a {
    let mut section = "";
    text.lines().enumerate().filter_map(move |(number, line)| {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']);
            return None;
        }
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#') && picked(section))?;
        Some((number + 1, name.trim(), value.trim()))
    })
}

#[cfg(test)]
mod tests;
