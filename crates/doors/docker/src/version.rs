//! The version in front of a path, `/v1.43/containers/json`, and the headers that tell ours.

use std::fmt;
use std::str::FromStr;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;

use crate::answer::Refusal;

/// A version of the API, as in `1.43`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ApiVersion(pub(crate) u16, pub(crate) u16);

/// The newest that we speak.
pub(crate) const NEWEST: ApiVersion = ApiVersion(1, 53);
/// The oldest that we speak.
pub(crate) const OLDEST: ApiVersion = ApiVersion(1, 24);
/// skopeo, podman and buildah name this version, of long ago, and use nothing but [`CARRIED`], which has not changed.
const CARRIERS: ApiVersion = ApiVersion(1, 22);
/// How images are carried out of a daemon and into one.
const CARRIED: [&str; 2] = ["/images/get", "/images/load"];

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        let number = |part: &str| -> Result<u16, ()> {
            // `+1` is a number for the parser, and no version.
            if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().map_err(drop) } else { Err(()) }
        };
        Ok(Self(number(major)?, number(minor)?))
    }
}

/// The routes, with or without a version in front. Each request carries the [`ApiVersion`] that its client speaks.
pub(crate) fn negotiated(routes: Router) -> Router {
    Router::new().fallback(move |request: Request| {
        let routes = routes.clone();
        async move {
            let mut response = match versioned(request) {
                Ok(request) => match routes.oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                Err(refusal) => refusal.into_response(),
            };
            sign(&mut response);
            response
        }
    })
}

/// Takes the version off the path and notes it.
fn versioned(mut request: Request) -> Result<Request, Refusal> {
    let (version, rest) = split(request.uri().path());
    let Some(version) = version else {
        request.extensions_mut().insert(NEWEST);
        return Ok(request);
    };
    if version > NEWEST {
        let text = format!("client version {version} is too new. Maximum supported API version is {NEWEST}");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    if version < OLDEST && !(version >= CARRIERS && CARRIED.contains(&rest)) {
        let text = format!(
            "client version {version} is too old. Minimum supported API version is {OLDEST}, please upgrade your client to a newer version"
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    let target = match request.uri().query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let uri: Uri =
        target.parse().map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the target is malformed"))?;
    *request.uri_mut() = uri;
    request.extensions_mut().insert(version.max(OLDEST));
    Ok(request)
}

fn split(path: &str) -> (Option<ApiVersion>, &str) {
    let Some(rest) = path.strip_prefix("/v") else { return (None, path) };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].parse() {
        Ok(version) => (Some(version), if end == rest.len() { "/" } else { &rest[end..] }),
        Err(()) => (None, path),
    }
}

/// The headers that docker puts on every answer.
fn sign(response: &mut Response) {
    let newest = HeaderValue::from_str(&NEWEST.to_string()).expect("digits and a dot are a header's value");
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("api-version"), newest);
    headers.insert(HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false"));
    headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
    headers.insert(
        header::SERVER,
        HeaderValue::from_static(concat!("Seaworthy/", env!("CARGO_PKG_VERSION"), " (linux)")),
    );
}

#[cfg(test)]
mod tests;
