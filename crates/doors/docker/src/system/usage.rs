//! `GET /system/df`: what takes room on the disk.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use images::Image;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Refusal, blocking};
use crate::containers::list;
use crate::params::Params;
use crate::version::ApiVersion;
use crate::volumes::folder_size;
use crate::{Docker, Shared};

/// Which kinds of things to tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kinds {
    containers: bool,
    images: bool,
    volumes: bool,
    cache: bool,
}

impl Kinds {
    fn of(params: &Params, version: ApiVersion) -> Result<Self, Refusal> {
        let asked: Vec<&str> = params.all("type").collect();
        let all = asked.is_empty() || version < ApiVersion(1, 42);
        let mut kinds = Self { containers: all, images: all, volumes: all, cache: all };
        for kind in asked.into_iter().filter(|_| !all) {
            match kind {
                "container" => kinds.containers = true,
                "image" => kinds.images = true,
                "volume" => kinds.volumes = true,
                "build-cache" => kinds.cache = true,
                other => return Err(Refusal::invalid(format!("unknown object type: {other}"))),
            }
        }
        Ok(kinds)
    }
}

/// What takes room.
#[derive(Debug, Default)]
struct Usage {
    images: Option<(Vec<Value>, u64)>,
    containers: Option<Vec<Value>>,
    volumes: Option<Vec<Value>>,
    cache: Option<Vec<Value>>,
}

/// `GET /system/df`.
pub(super) async fn usage(State(docker): Shared, version: ApiVersion, params: Params) -> Answer<Value> {
    let kinds = Kinds::of(&params, version)?;
    let all = docker.all_images().await?;
    let mut usage = Usage::default();
    if kinds.images {
        usage.images = Some((crate::images::for_usage(&docker, &all, version)?, layers(&all)));
    }
    if kinds.containers {
        usage.containers = Some(list::measured(&docker, version).await?);
    }
    if kinds.volumes {
        let worker = docker.clone();
        usage.volumes = Some(blocking(move || volumes(&worker)).await??);
    }
    if kinds.cache {
        usage.cache = Some(cache(&all));
    }
    Ok(Json(document(&usage, version, params.truth("verbose"))))
}

/// As older clients have it, as newer ones do, or, where the client does not say, both.
fn document(usage: &Usage, version: ApiVersion, verbose: bool) -> Value {
    let mut fields = Map::new();
    if version < ApiVersion(1, 52) || !verbose {
        let old = version < ApiVersion(1, 52);
        let mut put = |name: &str, list: Option<&Vec<Value>>| match list {
            Some(list) => drop(fields.insert(name.into(), json!(list))),
            None if old => drop(fields.insert(name.into(), Value::Null)),
            None => {}
        };
        put("Images", usage.images.as_ref().map(|(images, _)| images));
        put("Containers", usage.containers.as_ref());
        put("Volumes", usage.volumes.as_ref());
        put("BuildCache", usage.cache.as_ref());
        if old || usage.images.is_some() {
            let size = usage.images.as_ref().map_or(0, |(_, size)| *size);
            fields.insert("LayersSize".into(), size.into());
        }
    }
    if version >= ApiVersion(1, 52) {
        let mut put = |name: &str, sum: Option<Value>| sum.map(|sum| fields.insert(name.into(), sum));
        put(
            "ImageUsage",
            usage.images.as_ref().map(|(images, size)| {
                let used = |image: &Value| image["Containers"].as_i64().unwrap_or(0) > 0;
                let idle = images.iter().filter(|image| !used(image));
                let own = |image: &Value| number(image, "Size") - number(image, "SharedSize").max(0);
                let free = idle.map(own).sum::<i64>().max(0);
                sum(images, images.iter().filter(|image| used(image)).count(), (*size as i64, free), verbose)
            }),
        );
        put(
            "ContainerUsage",
            usage.containers.as_ref().map(|containers| {
                let runs =
                    |one: &&Value| matches!(one["State"].as_str(), Some("running" | "paused" | "restarting"));
                let idle = containers.iter().filter(|one| !runs(one));
                let free = idle.map(|one| number(one, "SizeRw")).sum();
                let total = containers.iter().map(|one| number(one, "SizeRw")).sum();
                sum(containers, containers.iter().filter(runs).count(), (total, free), verbose)
            }),
        );
        put(
            "VolumeUsage",
            usage.volumes.as_ref().map(|volumes| {
                let used = |one: &&Value| number(&one["UsageData"], "RefCount") > 0;
                let size = |one: &Value| number(&one["UsageData"], "Size").max(0);
                let free = volumes.iter().filter(|one| !used(one)).map(size).sum();
                let total = volumes.iter().map(size).sum();
                sum(volumes, volumes.iter().filter(used).count(), (total, free), verbose)
            }),
        );
        put(
            "BuildCacheUsage",
            usage.cache.as_ref().map(|cache| {
                let total = cache.iter().map(|one| number(one, "Size")).sum();
                sum(cache, 0, (total, total), verbose)
            }),
        );
    }
    Value::Object(fields)
}

fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or(0)
}

fn sum(items: &[Value], active: usize, (total, free): (i64, i64), verbose: bool) -> Value {
    let mut sum = json!({
        "ActiveCount": active, "TotalCount": items.len(), "Reclaimable": free, "TotalSize": total,
    });
    if verbose {
        sum["Items"] = json!(items);
    }
    sum
}

/// The bytes of all layers, each counted once.
fn layers(all: &[Image]) -> u64 {
    let layers = all.iter().flat_map(|image| image.chain.iter().zip(&image.layer_sizes));
    layers.collect::<BTreeMap<_, _>>().values().map(|size| **size).sum()
}

/// Volumes with their bytes and users. What lies elsewhere takes no room here.
fn volumes(docker: &Docker) -> Result<Vec<Value>, Refusal> {
    let users = docker.volume_users();
    let volumes = docker.containers.volumes().list()?;
    let ours = volumes.iter().filter(|volume| volume.options.is_empty());
    let view = |volume: &containers::Volume| {
        let mut view = docker.volume(volume);
        let size = folder_size(&volume.mountpoint).map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX));
        let count = users.get(volume.name.as_str()).map_or(0, Vec::len);
        view["UsageData"] = json!({ "RefCount": count, "Size": size });
        view
    };
    Ok(ours.map(view).collect())
}

/// The steps that only the build cache keeps.
fn cache(all: &[Image]) -> Vec<Value> {
    let view = |image: &Image| {
        let by = image.config.history.last().and_then(|step| step.created_by.clone()).unwrap_or_default();
        let created = image.created.map(|created| created.to_string());
        json!({
            "ID": image.id.0.hex(),
            "Parents": image.parent.iter().map(|parent| parent.0.hex()).collect::<Vec<_>>(),
            "Type": "regular",
            "Description": by,
            "InUse": false,
            "Shared": false,
            "Size": image.layer_sizes.last().copied().unwrap_or(0),
            "CreatedAt": created.unwrap_or_else(|| "0001-01-01T00:00:00Z".into()),
            "LastUsedAt": null,
            "UsageCount": 0,
        })
    };
    all.iter().filter(|image| image.intermediate).map(view).collect()
}

#[cfg(test)]
mod tests;
