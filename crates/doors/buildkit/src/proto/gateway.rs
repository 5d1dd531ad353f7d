//! `moby.buildkit.v1.frontend`: what a client that conducts its build itself asks for.

use std::collections::HashMap;

use super::control::{CacheEntry, WorkerRecord};
use super::errors::RpcStatus;
use super::files::Stat;
use super::ops::{Definition, Platform, Range, SourceInfo, SourceOp};

/// Asks for a result.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SolveRequest {
    /// A graph to solve, where no frontend is named.
    #[prost(message, optional, tag = "1")]
    pub definition: Option<Definition>,
    /// `dockerfile.v0`, `gateway.v0`.
    #[prost(string, tag = "2")]
    pub frontend: String,
    /// Its options.
    #[prost(map = "string, string", tag = "3")]
    pub frontend_opt: HashMap<String, String>,
    /// The client takes a [`Result`].
    #[prost(bool, tag = "5")]
    pub allow_result_return: bool,
    /// The client takes a [`Ref`] in it.
    #[prost(bool, tag = "6")]
    pub allow_result_array_ref: bool,
    /// Where cached results come from.
    #[prost(message, repeated, tag = "12")]
    pub cache_imports: Vec<CacheEntry>,
    /// Named contexts.
    #[prost(map = "string, message", tag = "13")]
    pub frontend_inputs: HashMap<String, Definition>,
    /// Do it now.
    #[prost(bool, tag = "14")]
    pub evaluate: bool,
}

/// Names a result.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SolveResponse {
    /// As very old clients take it.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// As others do.
    #[prost(message, optional, tag = "3")]
    pub result: Option<Result>,
}

/// A result.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Result {
    /// Where it is.
    #[prost(oneof = "Place", tags = "1, 2, 3, 4")]
    pub place: Option<Place>,
    /// What is said of it, by well-known names.
    #[prost(map = "string, bytes", tag = "10")]
    pub metadata: HashMap<String, Vec<u8>>,
}

/// Where a result is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Place {
    /// One, by id, as old clients say it.
    #[prost(string, tag = "1")]
    OldRef(String),
    /// Several, as old clients say it.
    #[prost(message, tag = "2")]
    OldRefs(OldRefMap),
    /// One.
    #[prost(message, tag = "3")]
    Ref(Ref),
    /// One a platform.
    #[prost(message, tag = "4")]
    Refs(RefMap),
}

/// Results by platform, as old clients say it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct OldRefMap {
    /// Ids.
    #[prost(map = "string, string", tag = "1")]
    pub refs: HashMap<String, String>,
}

/// A result's name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ref {
    /// Its id; empty for an empty root.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The graph that makes it.
    #[prost(message, optional, tag = "2")]
    pub def: Option<Definition>,
}

/// Results by platform.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RefMap {
    /// Names.
    #[prost(map = "string, message", tag = "1")]
    pub refs: HashMap<String, Ref>,
}

/// The client is done.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReturnRequest {
    /// This is the build's result.
    #[prost(message, optional, tag = "1")]
    pub result: Option<Result>,
    /// Or this is why there is none.
    #[prost(message, optional, tag = "2")]
    pub error: Option<RpcStatus>,
}

/// The named contexts of a build.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct InputsResponse {
    /// By name.
    #[prost(map = "string, message", tag = "1")]
    pub definitions: HashMap<String, Definition>,
}

/// Asks for an image's configuration.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ResolveImageConfigRequest {
    /// The image.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// For this platform.
    #[prost(message, optional, tag = "2")]
    pub platform: Option<Platform>,
    /// `default`, `pull`, `local`.
    #[prost(string, tag = "3")]
    pub resolve_mode: String,
}

/// An image's configuration.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ResolveImageConfigResponse {
    /// The image's digest.
    #[prost(string, tag = "1")]
    pub digest: String,
    /// The configuration's document.
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
    /// The image.
    #[prost(string, tag = "3")]
    pub reference: String,
}

/// Asks what a source is now.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ResolveSourceMetaRequest {
    /// The source.
    #[prost(message, optional, tag = "1")]
    pub source: Option<SourceOp>,
    /// For this platform.
    #[prost(message, optional, tag = "2")]
    pub platform: Option<Platform>,
    /// `default`, `pull`, `local`.
    #[prost(string, tag = "4")]
    pub resolve_mode: String,
}

/// What a source is now.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ResolveSourceMetaResponse {
    /// The source, pinned.
    #[prost(message, optional, tag = "1")]
    pub source: Option<SourceOp>,
    /// It is an image.
    #[prost(message, optional, tag = "2")]
    pub image: Option<ResolveSourceImageResponse>,
}

/// An image as a source.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ResolveSourceImageResponse {
    /// Its digest.
    #[prost(string, tag = "1")]
    pub digest: String,
    /// Its configuration's document.
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
}

/// Asks for a file of a result.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ReadFileRequest {
    /// The result.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// The file.
    #[prost(string, tag = "2")]
    pub path: String,
    /// A part of it.
    #[prost(message, optional, tag = "3")]
    pub range: Option<FileRange>,
}

/// A part of a file.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct FileRange {
    /// From here.
    #[prost(int64, tag = "1")]
    pub offset: i64,
    /// So much; 0 is all.
    #[prost(int64, tag = "2")]
    pub length: i64,
}

/// A file of a result.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ReadFileResponse {
    /// Its bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
}

/// Asks for a folder of a result.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ReadDirRequest {
    /// The result.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// The folder.
    #[prost(string, tag = "2")]
    pub path: String,
    /// Only names like this.
    #[prost(string, tag = "3")]
    pub include: String,
}

/// A folder of a result.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadDirResponse {
    /// What it holds.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Stat>,
}

/// Asks what is at a path of a result.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct StatFileRequest {
    /// The result.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// The path.
    #[prost(string, tag = "2")]
    pub path: String,
}

/// What is at a path of a result.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatFileResponse {
    /// It.
    #[prost(message, optional, tag = "1")]
    pub stat: Option<Stat>,
}

/// Asks to do a result now.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct EvaluateRequest {
    /// The result.
    #[prost(string, tag = "1")]
    pub reference: String,
}

/// What can be asked here.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PongResponse {
    /// Of the gateway.
    #[prost(message, repeated, tag = "1")]
    pub frontend_caps: Vec<Cap>,
    /// Of graphs.
    #[prost(message, repeated, tag = "2")]
    pub llb_caps: Vec<Cap>,
    /// Who builds here.
    #[prost(message, repeated, tag = "3")]
    pub workers: Vec<WorkerRecord>,
}

/// Something that can be asked here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Cap {
    /// Its name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// It can.
    #[prost(bool, tag = "2")]
    pub enabled: bool,
}

/// A warning of the client's own.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WarnRequest {
    /// The step it is said with.
    #[prost(string, tag = "1")]
    pub digest: String,
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
