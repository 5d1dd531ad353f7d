//! Cases as text files, and the two programs that print them.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use compose::{LoadError, Loaded, MemoryFiles, Request};

/// A case: named sections in order.
#[derive(Default, Clone)]
pub(crate) struct Case {
    sections: Vec<(String, String)>,
}

impl Case {
    /// Reads a file of sections `-- name --`.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut case = Self::default();
        for line in text.split_inclusive('\n') {
            match line.trim_end().strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
                Some(name) => case.sections.push((name.to_owned(), String::new())),
                None => case.sections.last_mut().expect("a case begins with a section").1.push_str(line),
            }
        }
        case
    }

    /// Writes it back.
    pub(crate) fn write(&self, path: &Path) {
        let text: String = self
            .sections
            .iter()
            .map(|(name, body)| {
                let end = if body.is_empty() || body.ends_with('\n') { "" } else { "\n" };
                format!("-- {name} --\n{body}{end}")
            })
            .collect();
        std::fs::write(path, text).unwrap();
    }

    /// A section's text; empty when it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.sections.iter().find(|(n, _)| n == name).map_or("", |(_, body)| body)
    }

    /// Sets a section's text.
    pub(crate) fn set(&mut self, name: &str, body: &str) {
        let body = if body.ends_with('\n') { body.to_owned() } else { format!("{body}\n") };
        match self.sections.iter_mut().find(|(n, _)| n == name) {
            Some(section) => section.1 = body,
            None => self.sections.push((name.to_owned(), body)),
        }
    }

    /// Changes the text of its files.
    pub(crate) fn edit(&mut self, mut edit: impl FnMut(&str) -> String) {
        for (name, body) in &mut self.sections {
            if !is_about(name) {
                *body = edit(body);
            }
        }
    }

    fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sections
            .iter()
            .map(|(name, body)| (name.as_str(), body.as_str()))
            .filter(|(name, _)| !is_about(name))
    }

    fn env(&self) -> BTreeMap<String, String> {
        let pairs = self.get("env").lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// Whether a section is about the case, and not a file of it.
fn is_about(name: &str) -> bool {
    matches!(name, "args" | "env" | "expected.yaml" | "expected.json")
}

/// What this crate prints.
pub(crate) fn ours(case: &Case, json: bool) -> Result<String, String> {
    let loaded = load(case).map_err(|error| error.to_string())?;
    if json {
        loaded.project.to_json().map_err(|error| error.to_string())
    } else {
        Ok(loaded.project.to_yaml())
    }
}

/// What this crate makes of a case.
pub(crate) fn load(case: &Case) -> Result<Loaded, LoadError> {
    let mut request = Request::new("/app");
    request.environment = case.env();
    request.environment.entry("HOME".into()).or_insert("/root".into());
    let mut args = case.get("args").split_whitespace();
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap().to_owned();
        match arg {
            "-f" => request.files.push(value()),
            "-p" => request.project_name = Some(value()),
            "--profile" => request.profiles.push(value()),
            "--env-file" => request.env_files.push(value()),
            "--project-directory" => request.project_dir = Some(value()),
            "--no-interpolate" => request.no_interpolate = true,
            "--no-normalize" => request.skip.normalize = true,
            "--no-path-resolution" => request.skip.paths = true,
            "--no-consistency" => request.skip.consistency = true,
            "--no-env-resolution" => request.skip.env_files = true,
            service => request.services.push(service.to_owned()),
        }
    }
    let mut files = MemoryFiles::default();
    for (name, body) in case.files() {
        files = files.with(format!("/app/{name}"), body);
    }
    compose::load(&request, &files)
}

/// What the reference prints, its folder written as `/app`.
pub(crate) fn oracle(program: &str, case: &Case, json: bool) -> Result<String, String> {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("app");
    std::fs::create_dir(&folder).unwrap();
    for (name, body) in case.files() {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    }
    let mut options = Vec::new();
    let mut services = Vec::new();
    let mut args = case.get("args").split_whitespace();
    while let Some(arg) = args.next() {
        if arg.starts_with("--no-") {
            services.push(arg);
        } else if arg.starts_with('-') {
            options.extend([arg, args.next().unwrap()]);
        } else {
            services.push(arg);
        }
    }
    let mut command = Command::new(program);
    command.current_dir(&folder).env_clear().env("HOME", "/root").envs(case.env());
    command.args(options).arg("config");
    if json {
        command.args(["--format", "json"]);
    }
    let output = command.args(services).output().unwrap();
    let real = temp.path().to_string_lossy().into_owned();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().replace(&real, ""))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().replace(&real, ""))
    }
}
