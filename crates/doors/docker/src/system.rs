//! `/_ping`, `/version`, `/info`, `/system/df`: who answers here, and what there is.

mod info;
mod usage;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::answer::Refusal;
use crate::version::{NEWEST, OLDEST};
use crate::{Docker, Shared};

pub(crate) fn routes() -> Router<Arc<Docker>> {
    Router::new()
        .route("/_ping", get(ping))
        .route("/version", get(version))
        .route("/info", get(info::info))
        .route("/system/df", get(usage::usage))
}

/// The engine that speaks the newest API that we speak. Clients compare this version to know what they may ask for.
const ENGINE: &str = "29.3.1";

/// The version that clients compare: the engine's that we answer like, and behind the plus, which orders nothing, ours.
fn engine(docker: &Docker) -> String {
    format!("{ENGINE}+sea{}", docker.version)
}

/// `GET /_ping` and `HEAD /_ping`.
async fn ping() -> impl IntoResponse {
    let headers = [
        (HeaderName::from_static("builder-version"), "2"),
        (HeaderName::from_static("swarm"), "inactive"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    (headers, "OK")
}

/// `GET /version`.
async fn version(State(docker): Shared) -> Json<Value> {
    let uname = rustix::system::uname();
    let kernel = uname.release().to_string_lossy();
    let arch = architecture(&uname.machine().to_string_lossy()).to_owned();
    Json(json!({
        "Platform": { "Name": "Seaworthy" },
        "Components": [{
            "Name": "Engine",
            "Version": engine(&docker),
            "Details": {
                "ApiVersion": NEWEST.to_string(),
                "Arch": arch,
                "BuildTime": "",
                "Experimental": "false",
                "GitCommit": "",
                "GoVersion": "",
                "KernelVersion": kernel,
                "MinAPIVersion": OLDEST.to_string(),
                "Os": "linux",
            },
        }, {
            "Name": "Seaworthy",
            "Version": docker.version,
            "Details": {},
        }],
        "Version": engine(&docker),
        "ApiVersion": NEWEST.to_string(),
        "MinAPIVersion": OLDEST.to_string(),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": arch,
        "KernelVersion": kernel,
        "BuildTime": "",
    }))
}

/// The machine's architecture in Go's words.
pub(crate) fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Refuses a platform that this machine is not.
pub(crate) fn is_ours(platform: &str) -> Result<(), Refusal> {
    let uname = rustix::system::uname();
    let machine = uname.machine().to_string_lossy();
    let mut words = platform.split('/');
    let (os, arch) = (words.next().unwrap_or_default(), words.next());
    let known = os == "linux" && arch.is_none_or(|arch| arch == architecture(&machine) || arch == machine);
    if known {
        return Ok(());
    }
    Err(Refusal::missing(format!(
        "the platform {platform} is not this machine's, linux/{}, and nothing here runs programs of another",
        architecture(&machine)
    )))
}
