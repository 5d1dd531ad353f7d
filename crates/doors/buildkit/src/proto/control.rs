//! `moby.buildkit.v1` and `moby.buildkit.v1.types`: what is asked of the builder, and what it tells.

use std::collections::HashMap;

use super::Moment;
use super::ops::{Definition, Platform, Range, SourceInfo};

/// Asks for a build, or opens one that a gateway client conducts.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SolveRequest {
    /// The build's name, given by the client.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// A graph to solve.
    #[prost(message, optional, tag = "2")]
    pub definition: Option<Definition>,
    /// The first exporter, as old clients say it.
    #[prost(string, tag = "3")]
    pub exporter: String,
    /// Its attributes.
    #[prost(map = "string, string", tag = "4")]
    pub exporter_attrs: HashMap<String, String>,
    /// The client's session.
    #[prost(string, tag = "5")]
    pub session: String,
    /// The frontend; none when a gateway client conducts.
    #[prost(string, tag = "6")]
    pub frontend: String,
    /// Its options.
    #[prost(map = "string, string", tag = "7")]
    pub frontend_attrs: HashMap<String, String>,
    /// Where cached results come from and go to.
    #[prost(message, optional, tag = "8")]
    pub cache: Option<CacheOptions>,
    /// What the build may do beyond the usual.
    #[prost(string, repeated, tag = "9")]
    pub entitlements: Vec<String>,
    /// Graphs that the frontend takes as named contexts.
    #[prost(map = "string, message", tag = "10")]
    pub frontend_inputs: HashMap<String, Definition>,
    /// Where the result goes.
    #[prost(message, repeated, tag = "13")]
    pub exporters: Vec<Exporter>,
}

/// Where the result goes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Exporter {
    /// `moby`, `image`, `local`, `tar` …
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its attributes.
    #[prost(map = "string, string", tag = "2")]
    pub attrs: HashMap<String, String>,
}

/// Where cached results come from and go to.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CacheOptions {
    /// To.
    #[prost(message, repeated, tag = "4")]
    pub exports: Vec<CacheEntry>,
    /// From.
    #[prost(message, repeated, tag = "5")]
    pub imports: Vec<CacheEntry>,
}

/// One place of cached results.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CacheEntry {
    /// `inline`, `registry`, `local` …
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its attributes.
    #[prost(map = "string, string", tag = "2")]
    pub attrs: HashMap<String, String>,
}

/// What the exporters say.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct SolveResponse {
    /// By well-known names, such as `containerimage.digest`.
    #[prost(map = "string, string", tag = "1")]
    pub exporter_response: HashMap<String, String>,
}

/// Asks for the progress of a build.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct StatusRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub reference: String,
}

/// Progress.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatusResponse {
    /// Steps.
    #[prost(message, repeated, tag = "1")]
    pub vertexes: Vec<Vertex>,
    /// Parts of steps.
    #[prost(message, repeated, tag = "2")]
    pub statuses: Vec<VertexStatus>,
    /// Output.
    #[prost(message, repeated, tag = "3")]
    pub logs: Vec<VertexLog>,
    /// Warnings.
    #[prost(message, repeated, tag = "4")]
    pub warnings: Vec<VertexWarning>,
}

/// A step.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Vertex {
    /// Its name for programs.
    #[prost(string, tag = "1")]
    pub digest: String,
    /// The steps before it.
    #[prost(string, repeated, tag = "2")]
    pub inputs: Vec<String>,
    /// Its name for people.
    #[prost(string, tag = "3")]
    pub name: String,
    /// It was done before.
    #[prost(bool, tag = "4")]
    pub cached: bool,
    /// When it began.
    #[prost(message, optional, tag = "5")]
    pub started: Option<Moment>,
    /// When it ended.
    #[prost(message, optional, tag = "6")]
    pub completed: Option<Moment>,
    /// Why it failed.
    #[prost(string, tag = "7")]
    pub error: String,
}

/// A part of a step, such as a transfer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct VertexStatus {
    /// Its name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The step.
    #[prost(string, tag = "2")]
    pub vertex: String,
    /// How far it is.
    #[prost(int64, tag = "4")]
    pub current: i64,
    /// How far it goes; 0 when nobody knows.
    #[prost(int64, tag = "5")]
    pub total: i64,
    /// When this was said.
    #[prost(message, optional, tag = "6")]
    pub timestamp: Option<Moment>,
    /// When it began.
    #[prost(message, optional, tag = "7")]
    pub started: Option<Moment>,
    /// When it ended.
    #[prost(message, optional, tag = "8")]
    pub completed: Option<Moment>,
}

/// Output of a step.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct VertexLog {
    /// The step.
    #[prost(string, tag = "1")]
    pub vertex: String,
    /// When.
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<Moment>,
    /// 1 is standard output, 2 standard error.
    #[prost(int64, tag = "3")]
    pub stream: i64,
    /// The bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub msg: Vec<u8>,
}

/// Something that is probably not meant.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VertexWarning {
    /// The step it is said with.
    #[prost(string, tag = "1")]
    pub vertex: String,
    /// How grave.
    #[prost(int64, tag = "2")]
    pub level: i64,
    /// In a line.
    #[prost(bytes = "vec", tag = "3")]
    pub short: Vec<u8>,
    /// In more lines.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub detail: Vec<Vec<u8>>,
    /// Where to read of it.
    #[prost(string, tag = "5")]
    pub url: String,
    /// The text.
    #[prost(message, optional, tag = "6")]
    pub info: Option<SourceInfo>,
    /// The lines.
    #[prost(message, repeated, tag = "7")]
    pub ranges: Vec<Range>,
}

/// Who builds here.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListWorkersResponse {
    /// One.
    #[prost(message, repeated, tag = "1")]
    pub record: Vec<WorkerRecord>,
}

/// A worker.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkerRecord {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What it says of itself.
    #[prost(map = "string, string", tag = "2")]
    pub labels: HashMap<String, String>,
    /// What it builds for.
    #[prost(message, repeated, tag = "3")]
    pub platforms: Vec<Platform>,
    /// What it forgets, and when.
    #[prost(message, repeated, tag = "4")]
    pub gc_policy: Vec<GcPolicy>,
    /// Its version.
    #[prost(message, optional, tag = "5")]
    pub version: Option<BuildkitVersion>,
}

/// What is forgotten, and when.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GcPolicy {
    /// Everything.
    #[prost(bool, tag = "1")]
    pub all: bool,
    /// Nothing younger, in nanoseconds.
    #[prost(int64, tag = "2")]
    pub keep_duration: i64,
    /// Only this.
    #[prost(string, repeated, tag = "4")]
    pub filters: Vec<String>,
    /// The most bytes that are kept.
    #[prost(int64, tag = "5")]
    pub max_used_space: i64,
}

/// A version.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct BuildkitVersion {
    /// Whose.
    #[prost(string, tag = "1")]
    pub package: String,
    /// Its number.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Its commit.
    #[prost(string, tag = "3")]
    pub revision: String,
}

/// What answers here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct InfoResponse {
    /// Its version.
    #[prost(message, optional, tag = "1")]
    pub version: Option<BuildkitVersion>,
}

/// Asks what the cache holds.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct DiskUsageRequest {
    /// Only this.
    #[prost(string, repeated, tag = "1")]
    pub filter: Vec<String>,
}

/// What the cache holds.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DiskUsageResponse {
    /// Records.
    #[prost(message, repeated, tag = "1")]
    pub record: Vec<UsageRecord>,
}

/// Asks to empty the cache.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct PruneRequest {
    /// Only this.
    #[prost(string, repeated, tag = "1")]
    pub filter: Vec<String>,
    /// Also what is not dangling.
    #[prost(bool, tag = "2")]
    pub all: bool,
    /// Nothing younger, in nanoseconds.
    #[prost(int64, tag = "3")]
    pub keep_duration: i64,
}

/// Something in the cache.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct UsageRecord {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// It may change.
    #[prost(bool, tag = "2")]
    pub mutable: bool,
    /// It is in use.
    #[prost(bool, tag = "3")]
    pub in_use: bool,
    /// Its bytes.
    #[prost(int64, tag = "4")]
    pub size: i64,
    /// When it was made.
    #[prost(message, optional, tag = "6")]
    pub created: Option<Moment>,
    /// When it was used last.
    #[prost(message, optional, tag = "7")]
    pub used: Option<Moment>,
    /// How often it was used.
    #[prost(int64, tag = "8")]
    pub usage_count: i64,
    /// What it is.
    #[prost(string, tag = "9")]
    pub description: String,
    /// `regular`, `source.local`, `exec.cachemount` …
    #[prost(string, tag = "10")]
    pub record_type: String,
    /// An image has it too.
    #[prost(bool, tag = "11")]
    pub shared: bool,
}

/// Asks for builds of the past and of now.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct BuildHistoryRequest {
    /// Only of now.
    #[prost(bool, tag = "1")]
    pub active_only: bool,
    /// Only this one.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// Do not wait for more.
    #[prost(bool, tag = "3")]
    pub early_exit: bool,
}
