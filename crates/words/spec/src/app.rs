//! An app: what one compose file describes.

use base::{AppName, NetworkName, ServiceName, VolumeName};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{Blob, Service};

/// An app, resolved and complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Compose's project name.
    pub name: AppName,
    /// In the order of the file.
    pub services: IndexMap<ServiceName, Service>,
    /// By the key that services use in this file.
    #[serde(default)]
    pub networks: IndexMap<String, Network>,
    /// By the key that mounts use in this file.
    #[serde(default)]
    pub volumes: IndexMap<String, Volume>,
    /// By the key that services use in this file.
    #[serde(default)]
    pub secrets: IndexMap<String, FileSource>,
    /// By the key that services use in this file.
    #[serde(default)]
    pub configs: IndexMap<String, FileSource>,
}

/// A network as the file asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its name on the daemon: `<app>_<key>` unless the file gives one.
    pub name: NetworkName,
    /// Somebody else makes and removes it.
    #[serde(default)]
    pub external: bool,
    /// No way out of it, and none in.
    #[serde(default)]
    pub internal: bool,
    /// `bridge` unless the file says otherwise.
    #[serde(default)]
    pub driver: Option<String>,
    /// The driver's own options.
    #[serde(default)]
    pub driver_opts: IndexMap<String, String>,
    /// Also IPv6 addresses.
    #[serde(default)]
    pub enable_ipv6: bool,
    /// Containers from outside the app may join by hand.
    #[serde(default)]
    pub attachable: bool,
    /// Address ranges that the file asks for; chosen by the daemon when empty.
    #[serde(default)]
    pub ipam: Vec<Ipam>,
    /// Labels.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
}

impl Network {
    /// A network that somebody else makes and removes.
    pub fn external(name: NetworkName) -> Self {
        Self { external: true, ..Self::plain(name) }
    }

    /// A network of which nothing is said.
    pub fn plain(name: NetworkName) -> Self {
        Self {
            name,
            external: false,
            internal: false,
            driver: None,
            driver_opts: IndexMap::new(),
            enable_ipv6: false,
            attachable: false,
            ipam: Vec::new(),
            labels: IndexMap::new(),
        }
    }
}

/// One address range of a network. Texts are as in the file, checked by the network room.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ipam {
    /// As in `172.28.0.0/16`.
    #[serde(default)]
    pub subnet: Option<String>,
    /// Addresses are handed out from here only.
    #[serde(default)]
    pub ip_range: Option<String>,
    /// The bridge's own address.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Addresses that are taken by others.
    #[serde(default)]
    pub aux_addresses: IndexMap<String, String>,
}

/// A named volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name on the daemon: `<app>_<key>` unless the file gives one.
    pub name: VolumeName,
    /// Somebody else makes and removes it.
    #[serde(default)]
    pub external: bool,
    /// `local` unless the file says otherwise.
    #[serde(default)]
    pub driver: Option<String>,
    /// The driver's own options, as `type`, `o` and `device` of `local`.
    #[serde(default)]
    pub driver_opts: IndexMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
}

/// A secret or a config: bytes that become a file in containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSource {
    /// Its name on the daemon: `<app>_<key>` unless the file gives one.
    pub name: String,
    /// The bytes; none for an external one, which the daemon has already.
    pub content: Option<Blob>,
    /// Labels.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
}
