//! What goes over the network: pull, push, search, distribution.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::names::{pulled, reference, tagged};
use crate::answer::Refusal;
use crate::params::Params;
use crate::{Docker, Shared};

fn not_yet(what: &str) -> Refusal {
    Refusal::failed(format!(
        "{what}: this daemon does not reach registries: load an archive with `docker load`"
    ))
}

/// `POST /images/create?fromImage=…`.
pub(super) async fn pull(
    _docker: &Arc<Docker>,
    from: &str,
    _platform: Option<&str>,
    params: &Params,
    _headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let name = pulled(from, params.text("tag"))?;
    Err(not_yet(&format!("could not pull `{}`", name.familiar())))
}

/// `POST /images/{name}/push`.
pub(super) async fn push(
    _docker: &Arc<Docker>,
    name: &str,
    params: &Params,
    _headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let name = match params.text("tag") {
        Some(tag) => tagged(name, Some(tag))?,
        None => reference(name)?,
    };
    Err(not_yet(&format!("could not push `{}`", name.familiar())))
}

/// `GET /images/search`.
pub(super) async fn search(params: Params) -> Result<Response, Refusal> {
    if params.number("limit").map_or(true, |limit| limit.is_some_and(|limit| limit < 0)) {
        return Err(Refusal::invalid("invalid limit specified"));
    }
    params.filters()?.only(&["is-automated", "is-official", "stars"])?;
    Err(Refusal::unsupported("registries are not searched here: name the image that you want and pull it"))
}

/// `GET /distribution/{name}/json`.
pub(super) async fn distribution(
    State(_docker): Shared,
    Path(rest): Path<String>,
    uri: axum::http::Uri,
) -> Result<Response, Refusal> {
    match rest.strip_suffix("/json") {
        Some(name) => {
            let name = reference(name)?;
            Err(not_yet(&format!("could not look at `{}`", name.familiar())))
        }
        None => Err(crate::answer::unknown(uri).await),
    }
}
