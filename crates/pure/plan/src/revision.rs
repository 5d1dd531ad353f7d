//! The revision of a service: a digest of everything that its instances are made of, and of nothing else.
//!
//! Numbers, routes, published ports, dependencies and the policies of restart and update are not part of it: they
//! change without a new instance. Stable across versions of this program, since it is kept in labels and releases;
//! a test pins one.

use std::borrow::Cow;

use base::{ReleaseNumber, Revision};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use spec::{App, FileMount, MountKind, Service};

/// What an instance is made of beyond its service's document.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    /// The image, by digest.
    pub image: &'a str,
    /// How often people asked for a restart.
    pub generation: u32,
    /// For a job: the release that it runs for.
    pub run: Option<ReleaseNumber>,
    /// The revisions of services with which it is made anew.
    pub follows: &'a [&'a Revision],
}

/// Keys of a service that its instances do not see.
pub(crate) const NOT_MADE_OF: &[&str] = &[
    "image",
    "build",
    "pull_policy",
    "restart",
    "depends_on",
    "replicas",
    "update",
    "rollback",
    "ports",
    "routes",
    "edge",
    "certificate",
];

/// So many hexadecimal digits of the digest are kept.
const DIGITS: usize = 32;

/// The revision of a service of this app.
pub fn revision(app: &App, service: &Service, with: &Ingredients<'_>) -> Revision {
    let mut hash = Hash(Sha256::new());
    hash.made_of(&value(as_made(service).as_ref()));
    hash.part("image", with.image);
    hash.part("generation", with.generation);
    hash.part("run", with.run);
    for key in service.networks.keys() {
        hash.part("network", (key, app.networks.get(key)));
    }
    for mount in &service.mounts {
        if let MountKind::Volume { key, .. } = &mount.kind {
            hash.part("volume", (key, app.volumes.get(key)));
        }
    }
    for secret in &service.secrets {
        hash.part("secret", (original(&secret.source), app.secrets.get(&secret.source)));
    }
    for config in &service.configs {
        hash.part("config", (original(&config.source), app.configs.get(&config.source)));
    }
    for other in with.follows {
        hash.part("follows", other.as_str());
    }
    hash.end()
}

/// The key that a secret or config had when instances were made with it. While two releases of a service stand side by
/// side, what only the old one has is kept under `KEY@SERVICE`; no file has such a key.
pub(crate) fn original(key: &str) -> &str {
    key.split_once('@').map_or(key, |(key, _)| key)
}

/// The service with the keys that its secrets and configs had when instances were made.
pub(crate) fn as_made(service: &Service) -> Cow<'_, Service> {
    let is_kept = |mount: &FileMount| mount.source.contains('@');
    if !service.secrets.iter().chain(&service.configs).any(is_kept) {
        return Cow::Borrowed(service);
    }
    let mut made = service.clone();
    for mount in made.secrets.iter_mut().chain(&mut made.configs) {
        mount.source = original(&mount.source).to_owned();
    }
    Cow::Owned(made)
}

/// The document as a value.
pub(crate) fn value(document: impl Serialize) -> Value {
    serde_json::to_value(document).expect("documents have text keys, and their numbers are finite")
}

/// The SHA-256 of these bytes, as hexadecimal text.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Feeds values to a digest so that equal values give equal digests, whatever the order of their keys.
struct Hash(Sha256);

impl Hash {
    fn part(&mut self, what: &str, document: impl Serialize) {
        self.text(what);
        self.value(&value(document));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.update(b"n"),
            Value::Bool(yes) => self.0.update(if *yes { b"t" } else { b"f" }),
            Value::Number(number) => {
                self.0.update(b"#");
                self.text(&number.to_string());
            }
            Value::String(text) => {
                self.0.update(b"s");
                self.text(text);
            }
            Value::Array(list) => {
                self.0.update(b"[");
                self.0.update((list.len() as u64).to_le_bytes());
                list.iter().for_each(|item| self.value(item));
            }
            Value::Object(map) => self.object(map, &[]),
        }
    }

    /// The keys of a service that its instances see.
    fn made_of(&mut self, service: &Value) {
        if let Value::Object(map) = service {
            self.object(map, NOT_MADE_OF);
        }
    }

    fn object(&mut self, map: &Map<String, Value>, without: &[&str]) {
        // A key that has nothing to say is as good as absent, so a new key changes no old revision.
        let says =
            |(key, value): &(&String, &Value)| !says_nothing(value) && !without.contains(&key.as_str());
        let mut keys: Vec<_> = map.iter().filter(says).collect();
        keys.sort_by_key(|(key, _)| *key);
        self.0.update(b"{");
        self.0.update((keys.len() as u64).to_le_bytes());
        for (key, value) in keys {
            self.text(key);
            self.value(value);
        }
    }

    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn end(self) -> Revision {
        let mut digits: String = self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        digits.truncate(DIGITS);
        Revision::new(digits).expect("these are hexadecimal digits, no more than 64")
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(_) | Value::String(_) => false,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests;
