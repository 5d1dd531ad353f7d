//! What stages do, one instruction after the other, with the variables that are known there.

use std::collections::BTreeMap;

use base::path::clean;

use super::words::{looked, looked_in_text, nearest};
use super::{Base, Checks, Settings, Stages, word};
use crate::dockerfile::{ArgItem, Command, Form, Healthcheck, Instruction, Transfer, expand};
use crate::graph::{self, Graph};
use crate::scope::{Global, StageArgs, StageScope, lookup, set};

/// What an image without a base has.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Words of names that tell of secrets.
const SECRET: &[&str] =
    &["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Words of names that tell of none after all.
const OPEN: &[&str] = &["public", "file", "version"];

/// How things stand at an instruction.
#[derive(Clone, Default)]
struct Scope {
    env: Vec<String>,
    args: StageArgs,
    declared: Vec<String>,
    /// Whether the environment is all known: it is not where the base image is not here.
    known: bool,
    shell: bool,
    workdir: bool,
}

impl Scope {
    fn of(base: Option<Base>) -> Self {
        let known = base.is_some();
        let base = base.unwrap_or_default();
        Self { env: base.env, shell: base.shell, known, ..Self::default() }
    }

    fn variables(&self) -> StageScope<'_> {
        StageScope { args: &self.args, env: &self.env }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let env = self.env.iter().filter_map(|pair| Some(pair.split_once('=')?.0));
        env.chain(self.args.values(&self.env).map(|(name, _)| name))
    }
}

impl Checks<'_> {
    /// All stages that are looked into.
    pub(super) fn stages(&mut self, global: &Global, graph: &Graph) {
        let mut ends: BTreeMap<usize, Scope> = BTreeMap::new();
        let all: Vec<usize> = (0..graph.stages.len()).collect();
        let order = match self.around.stages {
            Stages::All => &all,
            Stages::For(_) => &graph.order,
        };
        for number in order {
            let stage = &graph.stages[*number];
            let mut scope = match &stage.base {
                graph::Base::Scratch => Scope::of(Some(Base { env: vec![PATH.to_owned()], shell: false })),
                graph::Base::Stage(base) => ends.get(base).cloned().unwrap_or_default(),
                graph::Base::Image(name) => Scope::of((self.around.image)(name)),
                graph::Base::Context(_) => Scope::default(),
            };
            let mut once = BTreeMap::new();
            for one in &stage.instructions {
                let settings = self.settings.with(&one.comments);
                self.once(&settings, one, &mut once);
                self.instruction(&settings, one, &mut scope, global);
            }
            ends.insert(*number, scope);
        }
    }

    /// Of some instructions only the last of a stage counts.
    fn once(&mut self, settings: &Settings, one: &Instruction, once: &mut BTreeMap<&'static str, u32>) {
        if !matches!(one.command, Command::Cmd(_) | Command::Entrypoint(_) | Command::Healthcheck(_)) {
            return;
        }
        if let Some(before) = once.insert(one.command.name(), one.span.start) {
            let message = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                word(one)
            );
            self.find(settings, "MultipleInstructionsDisallowed", before, message);
        }
    }

    fn instruction(&mut self, settings: &Settings, one: &Instruction, scope: &mut Scope, global: &Global) {
        let line = one.span.start;
        match &one.command {
            Command::Env(pairs) => {
                self.legacy(settings, one);
                let mut set_here = Vec::new();
                for pair in pairs {
                    let name = self.expand(settings, one, scope, &pair.name);
                    let value = self.expand(settings, one, scope, &pair.value);
                    self.secret(settings, "ENV", &name, line);
                    set_here.push((name, value));
                }
                set_here.iter().for_each(|(name, value)| set(&mut scope.env, name, value));
            }
            Command::Label(pairs) => {
                self.legacy(settings, one);
                for text in pairs.iter().flat_map(|pair| [&pair.name, &pair.value]) {
                    self.expand(settings, one, scope, text);
                }
            }
            Command::Arg(items) => {
                items.iter().for_each(|item| self.argument(settings, one, item, scope, global));
            }
            Command::Workdir(path) => self.workdir(settings, one, path, scope),
            Command::Cmd(form) | Command::Entrypoint(form) => {
                if matches!(form, Form::Shell(_)) && !scope.shell {
                    let message = format!(
                        "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                        word(one)
                    );
                    self.find(settings, "JSONArgsRecommended", line, message);
                }
            }
            Command::Shell(_) => scope.shell = true,
            Command::Expose(ports) => self.ports(settings, one, ports, scope),
            Command::User(text) | Command::StopSignal(text) => {
                self.expand(settings, one, scope, text);
            }
            Command::Volume(places) => {
                places.iter().for_each(|place| drop(self.expand(settings, one, scope, place)));
            }
            Command::Copy(transfer) => {
                let ignored = transfer.flags.from.is_none();
                self.transfer(settings, one, ("Copy", ignored), transfer, scope);
            }
            Command::Add(transfer) => self.transfer(settings, one, ("Add", true), transfer, scope),
            Command::Run(run) => {
                let fields = run.mounts.iter().flat_map(|mount| &mount.fields);
                for value in fields.filter_map(|field| field.value.as_ref()) {
                    self.expand(settings, one, scope, value);
                }
            }
            Command::Healthcheck(Healthcheck::None | Healthcheck::Check(_))
            | Command::From { .. }
            | Command::Maintainer(_)
            | Command::Onbuild(_) => {}
        }
    }

    /// A word of an instruction, expanded as far as that goes; its variables must be set.
    fn expand(&mut self, settings: &Settings, one: &Instruction, scope: &Scope, text: &str) -> String {
        let (expanded, seen) = looked(text, self.file.directives.escape, &scope.variables());
        self.undefined(settings, one, scope, seen.unset.iter());
        expanded.unwrap_or_default()
    }

    fn undefined<'n>(
        &mut self,
        settings: &Settings,
        one: &Instruction,
        scope: &Scope,
        names: impl Iterator<Item = &'n String>,
    ) {
        if !scope.known {
            return;
        }
        for name in names.filter(|name| !scope.declared.contains(name)) {
            if name.starts_with("BUILDKIT_SBOM_SCAN_") {
                continue;
            }
            let near = nearest(name, scope.names());
            let near = near.map(|near| format!(" (did you mean ${near}?)")).unwrap_or_default();
            let message = format!("Usage of undefined variable '${name}'{near}");
            self.find(settings, "UndefinedVar", one.span.start, message);
        }
    }

    fn argument(
        &mut self,
        settings: &Settings,
        one: &Instruction,
        item: &ArgItem,
        scope: &mut Scope,
        global: &Global,
    ) {
        self.secret(settings, "ARG", &item.name, one.span.start);
        if let Some(default) = item.default.as_ref().filter(|_| !self.around.args.contains_key(&item.name)) {
            self.expand(settings, one, scope, default);
        }
        // What cannot be expanded is an error of the build.
        let _ = scope.args.declare(item, global, &scope.env, self.file.directives.escape);
        scope.declared.push(item.name.clone());
    }

    fn legacy(&mut self, settings: &Settings, one: &Instruction) {
        if one.legacy {
            let name = word(one);
            let message =
                format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
            self.find(settings, "LegacyKeyValueFormat", one.span.start, message);
        }
    }

    fn secret(&mut self, settings: &Settings, instruction: &str, name: &str, line: u32) {
        let has = |list: &[&str]| name.split('_').any(|word| list.contains(&word.to_lowercase().as_str()));
        if has(SECRET) && !has(OPEN) {
            let message =
                format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})");
            self.find(settings, "SecretsUsedInArgOrEnv", line, message);
        }
    }

    fn workdir(&mut self, settings: &Settings, one: &Instruction, path: &str, scope: &mut Scope) {
        let expanded = self.expand(settings, one, scope, path);
        let unsure = !scope.known && {
            let (_, seen) = looked(path, self.file.directives.escape, &scope.variables());
            seen.unset.iter().any(|name| lookup(&scope.env, name).is_none())
        };
        if !scope.workdir && !expanded.starts_with('/') && !unsure {
            let message = format!(
                "Relative workdir {expanded:?} can have unexpected results if the base image changes"
            );
            self.find(settings, "WorkdirRelativePath", one.span.start, message);
        }
        scope.workdir = true;
    }

    fn ports(&mut self, settings: &Settings, one: &Instruction, ports: &[String], scope: &Scope) {
        let expand = |port: &String| expand::words(port, self.file.directives.escape, &scope.variables());
        let ports: Vec<String> = ports.iter().filter_map(|port| expand(port).ok()).flatten().collect();
        for port in ports {
            let container = port.rsplit(':').next().unwrap_or(&port);
            if container.split_once('/').is_some_and(|(_, protocol)| protocol != protocol.to_lowercase()) {
                let message = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
                self.find(settings, "ExposeProtoCasing", one.span.start, message);
            }
            if port.rsplit_once(':').is_some_and(|(before, _)| !before.trim_matches(':').is_empty()) {
                let message = format!(
                    "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                );
                self.find(settings, "ExposeInvalidFormat", one.span.start, message);
            }
        }
    }

    /// `from_context` comes with the word of the message.
    fn transfer(
        &mut self,
        settings: &Settings,
        one: &Instruction,
        (title, from_context): (&str, bool),
        transfer: &Transfer,
        scope: &Scope,
    ) {
        let flags = &transfer.flags;
        for text in [&flags.chown, &flags.chmod, &flags.checksum].into_iter().flatten() {
            self.expand(settings, one, scope, text);
        }
        let sources: Vec<String> =
            transfer.sources.iter().map(|text| self.expand(settings, one, scope, text)).collect();
        self.expand(settings, one, scope, &transfer.target);
        for heredoc in transfer.heredocs.iter().filter(|heredoc| heredoc.expand) {
            let seen = looked_in_text(&heredoc.text, &scope.variables());
            self.undefined(settings, one, scope, seen.unset.iter());
        }
        // Where something is taken back, a folder that stays out may hold files that do not.
        let Some(ignore) = self.around.ignore.filter(|ignore| from_context && !ignore.takes_back()) else {
            return;
        };
        for source in sources.iter().filter(|source| !crate::remote::is_remote(source)) {
            let path = clean(source);
            let root = path == "." || path == "/";
            if if root { ignore.takes_all() } else { ignore.takes(&path) } {
                let message =
                    format!("Attempting to {title} file {path:?} that is excluded by .dockerignore");
                self.find(settings, "CopyIgnoredFile", one.span.start, message);
            }
        }
    }
}
