//! From a request to what it asks for: the names of repositories hold slashes, so paths are read from their end.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base::percent::decode_query;
use oci::Digest;

use super::answer::{Answer, Refusal, empty};
use super::guard::Want;
use super::{Registry, guard, lists};
use crate::words::Code;

/// The longest path that is looked at.
const PATH: usize = 2048;

/// What a path under `/v2/` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Base,
    Catalog,
    Tags { name: String },
    Manifest { name: String, which: String },
    Blob { name: String, digest: String },
    Uploads { name: String },
    Upload { name: String, id: String },
    Referrers { name: String, digest: String },
    Unknown,
}

pub(super) fn router(registry: Registry) -> Router {
    Router::new()
        .route("/token", get(guard::token).post(guard::token_by_form))
        .fallback(answer)
        .with_state(registry)
        .layer(axum::extract::DefaultBodyLimit::disable())
}

async fn answer(State(registry): State<Registry>, request: Request) -> Response {
    let mut response = dispatch(registry, request).await.unwrap_or_else(IntoResponse::into_response);
    let version = HeaderValue::from_static("registry/2.0");
    response.headers_mut().insert(HeaderName::from_static("docker-distribution-api-version"), version);
    response
}

async fn dispatch(registry: Registry, request: Request) -> Answer {
    let path = request.uri().path();
    let target = if path.len() > PATH { Target::Unknown } else { parse(path) };
    let (method, want) = (request.method().clone(), want(request.method(), &target));
    registry.let_through(request.headers(), want).await?;
    match (target, method) {
        (Target::Base, Method::GET | Method::HEAD) => {
            Ok(super::answer::with(StatusCode::OK, &[("content-type", "application/json")], "{}".into()))
        }
        (Target::Catalog, Method::GET | Method::HEAD) => Ok(lists::catalog(&registry, request.uri().query())),
        (Target::Tags { name }, Method::GET | Method::HEAD) => {
            lists::tags(&registry, &named(name)?, request.uri().query()).await
        }
        (Target::Referrers { name, digest }, Method::GET | Method::HEAD) => {
            lists::referrers(&registry, &named(name)?, &digested(&digest)?, request.uri().query())
        }
        (Target::Manifest { name, which }, Method::GET | Method::HEAD) => {
            registry.get_manifest(&named(name)?, &which, request).await
        }
        (Target::Manifest { name, which }, Method::PUT) => {
            registry.put_manifest(&named(name)?, &which, request).await
        }
        (Target::Manifest { name, which }, Method::DELETE) => {
            registry.delete_manifest(&named(name)?, &which).await
        }
        (Target::Blob { name, digest }, Method::GET | Method::HEAD) => {
            registry.get_blob(&named(name)?, &digested(&digest)?, request).await
        }
        (Target::Blob { name, digest }, Method::DELETE) => {
            registry.delete_blob(&named(name)?, &digested(&digest)?).await
        }
        (Target::Uploads { name }, Method::POST) => registry.begin_upload(&named(name)?, request).await,
        (Target::Upload { name, id }, Method::GET | Method::HEAD) => {
            registry.upload_status(&named(name)?, &id).await
        }
        (Target::Upload { name, id }, Method::PATCH) => {
            registry.upload_chunk(&named(name)?, &id, request).await
        }
        (Target::Upload { name, id }, Method::PUT) => registry.upload_end(&named(name)?, &id, request).await,
        (Target::Upload { name, id }, Method::DELETE) => registry.upload_cancel(&named(name)?, &id).await,
        (Target::Unknown, _) => {
            Err(Refusal::new(StatusCode::NOT_FOUND, Code::Unsupported, "the registry has no such address"))
        }
        (_, Method::OPTIONS) => Ok(empty(StatusCode::OK, &[])),
        (_, method) => {
            let text = format!("`{method}` is not done here");
            Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, text))
        }
    }
}

/// What whoever sends this must be allowed.
fn want(method: &Method, target: &Target) -> Want {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match target {
        Target::Base | Target::Unknown => Want::Base,
        Target::Catalog => Want::Catalog,
        Target::Uploads { name } | Target::Upload { name, .. } => Want::Push(name.clone()),
        Target::Tags { name }
        | Target::Manifest { name, .. }
        | Target::Blob { name, .. }
        | Target::Referrers { name, .. } => match (reads, *method == Method::DELETE) {
            (true, _) => Want::Pull(name.clone()),
            (false, true) => Want::Delete(name.clone()),
            (false, false) => Want::Push(name.clone()),
        },
    }
}

fn parse(path: &str) -> Target {
    let Some(rest) = path.strip_prefix("/v2") else { return Target::Unknown };
    let Some(rest) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Target::Base } else { Target::Unknown };
    };
    if rest.is_empty() {
        return Target::Base;
    }
    if rest == "_catalog" {
        return Target::Catalog;
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Target::Tags { name: name.into() };
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads").or_else(|| rest.strip_suffix("/blobs/uploads/")) {
        return Target::Uploads { name: name.into() };
    }
    if let Some((name, id)) = rest.rsplit_once("/blobs/uploads/") {
        return Target::Upload { name: name.into(), id: id.into() };
    }
    let Some((front, last)) = rest.rsplit_once('/') else { return Target::Unknown };
    // A client may escape the colon of a digest.
    let last = last.replace("%3A", ":").replace("%3a", ":");
    if let Some(name) = front.strip_suffix("/manifests") {
        return Target::Manifest { name: name.into(), which: last };
    }
    if let Some(name) = front.strip_suffix("/blobs") {
        return Target::Blob { name: name.into(), digest: last };
    }
    if let Some(name) = front.strip_suffix("/referrers") {
        return Target::Referrers { name: name.into(), digest: last };
    }
    Target::Unknown
}

/// A repository's name, as the specification has it.
fn named(name: String) -> Result<String, Refusal> {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let ends =
            part.bytes().next().is_some_and(alphanumeric) && part.bytes().last().is_some_and(alphanumeric);
        ends && part
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|byte| byte == b'-'))
    };
    if name.len() <= 255 && name.split('/').all(part) {
        return Ok(name);
    }
    let shown: String = name.chars().take(100).collect();
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        Code::NameInvalid,
        format!("`{shown}` is no name of a repository"),
    ))
}

fn digested(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|_| Refusal::bad_digest(text))
}

/// A parameter of a query, with its escapes undone.
pub(super) fn parameter(query: Option<&str>, wanted: &str) -> Option<String> {
    parameters(query).into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

/// All parameters of a query or a form.
pub(super) fn parameters(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_query(name), decode_query(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    //! Tests of paths and queries.

    use super::*;

    #[test]
    fn a_path_is_read_from_its_end() {
        let (name, digest) = ("a/blobs/b".to_owned(), "sha256:0".to_owned());
        for (path, expected) in [
            ("/v2", Target::Base),
            ("/v2/", Target::Base),
            ("/v3/", Target::Unknown),
            ("/v2x", Target::Unknown),
            ("/v2/a/blobs/b/blobs/sha256:0", Target::Blob { name: name.clone(), digest: digest.clone() }),
            ("/v2/a/blobs/b/blobs/sha256%3A0", Target::Blob { name: name.clone(), digest: digest.clone() }),
            ("/v2/a/blobs/b/blobs/uploads/", Target::Uploads { name: name.clone() }),
            ("/v2/a/blobs/b/blobs/uploads/7", Target::Upload { name: name.clone(), id: "7".into() }),
            ("/v2/a/blobs/b/manifests/x", Target::Manifest { name: name.clone(), which: "x".into() }),
            ("/v2/a/blobs/b/tags/list", Target::Tags { name: name.clone() }),
            ("/v2/a/blobs/b/referrers/sha256:0", Target::Referrers { name, digest }),
            ("/v2/_catalog", Target::Catalog),
            ("/v2/a", Target::Unknown),
        ] {
            assert_eq!(parse(path), expected, "{path}");
        }
    }

    #[test]
    fn names_are_held_to_the_specification() {
        for (name, fits) in [
            ("a", true),
            ("a/b-c/d__e.f", true),
            ("A", false),
            ("a//b", false),
            ("../a", false),
            ("a..b", false),
            ("-a", false),
            ("", false),
        ] {
            assert_eq!(named(name.into()).is_ok(), fits, "{name}");
        }
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(parameter(Some("n=2&last=a%2Fb+c%"), "last"), Some("a/b c%".into()));
        assert_eq!(parameter(Some("n"), "n"), Some(String::new()));
        assert_eq!(parameter(None, "n"), None);
    }
}
