//! What a build is asked for, what it gives, and the port through which it runs commands.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{Bytes, Report};
use images::{ImageId, Snapshot};
use oci::Reference;

/// What to build.
pub struct BuildRequest {
    /// Where COPY and ADD take files from.
    pub context: Context,
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// The stage to stop at; the last when none.
    pub target: Option<String>,
    /// Names for the image.
    pub tags: Vec<Reference>,
    /// More labels.
    pub labels: BTreeMap<String, String>,
    /// Every step is done anew; what it makes is still remembered.
    pub no_cache: bool,
    /// `SOURCE_DATE_EPOCH`: the time of everything, in seconds since 1970.
    pub epoch: Option<i64>,
    /// The bounds of the commands that are run.
    pub limits: RunLimits,
    /// Ends the build.
    pub cancel: Cancel,
}

/// The files of a build.
pub enum Context {
    /// No files.
    Empty,
    /// A folder of this machine, already without what the ignore file takes.
    Folder(PathBuf),
    /// A tar archive, as [`crate::context::pack`] writes it.
    Archive(Box<dyn Read + Send>),
}

/// A build's off switch; clones switch the same build.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends the build soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the build is to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The image.
    pub image: ImageId,
    /// How many steps there were.
    pub steps: usize,
    /// How many of them came from the cache.
    pub cached: usize,
}

/// Runs a command in a stage. The daemon does it with a container.
pub trait Runner {
    /// Runs the command to its end and gives its exit code, 128 and the signal's number if a signal ended it.
    /// An error means that it did not run at all.
    fn run(&self, order: &RunOrder<'_>, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32, Report>;
}

/// A command to run.
pub struct RunOrder<'a> {
    /// The root: an overlay of these folders. What is written to `upper` becomes the layer.
    pub rootfs: &'a Snapshot,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The folder to start in; it is there.
    pub cwd: String,
    /// `user`, `uid`, `user:group` or `uid:gid`; root when empty.
    pub user: String,
    /// What is mounted for this command alone. Targets may be missing; what is made for them is taken out again here.
    pub mounts: Vec<RunMount>,
    /// Its network.
    pub network: RunNetwork,
    /// Its bounds.
    pub limits: RunLimits,
    /// Ends it.
    pub cancel: Cancel,
}

/// A mount for one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    /// The absolute path inside.
    pub target: String,
    /// What is mounted.
    pub kind: RunMountKind,
    /// May not be written to.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMountKind {
    /// A file or folder of the host.
    Bind(PathBuf),
    /// Memory, bounded if a size is given.
    Tmpfs(Option<Bytes>),
}

/// The network of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunNetwork {
    /// One that leads outward.
    #[default]
    Default,
    /// Loopback alone.
    None,
}

/// Bounds of a command; none means no bound of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunLimits {
    /// Memory.
    pub memory: Option<Bytes>,
    /// Processor weight against others; 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a build tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A step begins.
    Started {
        /// Its number, from 1.
        step: usize,
        /// How many there will be; triggers of a base image add to it.
        total: usize,
        /// The stage, by name or number.
        stage: String,
        /// The instruction.
        text: String,
        /// Its first line.
        line: u32,
    },
    /// The step was done before.
    Cached {
        /// Its number.
        step: usize,
    },
    /// The step is done.
    Finished {
        /// Its number.
        step: usize,
        /// How long it took.
        took_ms: u64,
    },
    /// Output of the step's command, in pieces of at most 64 KiB; not whole lines.
    Output {
        /// Its number.
        step: usize,
        /// Where from.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
    },
    /// Something that is probably not meant.
    Warning {
        /// The line, 0 if it is about none.
        line: u32,
        /// What.
        message: String,
    },
}
