//! Refusals, in the form that clients of registries read.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::RegistryError;
use crate::words::{Code, ErrorBody, ErrorEntry};

/// A request that is not done.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    code: Code,
    message: String,
    headers: Box<HeaderMap>,
    is_final: bool,
}

/// What a handler answers.
pub(super) type Answer = Result<Response, Refusal>;

impl Refusal {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Box::default(), is_final: false }
    }

    /// The same with one more header.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The same, and what it is about cannot be gone on with.
    pub(super) fn finally(mut self) -> Self {
        self.is_final = true;
        self
    }

    /// Whether what it is about cannot be gone on with.
    pub(super) fn is_final(&self) -> bool {
        self.is_final
    }

    pub(super) fn no_blob(digest: &oci::Digest) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Code::BlobUnknown,
            format!("there is no blob {digest} in this repository"),
        )
    }

    pub(super) fn no_upload() -> Self {
        let text = "there is no such upload: it ended, was cancelled, or nobody went on with it for too long";
        Self::new(StatusCode::NOT_FOUND, Code::BlobUploadUnknown, text)
    }

    pub(super) fn bad_digest(text: &str) -> Self {
        let text: String = text.chars().take(160).collect();
        Self::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, format!("`{text}` is not a digest"))
    }

    pub(super) fn mirror() -> Self {
        let text = "this registry mirrors another one and takes no changes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, text)
    }

    /// Our own fault: it is logged here, and the client hears no more than that.
    pub(super) fn of(error: &RegistryError) -> Self {
        use base::Problem as _;
        let report = base::Report::of(error);
        tracing::error!("the registry failed: {report}");
        match error.kind() {
            base::Kind::Exhausted => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, Code::Unknown, "the registry's disk is full")
            }
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                Code::Unknown,
                "the registry failed; its log says why",
            ),
        }
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        Self::of(&error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let entry = ErrorEntry { code: self.code.as_str().into(), message: self.message, detail: None };
        let body = serde_json::to_vec(&ErrorBody { errors: vec![entry] }).unwrap_or_default();
        let mut response = (self.status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(*self.headers);
        response
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode, headers: &[(&'static str, &str)]) -> Response {
    with(status, headers, Body::empty())
}

/// An answer with these headers; what is no header's value is left out.
pub(super) fn with(status: StatusCode, headers: &[(&'static str, &str)], body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
