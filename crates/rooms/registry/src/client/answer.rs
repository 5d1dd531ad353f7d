//! An answer: its beginning, and its body as it comes, within bounds of time and length.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::CallError;
use super::pool::Pool;
use super::transport::{Origin, Payload};
use crate::words::{ERROR_BYTES, ErrorBody};

/// The longest message of a registry that is passed on to people.
const MESSAGE: usize = 300;

type Keep = (Arc<Pool>, Origin, SendRequest<Payload>);

/// An answer that has begun.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) registry: String,
    body: Incoming,
    stall: Duration,
    /// What was read too far.
    back: Option<Bytes>,
    /// The connection, which goes back where it came from once the body is read.
    keep: Option<Keep>,
}

impl Answer {
    pub(super) fn new(
        response: Response<Incoming>,
        registry: String,
        stall: Duration,
        keep: Option<Keep>,
    ) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, registry, body, stall, back: None, keep }
    }

    /// A header, if it is text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A header by a name that HTTP itself does not know.
    pub(super) fn named(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.header(&CONTENT_LENGTH)?.trim().parse().ok()
    }

    /// The media type, without its parameters.
    pub(super) fn content_type(&self) -> Option<&str> {
        self.header(&CONTENT_TYPE).map(|text| text.split(';').next().unwrap_or(text).trim())
    }

    /// The next bytes of the body; none at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, CallError> {
        if let Some(back) = self.back.take() {
            return Ok(Some(back));
        }
        loop {
            let frame = tokio::time::timeout(self.stall, self.body.frame()).await;
            let frame = frame.map_err(|_| CallError::TimedOut {
                registry: self.registry.clone(),
                doing: "send more of its answer",
                after: self.stall,
            })?;
            match frame {
                None => {
                    if let Some((pool, origin, sender)) = self.keep.take() {
                        pool.put(origin, sender);
                    }
                    return Ok(None);
                }
                Some(Err(source)) => {
                    return Err(CallError::Broken { registry: self.registry.clone(), source });
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Passes over so many bytes; false if there are not so many.
    pub(super) async fn skip(&mut self, bytes: u64) -> Result<bool, CallError> {
        let mut left = bytes;
        while left > 0 {
            let Some(mut chunk) = self.chunk().await? else { return Ok(false) };
            let passed = usize::try_from(left).unwrap_or(chunk.len()).min(chunk.len());
            left -= passed as u64;
            let rest = chunk.split_off(passed);
            self.back = Some(rest).filter(|rest| !rest.is_empty());
        }
        Ok(true)
    }

    /// The whole body, which may be so long.
    pub(super) async fn collect(&mut self, most: usize, what: &'static str) -> Result<Bytes, CallError> {
        let too_long =
            |registry: &str| CallError::TooLong { registry: registry.into(), what, most: most as u64 };
        if self.length().is_some_and(|length| length > most as u64) {
            return Err(too_long(&self.registry));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > most {
                return Err(too_long(&self.registry));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// A document of JSON.
    pub(super) async fn json<T: DeserializeOwned>(
        mut self,
        most: usize,
        what: &'static str,
    ) -> Result<T, CallError> {
        let bytes = self.collect(most, what).await?;
        serde_json::from_slice(&bytes).map_err(|error| match looks_like_html(&bytes) {
            true => self.not_a_registry(&bytes),
            false => CallError::Nonsense {
                registry: self.registry.clone(),
                why: format!("{what} is not JSON: {error}"),
            },
        })
    }

    /// Reads what is left, so that the connection can be used again.
    pub(super) async fn done(mut self) -> Result<(), CallError> {
        let mut left = ERROR_BYTES;
        while let Some(chunk) = self.chunk().await? {
            match left.checked_sub(chunk.len()) {
                Some(less) => left = less,
                // Another connection is cheaper.
                None => break,
            }
        }
        Ok(())
    }

    /// This answer as the failure that it is.
    pub(super) async fn refusal(mut self, anonymous: bool) -> CallError {
        let retry_after = self.header(&RETRY_AFTER).map(|after| format!("try again after {after} s"));
        // What cannot be read of it says no more than the status.
        let body = self.collect(ERROR_BYTES, "an error").await.unwrap_or_default();
        let parsed: ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
        let first = parsed.errors.into_iter().next();
        let code = first.as_ref().map(|entry| entry.code.clone()).filter(|code| !code.is_empty());
        let message = first.as_ref().map(|entry| shown(&entry.message)).filter(|text| !text.is_empty());
        let message = message.or_else(|| code.clone());
        let registry = self.registry.clone();
        match self.status.as_u16() {
            401 | 403 => CallError::Refused { registry, anonymous, message },
            429 => CallError::TooMany { registry, message: message.or(retry_after) },
            _ if first.is_none() && looks_like_html(&body) => self.not_a_registry(&body),
            status => {
                let text = || Some(shown(&String::from_utf8_lossy(&body))).filter(|text| !text.is_empty());
                CallError::Answered { registry, status, code, message: message.or_else(text) }
            }
        }
    }

    fn not_a_registry(&self, body: &[u8]) -> CallError {
        let text = String::from_utf8_lossy(body);
        let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
        let found = match title {
            Some((title, _)) => format!("a page of HTML, `{}`", shown(title)),
            None => "a page of HTML".into(),
        };
        CallError::NotARegistry { registry: self.registry.clone(), status: self.status.as_u16(), found }
    }
}

pub(super) fn looks_like_html(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let start = start[..start.len().min(15)].to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html") || start.starts_with(b"<?xml")
}

/// A stranger's text, short and on one line.
fn shown(text: &str) -> String {
    let cut: String = text.trim().chars().take(MESSAGE).collect();
    cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
