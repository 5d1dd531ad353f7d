//! What is kept of a container on disk: `container.json` in its folder, replaced as a whole.
//!
//! The record is written under another name and renamed, so a crash of the daemon leaves the old one or the new one. It is
//! not flushed to the disk before a start: after a crash of the whole machine nothing runs, and a container whose
//! record is gone is cleared away.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use base::{
    AppName, ContainerId, ContainerName, ReleaseNumber, Revision, ServiceName, Timestamp, VolumeName,
};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use spec::{Attachment, Blob, Restart, Service};

use crate::problem::RecordError;

/// The version of the record that this program writes.
pub(crate) const VERSION: u32 = 1;
const FILE: &str = "container.json";

/// A container as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this form that it was written in.
    pub version: u32,
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// When it was made.
    pub created: Timestamp,
    /// The image by the name that was asked for.
    pub image: String,
    /// The image by digest.
    pub image_id: String,
    /// How it runs.
    pub service: Service,
    /// The networks that it joins, by name, in the order of its interfaces.
    pub networks: IndexMap<String, Attachment>,
    /// The volumes that its mounts name, by key.
    pub volumes: BTreeMap<String, VolumeName>,
    /// The volumes of its own, by target; they go with it.
    pub anonymous: BTreeMap<String, VolumeName>,
    /// Secrets and configs as files.
    pub files: Vec<FileRecord>,
    /// Which instance of which app it is, if it is one.
    pub owner: Option<Owner>,
    /// It is removed when it ends.
    pub auto_remove: bool,
    /// Whether all of it is there.
    #[serde(default)]
    pub stage: Stage,
    /// How it is.
    pub state: State,
    /// How often it was started again since somebody last started it.
    pub restarts: u32,
    /// A person stopped it, so nobody starts it but a person.
    pub stopped_by_hand: bool,
    /// Its bounds changed while it ran, and it may not have them yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bounds_due: bool,
    /// It is frozen while an image is made of it, and goes on afterwards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held_still: bool,
    /// What a door was asked for when it was made, in that door's words; for it to tell again.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub asked: serde_json::Value,
}

/// Which instance of which app a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The app.
    pub app: AppName,
    /// Its service.
    pub service: ServiceName,
    /// What the instance was made from.
    pub revision: Revision,
    /// Unique among the service's instances that exist.
    pub number: u32,
    /// The release that asked for it.
    pub release: ReleaseNumber,
    /// A one-off job.
    pub job: bool,
}

/// A file with these bytes in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The absolute path inside.
    pub target: String,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// The bytes; gone from the record once the file is written.
    #[serde(default, skip)]
    pub content: Blob,
}

/// How far a container is made or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Something of it may not be there yet. After a crash it is cleared away.
    Making,
    /// All of it is there.
    #[default]
    Whole,
    /// Something of it may be gone. After a crash the rest goes, too.
    Going {
        /// With the volumes of its own.
        volumes: bool,
    },
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// Made, and never started.
    Created,
    /// Its process runs.
    Running {
        /// Its process on the host.
        pid: u32,
        /// Since when.
        started: Timestamp,
        /// When it was well for the first time in this run.
        ready: Option<Timestamp>,
        /// Frozen.
        paused: bool,
    },
    /// Its process ended.
    Exited {
        /// As docker gives it: 128 and the signal's number when one ended it.
        code: i32,
        /// Memory was short.
        oom: bool,
        /// We stopped it.
        asked: bool,
        /// We stopped it because its health check failed.
        #[serde(default)]
        sick: bool,
        /// When the run began.
        started: Timestamp,
        /// When it was well for the first time in that run.
        ready: Option<Timestamp>,
        /// When the run ended.
        finished: Timestamp,
        /// Why it could not even start, if so.
        error: Option<String>,
    },
}

impl State {
    /// Whether its process runs.
    pub fn runs(&self) -> bool {
        match self {
            Self::Running { .. } => true,
            Self::Created | Self::Exited { .. } => false,
        }
    }
}

impl Record {
    /// The images that it cannot be without: its own, and those that it has mounted.
    pub fn images(&self) -> Vec<String> {
        let mounted = self.service.mounts.iter().filter_map(|mount| match &mount.kind {
            spec::MountKind::Image { image, .. } => Some(image.clone()),
            _ => None,
        });
        std::iter::once(self.image_id.clone()).chain(mounted).collect()
    }

    /// Whether it has ended and its restart policy starts it again.
    pub fn restarts_soon(&self) -> bool {
        let State::Exited { code, asked, .. } = self.state else { return false };
        let wanted = match self.service.restart {
            Restart::No => false,
            Restart::Always | Restart::UnlessStopped => true,
            Restart::OnFailure { max_retries } => {
                code != 0 && (max_retries == 0 || self.restarts < max_retries)
            }
        };
        wanted && !asked && !self.stopped_by_hand
    }

    /// Whether shared names lead to it only while it is well: so do those of a service, which has other instances to
    /// lead to. Of a container that somebody made by hand they lead to it as long as it runs, as docker's clients expect.
    pub(crate) fn names_wait(&self) -> bool {
        self.owner.is_some()
    }

    /// Reads the record in this folder.
    pub(crate) fn read(folder: &Path) -> Result<Self, RecordError> {
        let path = folder.join(FILE);
        let text =
            fs::read(&path).map_err(|source| RecordError::Unreadable { path: path.clone(), source })?;
        let record: Self = serde_json::from_slice(&text)
            .map_err(|source| RecordError::Malformed { path: path.clone(), source })?;
        if record.version > VERSION {
            return Err(RecordError::TooNew { path, version: record.version });
        }
        Ok(record)
    }

    /// Replaces the record in this folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), RecordError> {
        let path = folder.join(FILE);
        let unwritable = |source: io::Error| RecordError::Unwritable { path: path.clone(), source };
        let text = serde_json::to_vec(self).map_err(|error| unwritable(error.into()))?;
        let fresh = folder.join("container.json.new");
        fs::write(&fresh, text).map_err(unwritable)?;
        base::crash::point("container: new record beside the old");
        fs::rename(&fresh, &path).map_err(unwritable)?;
        base::crash::point("container: record written");
        Ok(())
    }

    /// The digits of the id that people are shown.
    pub fn short_id(&self) -> &str {
        self.id.short()
    }
}
