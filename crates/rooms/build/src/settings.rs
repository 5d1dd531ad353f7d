//! Instructions that change an image's configuration alone, and what its history says of them.
//!
//! Pure. History lines are those that BuildKit writes, so that `history` looks the same for the same Dockerfile.

use std::time::Duration;

use oci::{Extra, Health, ImageConfig};

use crate::dockerfile::expand::{self, Substitution};
use crate::dockerfile::{Command, Form, Healthcheck, Pair, quoted_list};
use crate::error::StepFault;
use crate::scope::{Global, StageArgs, StageScope, set};

/// What `PATH` is where no image says otherwise.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stage's configuration as it grows.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The image's configuration.
    pub config: ImageConfig,
    /// The arguments declared so far.
    pub args: StageArgs,
    /// Whether this stage has a CMD of its own.
    cmd_set: bool,
    /// What escapes a character in this file.
    escape: char,
}

impl Settings {
    /// On top of an image.
    pub(crate) fn new(mut config: ImageConfig, escape: char) -> Self {
        config.config.on_build.clear();
        Self { config, args: StageArgs::default(), cmd_set: false, escape }
    }

    /// On top of nothing.
    pub(crate) fn scratch(escape: char) -> Self {
        let mut config = ImageConfig::scratch();
        config.config.env = vec![format!("PATH={DEFAULT_PATH}")];
        config.config.working_dir = "/".into();
        Self::new(config, escape)
    }

    /// The text with its variables expanded.
    pub(crate) fn expand(&self, text: &str) -> Result<String, Substitution> {
        expand::word(text, self.escape, &self.scope())
    }

    /// A heredoc's text with its variables expanded.
    pub(crate) fn expand_heredoc(&self, text: &str) -> Result<String, Substitution> {
        expand::heredoc(text, self.escape, &self.scope())
    }

    fn scope(&self) -> StageScope<'_> {
        StageScope { args: &self.args, env: &self.config.config.env }
    }

    /// The command line of a form: a text goes to the shell.
    pub(crate) fn command(&self, form: &Form) -> Vec<String> {
        match form {
            Form::Exec(args) => args.clone(),
            Form::Shell(text) => self.shell().into_iter().chain([text.clone()]).collect(),
        }
    }

    fn shell(&self) -> Vec<String> {
        match self.config.config.shell.as_slice() {
            [] => vec!["/bin/sh".into(), "-c".into()],
            shell => shell.to_vec(),
        }
    }

    /// The folder that relative paths begin in.
    pub(crate) fn folder(&self) -> &str {
        match self.config.config.working_dir.as_str() {
            "" => "/",
            folder => folder,
        }
    }

    /// An absolute path from one that may be relative; a trailing slash stays.
    pub(crate) fn absolute(&self, path: &str) -> String {
        let joined =
            if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.folder()) };
        let clean = base::path::clean(&joined);
        let folder = path.ends_with('/') || path.ends_with("/.") || path == "." || path.is_empty();
        if folder && clean != "/" { format!("{clean}/") } else { clean }
    }

    /// Does an instruction that touches no files. Gives its history line; nothing if it leaves no trace there.
    pub(crate) fn apply(&mut self, command: &Command, global: &Global) -> Result<Option<String>, StepFault> {
        let line = match command {
            Command::Env(pairs) => {
                let pairs = self.pairs(pairs)?;
                pairs.iter().for_each(|(name, value)| set(&mut self.config.config.env, name, value));
                format!("ENV{}", listed(&pairs))
            }
            Command::Label(pairs) => {
                let pairs = self.pairs(pairs)?;
                self.config.config.labels.extend(pairs.iter().cloned());
                format!("LABEL{}", listed(&pairs))
            }
            Command::Arg(items) => {
                let mut line = "ARG".to_owned();
                for item in items {
                    let env = &self.config.config.env;
                    let value = self.args.declare(item, global, env, self.escape)?;
                    let value = value.map(|value| format!("={value}")).unwrap_or_default();
                    line.push_str(&format!(" {}{value}", item.name));
                }
                line
            }
            Command::Cmd(form) => {
                let args = self.command(form);
                self.cmd_set = true;
                let line = format!("CMD {}", quoted_list(&args));
                self.config.config.cmd = Some(args);
                line
            }
            Command::Entrypoint(form) => {
                let args = self.command(form);
                let line = format!("ENTRYPOINT {}", quoted_list(&args));
                self.config.config.entrypoint = Some(args);
                // A base image's CMD was meant for the base image's entrypoint.
                if !self.cmd_set {
                    self.config.config.cmd = None;
                }
                line
            }
            Command::Shell(shell) => {
                self.config.config.shell.clone_from(shell);
                format!("SHELL [{}]", shell.join(" "))
            }
            Command::Onbuild(onbuild) => {
                self.config.config.on_build.push(onbuild.text.clone());
                return Ok(None);
            }
            Command::Healthcheck(check) => self.healthcheck(check),
            other => return self.words(other),
        };
        Ok(Some(line))
    }

    /// The instructions that are a word or a list of words.
    fn words(&mut self, command: &Command) -> Result<Option<String>, StepFault> {
        let line = match command {
            Command::Maintainer(name) => {
                self.config.author = Some(name.clone());
                format!("MAINTAINER {name}")
            }
            Command::User(user) => {
                let user = self.expand(user)?;
                let line = format!("USER {user}");
                self.config.config.user = user;
                line
            }
            Command::StopSignal(signal) => {
                let signal = signal_name(self.expand(signal)?)?;
                let line = format!("STOPSIGNAL {signal}");
                self.config.config.stop_signal = Some(signal);
                line
            }
            Command::Volume(paths) => {
                let paths: Vec<String> =
                    paths.iter().map(|path| self.expand(path)).collect::<Result<_, _>>()?;
                let empty = paths.iter().map(|path| (path.clone(), Extra::new()));
                self.config.config.volumes.extend(empty);
                format!("VOLUME [{}]", paths.join(" "))
            }
            Command::Expose(written) => {
                let mut ports = Vec::new();
                for text in written {
                    for word in expand::words(text, self.escape, &self.scope())? {
                        ports.extend(port_range(&word)?);
                    }
                }
                ports.sort();
                ports.dedup();
                let shown: Vec<String> = ports.iter().map(|port| format!("{port}:{{}}")).collect();
                self.config.config.exposed_ports.extend(ports.into_iter().map(|port| (port, Extra::new())));
                format!("EXPOSE map[{}]", shown.join(" "))
            }
            // The rest changes files; it does not come here.
            _ => return Ok(None),
        };
        Ok(Some(line))
    }

    fn pairs(&self, pairs: &[Pair]) -> Result<Vec<(String, String)>, Substitution> {
        // All values see the variables as they were before the instruction.
        pairs.iter().map(|pair| Ok((self.expand(&pair.name)?, self.expand(&pair.value)?))).collect()
    }

    fn healthcheck(&mut self, check: &Healthcheck) -> String {
        let ns = |time: Option<Duration>| {
            time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
        };
        let health = match check {
            Healthcheck::None => Health { test: vec!["NONE".into()], ..Health::default() },
            Healthcheck::Check(check) => Health {
                test: match &check.command {
                    Form::Exec(args) => ["CMD".to_owned()].into_iter().chain(args.iter().cloned()).collect(),
                    Form::Shell(text) => vec!["CMD-SHELL".into(), text.clone()],
                },
                interval: ns(check.interval),
                timeout: ns(check.timeout),
                start_period: ns(check.start_period),
                start_interval: ns(check.start_interval),
                retries: check.retries.unwrap_or(0).into(),
            },
        };
        let times = [health.interval, health.timeout, health.start_period, health.start_interval];
        let times: Vec<String> = times.iter().map(|ns| format!("\"{}\"", go_duration(*ns))).collect();
        let retries = match u8::try_from(health.retries) {
            Ok(printable @ 32..=126) => format!("'{}'", char::from(printable)),
            _ => format!("'\\x{:02x}'", health.retries),
        };
        let line = format!("HEALTHCHECK &{{{} {} {retries}}}", quoted_list(&health.test), times.join(" "));
        self.config.config.healthcheck = Some(health);
        line
    }
}

fn listed(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!(" {name}={value}")).collect()
}

/// `80`, `80/udp` or `8000-8010/tcp` as single ports.
fn port_range(text: &str) -> Result<Vec<String>, StepFault> {
    let wrong = || StepFault::Value {
        value: text.to_owned(),
        what: "a port",
        allowed: "a number from 1 to 65535 or a range, with /tcp, /udp or /sctp behind it if need be",
    };
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_lowercase();
    // An address and a host's port may stand in front; an image says nothing of the host.
    let ports = ports.rsplit(':').next().unwrap_or(ports);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let read = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    let (first, last) = (read(first)?, read(last)?);
    if first > last || !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(wrong());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// A signal by name or number.
fn signal_name(text: String) -> Result<String, StepFault> {
    const NAMES: &[&str] = &[
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS",
    ];
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = name.starts_with("RTMIN") || name.starts_with("RTMAX");
    let number = text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    if number || real_time || NAMES.contains(&name) {
        return Ok(text);
    }
    Err(StepFault::Value {
        value: text,
        what: "a signal",
        allowed: "a name as in `SIGTERM`, or a number from 1 to 64",
    })
}

/// A duration as Go prints it: `1m30s`, `250ms`, `0s`.
fn go_duration(ns: u64) -> String {
    let fraction = |value: u64, unit: u64, name: &str| {
        let text = format!("{}.{:0width$}", value / unit, value % unit, width = unit.ilog10() as usize);
        format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => fraction(ns, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(ns, 1_000_000, "ms"),
        _ => {
            let minutes = ns / 60_000_000_000;
            let seconds = fraction(ns % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
