//! Images, volumes, networks, builds, and the clearing up of what nobody needs.

use std::collections::BTreeMap;

use base::{Bytes, Report, Timestamp};
use serde::{Deserialize, Serialize};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageView {
    /// By digest.
    pub id: String,
    /// Its names, as people write them.
    pub names: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Its layers, unpacked.
    pub size: Bytes,
    /// Containers that are made from it.
    pub containers: u32,
    /// What it runs.
    pub command: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
    /// Its ports.
    pub ports: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its layers, by the digest of their content.
    pub layers: Vec<String>,
    /// What it is called at registries, as in `web@sha256:…`.
    #[serde(default)]
    pub digests: Vec<String>,
    /// When a registry last said that this is what a name means.
    #[serde(default)]
    pub pulled: Option<Timestamp>,
}

/// A step of an image's making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryView {
    /// When.
    pub created: Option<Timestamp>,
    /// By what.
    pub by: String,
    /// Its layer's size; none when it has no layer.
    pub size: Option<Bytes>,
}

/// A line of the stream that answers `POST /v1/images/load`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "load", rename_all = "snake_case")]
pub enum Loaded {
    /// So much was read.
    Read {
        /// Bytes of the archive.
        bytes: Bytes,
    },
    /// An image is there.
    Image {
        /// By digest.
        id: String,
        /// Its names.
        names: Vec<String>,
    },
    /// It could not be done. The last line.
    Failed {
        /// Why.
        report: Report,
    },
}

/// `POST /v1/images/tag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagOrder {
    /// Which image.
    pub image: String,
    /// The new name.
    pub name: String,
}

/// What was cleared up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pruned {
    /// What went, for people.
    pub removed: Vec<String>,
    /// How much room that made.
    pub freed: Bytes,
}

/// `POST /v1/volumes`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VolumeCreate {
    /// Its name.
    pub name: String,
    /// `local`, or none for the same.
    #[serde(default)]
    pub driver: Option<String>,
    /// The driver's options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeView {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The folder of the host.
    pub mountpoint: String,
    /// The app that it belongs to.
    pub app: Option<String>,
    /// It belongs to one container.
    pub anonymous: bool,
    /// The containers that have it.
    pub used_by: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options.
    pub options: BTreeMap<String, String>,
}

/// `POST /v1/networks`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkCreate {
    /// Its name.
    pub name: String,
    /// No way out, and none in.
    #[serde(default)]
    pub internal: bool,
    /// Also IPv6.
    #[serde(default)]
    pub ipv6: bool,
    /// As in `172.28.0.0/16`; chosen when none.
    #[serde(default)]
    pub subnet: Option<String>,
    /// The bridge's address.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The bridge on the host.
    pub bridge: String,
    /// No way out, and none in.
    pub internal: bool,
    /// Its address ranges.
    pub subnets: Vec<String>,
    /// Its gateways.
    pub gateways: Vec<String>,
    /// The app that it belongs to.
    pub app: Option<String>,
    /// The containers on it: name and address.
    pub containers: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}
