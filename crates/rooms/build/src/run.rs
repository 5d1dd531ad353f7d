//! RUN: the command line, its environment and mounts; then the run, and what it leaves.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::dockerfile::{Form, Heredoc, Run};
use crate::error::StepFault;
use crate::mounts::MountPlan;
use crate::runner::RunNetwork;
use crate::scope::{Global, lookup};
use crate::settings::{DEFAULT_PATH, Settings};
use crate::tree::{Node, Tree};

/// Where a heredoc that is a program of its own stands while it runs.
const SCRIPTS: &str = "/dev/pipes";
/// What a container's runtime makes in a root that lacks it, and what must not become a part of the image.
const RUNTIME_STUBS: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/dev/shm",
    "/dev/pts",
    "/dev/mqueue",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/hostname",
];

/// A RUN whose variables are expanded.
pub(crate) struct Plan {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// A program that stands in the Dockerfile, and where it is mounted.
    pub script: Option<(String, String)>,
    pub mounts: Vec<MountPlan>,
    pub network: RunNetwork,
    /// `NAME=value`, as the image has it and with the stage's arguments.
    env: Vec<String>,
    /// What the history says.
    pub line: String,
    user: String,
    folder: String,
}

impl Plan {
    /// Expands. `network` is what holds where the RUN says nothing.
    pub(crate) fn new(run: &Run, settings: &Settings, network: &RunNetwork) -> Result<Self, StepFault> {
        let network = match run.network.as_deref().map(|text| settings.expand(text)).transpose()?.as_deref() {
            None | Some("default") => network.clone(),
            Some("none") => RunNetwork::None,
            // Who may build may run commands in the host's network, but only who builds says so.
            Some("host") if *network == RunNetwork::Host => RunNetwork::Host,
            Some("host") => {
                return Err(unsupported(
                    "`--network=host` of a RUN alone",
                    "give the build `--network host`, if you trust the Dockerfile with the host's network",
                ));
            }
            Some(other) => return Err(value(other, "a network", "default, none or host")),
        };
        match run.security.as_deref() {
            None | Some("sandbox") => {}
            Some("insecure") => {
                return Err(unsupported(
                    "`--security=insecure`",
                    "commands of builds run confined, because a Dockerfile is other people's code; do what needs more \
                     rights in a privileged container, and commit that",
                ));
            }
            Some(other) => return Err(value(other, "a security mode", "sandbox")),
        }
        if let Some(device) = run.devices.first() {
            return Err(unsupported(&format!("`--device={device}`"), "builds have no devices"));
        }
        let mounts = run.mounts.iter().enumerate().map(|(index, flag)| MountPlan::new(flag, index, settings));
        let mounts = mounts.collect::<Result<Vec<_>, _>>()?;
        let (form, script) = with_heredocs(run);
        let args = match &script {
            Some((path, _)) => settings.command(&Form::Shell(path.clone())),
            None => settings.command(&form),
        };
        let config = &settings.config.config;
        let declared: Vec<String> =
            settings.args.values(&config.env).map(|(name, value)| format!("{name}={value}")).collect();
        let mut words = Vec::new();
        if !declared.is_empty() {
            words.push(format!("|{}", declared.len()));
            words.extend(declared.iter().cloned());
        }
        words.extend(args.iter().cloned());
        let line = format!("RUN {} # buildkit", words.join(" "));
        let mut env = config.env.clone();
        let fresh = declared
            .into_iter()
            .filter(|pair| pair.split_once('=').is_none_or(|(name, _)| lookup(&config.env, name).is_none()));
        env.extend(fresh);
        let (user, folder) = (config.user.clone(), settings.folder().to_owned());
        Ok(Self { args, script, mounts, network, env, line, user, folder })
    }

    /// All that decides what the command will do, beyond the layers below it and what is mounted.
    pub(crate) fn key(&self) -> String {
        let mounts: Vec<String> = self.mounts.iter().map(MountPlan::key).collect();
        format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
            self.args, self.script, mounts, self.network, self.env, self.user, self.folder
        )
    }

    /// The environment with what a command needs beyond it.
    pub(crate) fn environment(&self, global: &Global) -> Vec<String> {
        let mut env = self.env.clone();
        if lookup(&env, "PATH").is_none() {
            env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for (name, value) in global.proxies() {
            if lookup(&env, name).is_none() {
                env.push(format!("{name}={value}"));
            }
        }
        env
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }
}

/// The command with its heredocs: one alone is the command, or a program if it begins with `#!`; others go to the
/// shell as they stand.
fn with_heredocs(run: &Run) -> (Form, Option<(String, String)>) {
    let (Form::Shell(text), Some(first)) = (&run.command, run.heredocs.first()) else {
        return (run.command.clone(), None);
    };
    if text.trim() != first.mark {
        let lines = |heredoc: &Heredoc| format!("\n{}{}", heredoc.text, heredoc.name);
        let rest: String = run.heredocs.iter().map(lines).collect();
        return (Form::Shell(format!("{text}{rest}")), None);
    }
    if first.text.starts_with("#!") {
        return (run.command.clone(), Some((format!("{SCRIPTS}/{}", first.name), first.text.clone())));
    }
    (Form::Shell(first.text.clone()), None)
}

fn unsupported(what: &str, instead: &'static str) -> StepFault {
    StepFault::Unsupported { what: what.to_owned(), instead }
}

fn value(value: &str, what: &'static str, allowed: &'static str) -> StepFault {
    StepFault::Value { value: value.to_owned(), what, allowed }
}

/// Writes a program that stands in the Dockerfile to where it can be mounted from.
pub(crate) fn write_script(folder: &Path, text: &str) -> io::Result<PathBuf> {
    let path = folder.join("script");
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Places that are missing before a run and must be missing behind it: where something is only mounted.
pub(crate) struct Stubs(Vec<PathBuf>);

impl Stubs {
    /// Looks for the missing ones of these targets and of what runtimes make.
    pub(crate) fn before<'a>(tree: &Tree, targets: impl Iterator<Item = &'a str>) -> Self {
        let mut missing = Vec::new();
        for target in targets.chain(RUNTIME_STUBS.iter().copied()) {
            let Ok(found) = tree.find(Path::new(target), true) else { continue };
            if found.node.is_some() {
                continue;
            }
            // The folders above may be missing too; the deepest goes first.
            for path in found.path.ancestors().take_while(|path| !path.as_os_str().is_empty()) {
                let there =
                    tree.find(path, false).is_ok_and(|found| matches!(found.node, Some(Node::Folder(..))));
                if there || missing.iter().any(|known| known == path) {
                    break;
                }
                missing.push(path.to_owned());
            }
        }
        missing.sort_by_key(|path| std::cmp::Reverse(path.iter().count()));
        Self(missing)
    }

    /// Takes them out of the layer, as far as they are empty: what a command wrote there stays.
    pub(crate) fn clean(&self, upper: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for path in &self.0 {
            let mut folder = rustix::fs::open(upper, flags, Mode::empty())?;
            let parents = path.parent().into_iter().flat_map(Path::iter);
            let reached = parents.into_iter().try_for_each(|name| {
                folder = rustix::fs::openat(&folder, name, flags, Mode::empty())?;
                Ok::<(), rustix::io::Errno>(())
            });
            let Some(name) = path.file_name().filter(|_| reached.is_ok()) else { continue };
            let Ok(stat) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match crate::tree::kind(&stat) {
                // A folder that holds something is refused by the kernel, which is what we want.
                rustix::fs::FileType::Directory => {
                    let _ = rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR);
                }
                rustix::fs::FileType::RegularFile if stat.st_size == 0 => {
                    rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
