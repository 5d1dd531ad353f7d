//! What the query of `POST /build` asks for: each word is honoured, or refused.

use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZeroUsize;

use ::build::{
    BuildRequest, Cancel, Context, DockerfileSource, NoCache, RunLimits, RunNetwork, RunSettings, Ulimit,
};
use base::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::answer::Refusal;
use crate::images::names::{platform_of, reference};
use crate::params::Params;
use crate::version::ApiVersion;

/// A limit of processes, as docker writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Limit {
    name: String,
    soft: i64,
    hard: i64,
}

/// The order, whose context is the body.
pub(super) fn order(
    params: &Params,
    version: ApiVersion,
    body: impl Read + Send + 'static,
) -> Result<BuildRequest, Refusal> {
    refuse(params)?;
    if let Some(platform) = params.text("platform").filter(|_| version >= ApiVersion(1, 32)) {
        platform_of(platform)?;
    }
    let tags = params.all("t").filter(|tag| !tag.is_empty()).map(reference);
    let tags = tags.collect::<Result<Vec<_>, _>>().map_err(|refusal| Refusal::failed(refusal.message))?;
    let args: BTreeMap<String, Option<String>> = document(params, "buildargs", "error reading build args")?;
    let labels = document(params, "labels", "error reading labels")?;
    let cache_from = document(params, "cachefrom", "error reading cache-from")?;
    let context = match params.text("remote") {
        Some(url) => Context::Url(url.to_owned()),
        None => Context::Archive(Box::new(body)),
    };
    let dockerfile = params.text("dockerfile").unwrap_or("Dockerfile").to_owned();
    let no_cache = if params.truth("nocache") { NoCache::Always } else { NoCache::Never };
    Ok(BuildRequest {
        args: args.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        target: params.text("target").map(str::to_owned),
        tags,
        labels,
        platform: params.text("platform").filter(|_| version >= ApiVersion(1, 32)).map(str::to_owned),
        pull: params.truth("pull"),
        no_cache,
        cache_from,
        run: run(params)?,
        jobs: NonZeroUsize::new(1),
        cancel: Cancel::default(),
        ..BuildRequest::new(context, DockerfileSource::InContext(dockerfile))
    })
}

/// What we do not have.
fn refuse(params: &Params) -> Result<(), Refusal> {
    if params.all("securityopt").any(|option| !option.is_empty()) {
        return Err(Refusal::invalid("security options are not supported on linux"));
    }
    if params.truth("squash") {
        return Err(Refusal::invalid("squash is only supported with experimental mode"));
    }
    match params.text("version") {
        None | Some("1") => {}
        Some("2") => {
            return Err(Refusal::unsupported(
                "this builder is spoken to over `/session` and `/grpc`, as `docker buildx build` does",
            ));
        }
        Some(other) => return Err(Refusal::invalid(format!("invalid version \"{other}\""))),
    }
    match params.text("isolation") {
        None | Some("default") => {}
        Some(other) => return Err(Refusal::invalid(format!("unsupported isolation: \"{other}\""))),
    }
    let outputs: Vec<serde_json::Value> = document(params, "outputs", "invalid outputs specified")?;
    if !outputs.is_empty() {
        return Err(Refusal::unsupported("the classic builder makes images only: leave `outputs` out"));
    }
    // All builds together are bounded here.
    for name in ["memswap", "cpuperiod", "cpuquota"] {
        if params.number(name)?.is_some_and(|value| value > 0) {
            return Err(bounded(name));
        }
    }
    for name in ["cpusetcpus", "cpusetmems", "cgroupparent"] {
        if params.text(name).is_some() {
            return Err(bounded(name));
        }
    }
    Ok(())
}

fn bounded(name: &str) -> Refusal {
    Refusal::unsupported(format!(
        "`{name}` is not had for builds here: `memory` and `cpushares` bound them, and a governor above these"
    ))
}

/// A document within the query; none is an empty one.
fn document<T: DeserializeOwned + Default>(params: &Params, name: &str, what: &str) -> Result<T, Refusal> {
    let Some(text) = params.text(name) else { return Ok(T::default()) };
    let read: Option<T> =
        serde_json::from_str(text).map_err(|error| Refusal::invalid(format!("{what}: {error}")))?;
    Ok(read.unwrap_or_default())
}

/// What holds for its commands. A client may ask for less than the governor gives, and not for more.
fn run(params: &Params) -> Result<RunSettings, Refusal> {
    let usual = RunLimits::usual();
    let positive = |name: &str| -> Result<Option<u64>, Refusal> {
        Ok(params.number(name)?.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0))
    };
    let memory = match (positive("memory")?.map(Bytes), usual.memory) {
        (Some(asked), Some(most)) => Some(Bytes(asked.0.min(most.0))),
        (asked, most) => asked.or(most),
    };
    let cpu_shares = match (positive("cpushares")?, usual.cpu_shares) {
        (Some(asked), Some(most)) => Some(asked.min(most)),
        (asked, most) => asked.or(most),
    };
    let network = RunNetwork::of(params.text("networkmode").unwrap_or_default());
    let limits: Vec<Limit> = document(params, "ulimits", "error reading ulimit settings")?;
    let ulimits = limits.into_iter().map(|one| (one.name, Ulimit { soft: one.soft, hard: one.hard }));
    let host = |text: &str| {
        let (name, address) = text.split_once(['=', ':'])?;
        Some((name.to_owned(), address.trim_matches(['[', ']']).to_owned()))
    };
    let hosts = params.all("extrahosts").filter(|text| !text.is_empty()).map(|text| {
        host(text).ok_or_else(|| Refusal::invalid(format!("bad format for add-host: \"{text}\"")))
    });
    Ok(RunSettings {
        network,
        limits: RunLimits { memory, cpu_shares, pids: usual.pids },
        shm_size: positive("shmsize")?.map(Bytes),
        ulimits: ulimits.collect(),
        hosts: hosts.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests;
