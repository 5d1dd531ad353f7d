//! How a container ended, as a record on disk and on the wire.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// The record's file in a container's folder.
pub(crate) const FILE: &str = "exit.json";

/// How a container's main process, or one run beside it, ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// As docker tells it: the program's own, 128 and the signal, 126 or 127 when it could not be run.
    pub code: i32,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether the kernel ended a process of the container because its memory was used up.
    #[serde(default)]
    pub oom: bool,
    /// When.
    pub finished_at: Timestamp,
    /// Why the program could not be run at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Exit {
    /// From what the kernel says.
    pub(crate) fn of(code: Option<i32>, signal: Option<i32>, finished_at: Timestamp) -> Self {
        let code = signal.map_or(code.unwrap_or(255), |signal| 128 + signal);
        Self { code, signal, oom: false, finished_at, failure: None }
    }

    /// The record of an earlier run, if there is one and it is whole.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(FILE)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts the record in place as a whole or not at all.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let part = dir.join("exit.json.part");
        let mut file = fs::File::create(&part)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        base::crash::point("shim: exit beside");
        fs::rename(part, dir.join(FILE))?;
        base::crash::point("shim: exit written");
        Ok(())
    }
}
