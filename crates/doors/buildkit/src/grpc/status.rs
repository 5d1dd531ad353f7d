//! How a call ends: a code, a message, details; and how that is written into trailers.

use base::{Kind, percent};
use bytes::Bytes;
use data_encoding::{BASE64, BASE64_NOPAD};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use prost::Message;

use crate::proto::errors::{Any, RpcStatus};

/// The most bytes of details that go into a trailer; beyond it they stay behind, the message never does.
const DETAIL_BYTES: usize = 512 << 10;
/// The most bytes of a message.
const MESSAGE_BYTES: usize = 64 << 10;

/// gRPC's codes, as far as they are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Code {
    /// It went well.
    Ok = 0,
    /// Somebody ended it.
    Cancelled = 1,
    /// It failed. Commands print the message of this code as it is, and put the name of any other in front.
    Unknown = 2,
    /// What was asked makes no sense.
    InvalidArgument = 3,
    /// It took too long.
    DeadlineExceeded = 4,
    /// It is not there.
    NotFound = 5,
    /// It is there already.
    AlreadyExists = 6,
    /// A bound was reached.
    ResourceExhausted = 8,
    /// Nobody does that here.
    Unimplemented = 12,
    /// Our own fault.
    Internal = 13,
    /// The other end is gone.
    Unavailable = 14,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Status {
    /// The code; numbers that have no name here are `Unknown`.
    pub code: Code,
    /// What failed.
    pub message: String,
    /// More of it.
    pub details: Vec<Any>,
}

impl Status {
    /// Without details.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// A failure whose message is shown as it is.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Code::Unknown, message)
    }

    /// Nobody does that here.
    pub(crate) fn unimplemented(what: impl std::fmt::Display) -> Self {
        Self::new(Code::Unimplemented, format!("{what} is not supported"))
    }

    pub(crate) fn ok() -> Self {
        Self::new(Code::Ok, "")
    }

    /// What the trailers of an answer say; without a status the answer was cut.
    pub(crate) fn from_trailers(headers: &HeaderMap) -> Option<Self> {
        let code: i32 = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
        let message = headers.get("grpc-message").map(percent::decode).unwrap_or_default();
        let details = headers
            .get("grpc-status-details-bin")
            .and_then(|value| decode(value.as_bytes()))
            .and_then(|bytes| RpcStatus::decode(Bytes::from(bytes)).ok())
            .map(|status| status.details)
            .unwrap_or_default();
        Some(Self { code: Code::from(code), message, details })
    }

    /// Writes itself into trailers.
    pub(crate) fn to_trailers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", HeaderValue::from(self.code as i32));
        if self.code == Code::Ok {
            return headers;
        }
        let message = cut(&self.message);
        if let Ok(value) = HeaderValue::from_str(&escape(message)) {
            headers.insert("grpc-message", value);
        }
        let whole =
            RpcStatus { code: self.code as i32, message: message.to_owned(), details: self.details.clone() };
        let bytes = whole.encode_to_vec();
        if !self.details.is_empty()
            && bytes.len() <= DETAIL_BYTES
            && let Ok(value) = HeaderValue::from_str(&BASE64_NOPAD.encode(&bytes))
        {
            headers.insert("grpc-status-details-bin", value);
        }
        headers
    }
}

impl From<RpcStatus> for Status {
    fn from(status: RpcStatus) -> Self {
        Self { code: Code::from(status.code), message: status.message, details: status.details }
    }
}

impl From<i32> for Code {
    fn from(number: i32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Cancelled,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            8 => Self::ResourceExhausted,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

impl From<Kind> for Code {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Invalid => Self::InvalidArgument,
            Kind::NotFound => Self::NotFound,
            Kind::Conflict => Self::AlreadyExists,
            Kind::Exhausted => Self::ResourceExhausted,
            Kind::Unavailable => Self::Unavailable,
            Kind::TimedOut => Self::DeadlineExceeded,
            Kind::Unsupported => Self::Unimplemented,
            Kind::Denied | Kind::Internal => Self::Unknown,
        }
    }
}

fn cut(message: &str) -> &str {
    let mut end = message.len().min(MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

/// Binary metadata may come with padding or without.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.contains(&b'=') { BASE64.decode(text).ok() } else { BASE64_NOPAD.decode(text).ok() }
}

/// Percent-encodes what may not stand in a header, and the percent sign.
fn escape(message: &str) -> String {
    percent::encode_but(message, |byte| (b' '..=b'~').contains(&byte) && byte != b'%')
}
