//! The layers: a crate uses only what lies above it, and inside its layer only what `layers.toml` lists.

use std::collections::HashMap;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tidy::Offence;
use crate::{shell, tree};

/// What `layers.toml` says.
#[derive(Debug, Default)]
struct Layers {
    /// From the top down.
    order: Vec<String>,
    inside: HashMap<String, Vec<String>>,
}

/// A crate of ours, and the crates of ours that it uses.
struct Crate {
    name: String,
    /// Relative to the root, as in `crates/pure/plan`.
    folder: String,
    /// Not those of its tests.
    uses: Vec<String>,
    tests_use: Vec<String>,
}

/// The uses that go against the layers.
pub(crate) fn offences() -> Result<Vec<Offence>> {
    let text =
        std::fs::read_to_string(tree::root().join("layers.toml")).context("could not read `layers.toml`")?;
    Ok(against(&parse(&text), &crates()?))
}

fn against(layers: &Layers, crates: &[Crate]) -> Vec<Offence> {
    let layer_of: HashMap<&str, &str> =
        crates.iter().map(|it| (it.name.as_str(), layer(&it.folder))).collect();
    let rank = |layer: &str| layers.order.iter().position(|known| known == layer);
    let mut found = Vec::new();
    for it in crates.iter().filter(|it| it.folder.starts_with("crates/")) {
        let mut offend = |advice: String| {
            found.push(Offence {
                file: format!("{}/Cargo.toml", it.folder),
                line: 1,
                rule: "layers",
                advice,
            });
        };
        let here = layer(&it.folder);
        let Some(own) = rank(here) else {
            offend(format!("`{here}` is no layer; `layers.toml` lists them"));
            continue;
        };
        let tests = it.tests_use.iter().filter(|used| *used != "testkit");
        for used in it.uses.iter().chain(tests) {
            let there = layer_of.get(used.as_str()).copied().unwrap_or_default();
            let listed = layers.inside.get(&it.name).is_some_and(|uses| uses.contains(used));
            match rank(there) {
                Some(above) if above < own || (above == own && listed) => {}
                Some(above) if above == own => {
                    offend(format!(
                        "`{}` uses `{used}` of its own layer; that needs a decision page and `layers.toml`",
                        it.name
                    ));
                }
                _ => offend(format!("`{}` must not use `{used}`: `{here}` lies above it", it.name)),
            }
        }
    }
    found
}

/// `crates/pure/plan` is in `pure`, `crates/control` in `control`.
fn layer(folder: &str) -> &str {
    folder.strip_prefix("crates/").and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

/// Reads the two kinds of lines that the file has: `layers = […]`, and `name = […]` under `[inside]`.
fn parse(text: &str) -> Layers {
    let mut layers = Layers::default();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some((key, list)) = line.split_once('=') else { continue };
        let names = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        match key.trim() {
            "layers" => layers.order = names,
            name => drop(layers.inside.insert(name.to_owned(), names)),
        }
    }
    layers
}

fn crates() -> Result<Vec<Crate>> {
    let text = shell::output(
        Command::new("cargo")
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .current_dir(tree::root()),
    )?;
    let metadata: Value = serde_json::from_str(&text).context("could not read what `cargo metadata` said")?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` named no packages")?;
    let root = format!("{}/", tree::root().display());
    Ok(packages.iter().map(|package| crate_of(package, &root)).collect())
}

fn crate_of(package: &Value, root: &str) -> Crate {
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let folder = manifest.trim_start_matches(root).trim_end_matches("/Cargo.toml").to_owned();
    let ours = |tests: bool| -> Vec<String> {
        let all = package["dependencies"].as_array().into_iter().flatten();
        all.filter(|one| one["path"].is_string() && (one["kind"].as_str() == Some("dev")) == tests)
            .filter_map(|one| one["name"].as_str().map(str::to_owned))
            .collect()
    };
    Crate {
        name: package["name"].as_str().unwrap_or_default().to_owned(),
        folder,
        uses: ours(false),
        tests_use: ours(true),
    }
}

#[cfg(test)]
mod tests;
