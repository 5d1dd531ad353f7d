//! Images in docker's words.

use std::collections::HashMap;

use base::Timestamp;
use images::Image;
use oci::{Digest, History, Reference};
use serde_json::{Map, Value, json};

use crate::version::ApiVersion;

/// The moment that Go has where there is none.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// How many images have each layer.
pub(super) struct Shared<'a>(HashMap<&'a Digest, u32>);

impl<'a> Shared<'a> {
    pub(super) fn of(images: &'a [Image]) -> Self {
        let mut counts = HashMap::new();
        for layer in images.iter().flat_map(|image| &image.chain) {
            *counts.entry(layer).or_default() += 1;
        }
        Self(counts)
    }

    /// The bytes of an image that others have, too.
    pub(super) fn bytes(&self, image: &Image) -> u64 {
        let layers = image.chain.iter().zip(&image.layer_sizes);
        layers
            .filter(|(layer, _)| self.0.get(layer).is_some_and(|count| *count > 1))
            .map(|(_, size)| size)
            .sum()
    }
}

/// Names with a tag, and names with a digest.
fn split(names: &[&Reference]) -> (Vec<String>, Vec<String>) {
    let (digests, tags): (Vec<&Reference>, Vec<&Reference>) =
        names.iter().copied().partition(|name| name.digest().is_some());
    let digest = |name: &Reference| {
        let digest = name.digest().map(ToString::to_string).unwrap_or_default();
        format!("{}@{digest}", name.familiar_repository())
    };
    (tags.into_iter().map(Reference::familiar).collect(), digests.into_iter().map(digest).collect())
}

/// What people call an image, and what it is called at registries.
pub(super) fn all_names(image: &Image) -> Vec<&Reference> {
    let own = image.names.iter().filter(|name| !image.digests.contains(name));
    own.chain(&image.digests).collect()
}

/// An image in a list. `counts` says how many containers are made of it, and how much it shares, if anybody asked.
pub(super) fn summary(
    image: &Image,
    names: &[&Reference],
    (containers, shared): (u64, Option<u64>),
    version: ApiVersion,
) -> Value {
    let (mut tags, mut digests) = split(names);
    // Clients of before are told what they would show themselves.
    if version < ApiVersion(1, 43) && names.is_empty() {
        (tags, digests) = (vec!["<none>:<none>".into()], vec!["<none>@<none>".into()]);
    }
    let labels = &image.config.config.labels;
    let mut fields = json!({
        "Containers": if version < ApiVersion(1, 51) { json!(-1) } else { json!(containers) },
        "Created": image.created.map_or(0, Timestamp::secs),
        "Id": image.id,
        "Labels": if labels.is_empty() { Value::Null } else { json!(labels) },
        "ParentId": image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        "RepoDigests": digests,
        "RepoTags": tags,
        "SharedSize": shared.map_or(json!(-1), |bytes| json!(bytes)),
        "Size": image.size,
    });
    if version < ApiVersion(1, 44) {
        fields["VirtualSize"] = image.size.into();
    }
    fields
}

/// An image, whole.
pub(super) fn inspect(image: &Image, version: ApiVersion) -> Value {
    let (tags, digests) = split(&all_names(image));
    let config = &image.config;
    let extra = |name: &str| config.extra.get(name).and_then(Value::as_str).unwrap_or_default();
    let last = config.history.last().and_then(|step| step.comment.as_deref()).unwrap_or_default();
    let comment = if extra("comment").is_empty() { last } else { extra("comment") };
    let parent = image.parent.as_ref().map(ToString::to_string).unwrap_or_default();
    let texts = [
        ("Parent", parent.as_str()),
        ("Comment", comment),
        ("DockerVersion", extra("docker_version")),
        ("Author", config.author.as_deref().unwrap_or_default()),
    ];
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("Id", json!(image.id));
    put("RepoTags", json!(tags));
    put("RepoDigests", json!(digests));
    // Clients of 1.52 and later are not told what there is not.
    for (name, text) in texts.iter().filter(|(_, text)| version < ApiVersion(1, 52) || !text.is_empty()) {
        put(name, (*text).into());
    }
    match image.created {
        Some(created) => put("Created", created.to_string().into()),
        None if version < ApiVersion(1, 44) => put("Created", NEVER.into()),
        None => {}
    }
    if version < ApiVersion(1, 45) {
        put("Container", extra("container").into());
    }
    // Gone since 1.45, and yet looked for by the first compose, which speaks the newest version that it is offered.
    put("ContainerConfig", container_config(image));
    put("Architecture", config.architecture.as_str().into());
    if let Some(variant) = &config.variant {
        put("Variant", variant.as_str().into());
    }
    put("Os", config.os.as_str().into());
    if !extra("os.version").is_empty() {
        put("OsVersion", extra("os.version").into());
    }
    put("Size", image.size.into());
    if version < ApiVersion(1, 44) {
        put("VirtualSize", image.size.into());
    }
    put("GraphDriver", graph_driver(image));
    put("RootFS", root(image, version));
    let tagged = image.tagged.map_or_else(|| NEVER.to_owned(), |tagged| tagged.to_string());
    put("Metadata", json!({ "LastTagTime": tagged }));
    put("Config", run_config(image, version));
    Value::Object(fields)
}

fn root(image: &Image, version: ApiVersion) -> Value {
    let mut root = json!({ "Type": "layers" });
    let layers = &image.config.rootfs.diff_ids;
    if !layers.is_empty() || version < ApiVersion(1, 24) {
        root["Layers"] = json!(layers);
    }
    root
}

/// Where its files are.
fn graph_driver(image: &Image) -> Value {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    let (top, below) = match image.lower.as_slice() {
        [top, below @ ..] => (path(top), below.iter().map(path).collect::<Vec<_>>().join(":")),
        [] => (String::new(), String::new()),
    };
    let mut data = Map::new();
    if !below.is_empty() {
        data.insert("LowerDir".into(), below.into());
    }
    data.insert("UpperDir".into(), top.into());
    json!({ "Data": data, "Name": "overlay2" })
}

/// What docker shows of a run configuration, in every version.
const SHOWN: [&str; 13] = [
    "ArgsEscaped",
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
];

fn run_config(image: &Image, version: ApiVersion) -> Value {
    let mut fields = Map::new();
    if version < ApiVersion(1, 50) {
        for name in ["AttachStderr", "AttachStdin", "AttachStdout", "OpenStdin", "StdinOnce", "Tty"] {
            fields.insert(name.into(), false.into());
        }
        for name in ["Domainname", "Hostname", "Image"] {
            fields.insert(name.into(), "".into());
        }
    }
    if version < ApiVersion(1, 52) {
        for name in ["Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "Volumes"] {
            fields.insert(name.into(), Value::Null);
        }
        for name in ["User", "WorkingDir"] {
            fields.insert(name.into(), "".into());
        }
    }
    if let Ok(Value::Object(config)) = serde_json::to_value(&image.config.config) {
        fields.extend(config.into_iter().filter(|(name, _)| SHOWN.contains(&name.as_str())));
    }
    Value::Object(fields)
}

/// The configuration of the container that it was made of, where that is known.
fn container_config(image: &Image) -> Value {
    let mut fields = json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null, "Cmd": null,
        "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": null,
    });
    if let (Value::Object(fields), Some(Value::Object(known))) =
        (&mut fields, image.config.extra.get("container_config"))
    {
        fields.extend(known.clone());
    }
    fields
}

/// How an image came to be, the newest step first. Steps whose image is here bear its id and names.
pub(super) fn history(image: &Image, steps: &[(History, u64)], all: &[Image]) -> Vec<Value> {
    let mut owner = Some(image);
    let view = |(step, size): &(History, u64)| {
        let of = owner;
        owner = of.and_then(|of| all.iter().find(|other| Some(&other.id) == of.parent.as_ref()));
        let tags = of.map(|of| split(&of.names.iter().collect::<Vec<_>>()).0).unwrap_or_default();
        let created = step.created.as_deref().and_then(Timestamp::from_rfc3339);
        json!({
            "Comment": step.comment.clone().unwrap_or_default(),
            "Created": created.map_or(0, Timestamp::secs),
            "CreatedBy": step.created_by.clone().unwrap_or_default(),
            "Id": of.map_or_else(|| "<missing>".to_owned(), |of| of.id.to_string()),
            "Size": size,
            "Tags": if tags.is_empty() { Value::Null } else { json!(tags) },
        })
    };
    steps.iter().rev().map(view).collect()
}
