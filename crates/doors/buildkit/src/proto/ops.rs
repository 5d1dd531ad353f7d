//! `pb`: graphs, and places in source text.

use std::collections::HashMap;

/// A graph: operations of which the last is its end.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Definition {
    /// Each one an [`Op`].
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub def: Vec<bytes::Bytes>,
    /// By the digest of an operation; clients take a graph without any for none.
    #[prost(map = "string, message", tag = "2")]
    pub metadata: HashMap<String, super::Empty>,
}

/// An operation.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Op {
    /// What it works on.
    #[prost(message, repeated, tag = "1")]
    pub inputs: Vec<Input>,
    /// It is a source.
    #[prost(message, optional, tag = "3")]
    pub source: Option<SourceOp>,
}

/// A result that an operation works on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Input {
    /// The digest of the operation that makes it.
    #[prost(string, tag = "1")]
    pub digest: String,
    /// Which one of its results.
    #[prost(int64, tag = "2")]
    pub index: i64,
}

/// Where files come from.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct SourceOp {
    /// `local://context`, `docker-image://…`, `git://…`, `https://…`
    #[prost(string, tag = "1")]
    pub identifier: String,
    /// How.
    #[prost(map = "string, string", tag = "2")]
    pub attrs: HashMap<String, String>,
}

/// A platform.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Platform {
    /// `amd64` …
    #[prost(string, tag = "1")]
    pub architecture: String,
    /// `linux`.
    #[prost(string, tag = "2")]
    pub os: String,
    /// `v7` …
    #[prost(string, tag = "3")]
    pub variant: String,
}

/// A text with its name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SourceInfo {
    /// The file's name.
    #[prost(string, tag = "1")]
    pub filename: String,
    /// The whole text.
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
    /// `Dockerfile`.
    #[prost(string, tag = "4")]
    pub language: String,
}

/// Lines of a text.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Range {
    /// The first.
    #[prost(message, optional, tag = "1")]
    pub start: Option<Position>,
    /// The last.
    #[prost(message, optional, tag = "2")]
    pub end: Option<Position>,
}

/// A place in a text.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Position {
    /// From 1.
    #[prost(int32, tag = "1")]
    pub line: i32,
    /// From 0.
    #[prost(int32, tag = "2")]
    pub character: i32,
}

impl Range {
    /// These lines, both included.
    pub(crate) fn lines(first: u32, last: u32) -> Self {
        let at = |line| Some(Position { line: i32::try_from(line).unwrap_or(i32::MAX), character: 0 });
        Self { start: at(first), end: at(last) }
    }
}
