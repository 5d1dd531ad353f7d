//! `google.rpc` and `errdefs`: why a call failed, with what the command shows of it.

use serde::{Deserialize, Serialize};

/// A failed call: `google.rpc.Status`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct RpcStatus {
    /// One of gRPC's codes.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What failed.
    #[prost(string, tag = "2")]
    pub message: String,
    /// More of it.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// A message of any type: `google.protobuf.Any`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Any {
    /// Its type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// The lines of the Dockerfile that failed. It travels as JSON in an [`Any`], as all details of BuildKit do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// The text.
    pub info: SourceText,
    /// The lines.
    pub ranges: Vec<Lines>,
}

/// A text with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceText {
    /// The file's name.
    pub filename: String,
    /// The whole text, in base64.
    pub data: String,
    /// `Dockerfile`.
    pub language: String,
}

/// Lines of a text, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lines {
    /// The first.
    pub start: Line,
    /// The last.
    pub end: Line,
}

/// A line, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Its number.
    pub line: u32,
}

/// The step that failed, or the request that nobody answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Named {
    /// `errdefs.Vertex`.
    Digest(String),
    /// `errdefs.Subrequest`.
    Name(String),
}

impl Any {
    /// A detail of this type of BuildKit's, such as `errdefs.Source`.
    pub(crate) fn json(kind: &str, value: &impl Serialize) -> Self {
        let value = serde_json::to_vec(value).unwrap_or_default();
        Self { type_url: format!("github.com/moby/buildkit/{kind}+json"), value }
    }
}
