//! The query of `POST /build`, as an order of the other protocol.

use std::collections::HashMap;
use std::net::IpAddr;

use base::{Kind, Report};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::proto::control::{CacheEntry, CacheOptions, Exporter, SolveRequest};

/// A query, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// An order.
pub(crate) struct Asked {
    pub request: SolveRequest,
    /// The result is an image, whose id is told.
    pub wants_image: bool,
}

#[derive(Debug, Deserialize)]
struct Bound {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Soft", default)]
    soft: i64,
    #[serde(rename = "Hard", default)]
    hard: i64,
}

#[derive(Debug, Deserialize)]
struct Target {
    #[serde(rename = "Type", default)]
    kind: String,
    #[serde(rename = "Attrs", default)]
    attrs: Option<HashMap<String, String>>,
}

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.one(name).filter(|value| !value.is_empty())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// As docker reads a truth: anything but a few words is one.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let value = self.one(name).unwrap_or_default().trim().to_lowercase();
        !["", "0", "no", "false", "none"].contains(&value.as_str())
    }

    fn json<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, Report> {
        let Some(text) = self.text(name) else { return Ok(T::default()) };
        let read: Option<T> = serde_json::from_str(text).map_err(|error| {
            Report::new(Kind::Invalid, format!("`{name}` of the build cannot be read")).because(error)
        })?;
        Ok(read.unwrap_or_default())
    }

    /// The order of the build of this name. `context` names the context that comes with a request, if one does.
    pub(crate) fn order(
        &self,
        reference: &str,
        context: Option<&str>,
        gateway: Option<IpAddr>,
    ) -> Result<Asked, Report> {
        self.refuse()?;
        let mut attrs = HashMap::new();
        if let Some(name) = context {
            attrs.insert("context".to_owned(), format!("{}{name}", crate::options::REQUEST));
        }
        let remote =
            self.text("remote").filter(|remote| !["client-session", "upload-request"].contains(remote));
        attrs.extend(remote.map(|remote| ("context".to_owned(), remote.to_owned())));
        let same = [
            ("target", "target"),
            ("platform", "platform"),
            ("cgroup-parent", "cgroupparent"),
            ("shm-size", "shmsize"),
        ];
        for (attr, name) in same {
            attrs.extend(self.text(name).map(|value| (attr.to_owned(), value.to_owned())));
        }
        let filename = self.text("dockerfile").filter(|name| *name != ".");
        attrs.extend(filename.map(|name| ("filename".to_owned(), name.to_owned())));
        let args: HashMap<String, Option<String>> = self.json("buildargs")?;
        let inline = args.get("BUILDKIT_INLINE_CACHE").is_some_and(|value| value.as_deref() == Some("1"));
        attrs
            .extend(args.into_iter().filter_map(|(name, value)| Some((format!("build-arg:{name}"), value?))));
        let labels: HashMap<String, String> = self.json("labels")?;
        attrs.extend(labels.into_iter().map(|(name, value)| (format!("label:{name}"), value)));
        if self.flag("nocache") {
            attrs.insert("no-cache".to_owned(), String::new());
        }
        let mode = if self.flag("pull") { "pull" } else { "default" };
        attrs.insert("image-resolve-mode".to_owned(), mode.to_owned());
        let from: Vec<String> = self.json("cachefrom")?;
        attrs.insert("cache-from".to_owned(), from.join(","));
        attrs.insert("add-hosts".to_owned(), self.hosts(gateway)?);
        let bounds: Vec<Bound> = self.json("ulimits")?;
        let bounds: Vec<String> =
            bounds.iter().map(|it| format!("{}={}:{}", it.name, it.soft, it.hard)).collect();
        attrs.insert("ulimit".to_owned(), bounds.join(","));
        let entitlements = self.network(&mut attrs)?;
        let (exporter, wants_image) = self.exporter()?;
        let exports = if inline {
            vec![CacheEntry { kind: "inline".into(), ..CacheEntry::default() }]
        } else {
            Vec::new()
        };
        let request = SolveRequest {
            reference: reference.to_owned(),
            session: self.text("session").unwrap_or_default().to_owned(),
            frontend: "dockerfile.v0".to_owned(),
            frontend_attrs: attrs,
            exporters: vec![exporter],
            entitlements,
            cache: Some(CacheOptions { exports, imports: Vec::new() }),
            ..SolveRequest::default()
        };
        Ok(Asked { request, wants_image })
    }

    /// What this kind of build does not have, as docker says it.
    fn refuse(&self) -> Result<(), Report> {
        if self.flag("squash") {
            return Err(Report::new(Kind::Invalid, "squash is only supported with experimental mode"));
        }
        if self.all("securityopt").next().is_some() {
            return Err(Report::new(Kind::Invalid, "security options are not supported on linux"));
        }
        Ok(())
    }

    fn network(&self, attrs: &mut HashMap<String, String>) -> Result<Vec<String>, Report> {
        let mode = self.text("networkmode").unwrap_or("default");
        match mode {
            "default" => return Ok(Vec::new()),
            "host" | "none" => {}
            other => {
                return Err(Report::new(
                    Kind::Invalid,
                    format!("network mode {other:?} not supported by buildkit"),
                ));
            }
        }
        attrs.insert("force-network-mode".to_owned(), mode.to_owned());
        Ok(if mode == "host" { vec!["network.host".to_owned()] } else { Vec::new() })
    }

    fn hosts(&self, gateway: Option<IpAddr>) -> Result<String, Report> {
        let mut hosts = Vec::new();
        for host in self.all("extrahosts") {
            let (name, address) = host
                .split_once([':', '='])
                .filter(|(name, address)| !name.is_empty() && !address.is_empty())
                .ok_or_else(|| Report::new(Kind::Invalid, format!("invalid host {host}")))?;
            match (address, gateway) {
                ("host-gateway", Some(gateway)) => hosts.push(format!("{name}={gateway}")),
                ("host-gateway", None) => {
                    return Err(Report::new(Kind::Invalid, "unable to derive the IP value for host-gateway"));
                }
                (address, _) => hosts.push(format!("{name}={address}")),
            }
        }
        Ok(hosts.join(","))
    }

    fn exporter(&self) -> Result<(Exporter, bool), Report> {
        let outputs: Vec<Target> = self.json("outputs")?;
        let mut outputs = outputs.into_iter();
        let (kind, mut attrs) = match (outputs.next(), outputs.next()) {
            (None, _) => ("moby".to_owned(), HashMap::new()),
            (Some(one), None) => (one.kind, one.attrs.unwrap_or_default()),
            (Some(_), Some(_)) => return Err(Report::new(Kind::Invalid, "multiple outputs not supported")),
        };
        let wants_image = kind == "moby" || kind == "image";
        let tags: Vec<&str> = self.all("t").collect();
        if wants_image && !tags.is_empty() {
            attrs.insert("name".to_owned(), tags.join(","));
        }
        Ok((Exporter { kind, attrs }, wants_image))
    }
}

#[cfg(test)]
mod tests;
