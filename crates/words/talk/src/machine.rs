//! The daemon, its machine, and what happens.

use base::{AppName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /v1/daemon`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonView {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Its root folder.
    pub root: String,
    /// When it was started.
    pub started: Timestamp,
    /// Where the edge answers requests by host and path.
    pub http: String,
}

/// A line of `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the journal.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The app that it belongs to, if any.
    pub app: Option<AppName>,
    /// What it happened to.
    pub subject: String,
    /// What happened, as a past-tense noun.
    pub event: String,
    /// The same for people.
    pub message: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// One thing that `sea doctor` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it must be.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// How to mend it.
    pub mend: Option<String>,
}

/// Whether something is as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Good,
    /// Sea runs, with less.
    Weak,
    /// Sea does not run.
    Bad,
}
