//! What is asked for, and the port through which files are read.

use std::collections::BTreeMap;
use std::io;

/// Which files to load, and how: the flags of a command and its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The folder that the command runs in; absolute.
    pub working_dir: String,
    /// The process's environment: `HOME`, `COMPOSE_*` and what interpolation uses.
    pub environment: BTreeMap<String, String>,
    /// `-f`, in order; `-` is standard input. When empty, `COMPOSE_FILE` and then the search order decide.
    pub files: Vec<String>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--project-directory`.
    pub project_dir: Option<String>,
    /// `--profile`; `*` enables all. When empty, `COMPOSE_PROFILES` decides.
    pub profiles: Vec<String>,
    /// `--env-file`, in order. When empty, `COMPOSE_ENV_FILES` and then `.env` decide.
    pub env_files: Vec<String>,
    /// Only these services and what they depend on; all when empty.
    pub services: Vec<String>,
    /// Leave variables as they are written (`config --no-interpolate`).
    pub no_interpolate: bool,
    /// Stages that are left out.
    pub skip: Skip,
}

/// Stages of a load that can be left out, to see what the files say without them. What comes out is to be read, and
/// may be no project that can run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skip {
    /// What is implied stays unsaid: default networks, names, dependencies (`config --no-normalize`).
    pub normalize: bool,
    /// Paths stay as they are written (`config --no-path-resolution`).
    pub paths: bool,
    /// Nobody asks whether the parts fit together (`config --no-consistency`).
    pub consistency: bool,
    /// Files of variables and labels stay unread (`config --no-env-resolution`).
    pub env_files: bool,
}

impl Request {
    /// A request for whatever is found from this folder upwards.
    pub fn new(working_dir: impl Into<String>) -> Self {
        Self {
            working_dir: working_dir.into(),
            environment: BTreeMap::new(),
            files: Vec::new(),
            project_name: None,
            project_dir: None,
            profiles: Vec::new(),
            env_files: Vec::new(),
            services: Vec::new(),
            no_interpolate: false,
            skip: Skip::default(),
        }
    }
}

/// How files are read; the caller decides from where. All paths are absolute, but for `-`, standard input.
pub trait Files {
    /// The whole file.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// Whether something is there, a file or a folder.
    fn exists(&self, path: &str) -> bool;
    /// Whether a folder is there.
    fn is_dir(&self, path: &str) -> bool;
    /// The path with its first symbolic link resolved; none when no part of it is one.
    fn resolve_link(&self, path: &str) -> Option<String> {
        let _ = path;
        None
    }
}

/// Files that live in memory, for tests and for files that came over a socket.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles(pub BTreeMap<String, Vec<u8>>);

impl MemoryFiles {
    /// The same with one file more.
    #[must_use]
    pub fn with(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.into(), content.into());
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn exists(&self, path: &str) -> bool {
        self.0.contains_key(path) || self.is_dir(path)
    }

    fn is_dir(&self, path: &str) -> bool {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        self.0.range(prefix.clone()..).next().is_some_and(|(name, _)| name.starts_with(&prefix))
    }
}
