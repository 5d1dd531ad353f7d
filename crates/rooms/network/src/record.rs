//! What the room keeps on disk: the networks, and for each container what it is attached to.
//!
//! `networks.json` is written through to the disk, since networks outlive a crash of the machine. The files of
//! `attached/` are not: links do not outlive it either, and waiting for a disk at every start would cost more
//! than the start. Each is replaced as a whole, so a reader sees the old one or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use base::{AppName, ContainerId, NetworkName, ServiceName, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::order::{Mac, Remarks};
use crate::problems::{OpenError, RecordError};
use base::Cidr;

/// The version of both files.
pub(crate) const VERSION: u32 = 1;

/// `networks.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworksFile {
    pub(crate) version: u32,
    pub(crate) networks: Vec<NetworkRecord>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    pub(crate) id: String,
    pub(crate) name: NetworkName,
    pub(crate) bridge: String,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
    pub(crate) created: Timestamp,
    pub(crate) internal: bool,
    pub(crate) enable_ipv6: bool,
    pub(crate) subnets: Vec<SubnetRecord>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) app: Option<AppName>,
    pub(crate) driver_opts: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Remarks::is_empty")]
    pub(crate) remarks: Remarks,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) served: Vec<ServedRecord>,
}

/// A service whose names on a network lead to an address that the edge answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServedRecord {
    pub(crate) app: AppName,
    pub(crate) service: ServiceName,
    pub(crate) address: Ipv4Addr,
    /// Where the network has IPv6; none also in records of before services had any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ipv6: Option<Ipv6Addr>,
    pub(crate) names: Vec<String>,
}

impl ServedRecord {
    /// All of its addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        std::iter::once(IpAddr::V4(self.address)).chain(self.ipv6.map(IpAddr::V6))
    }
}

/// An address range of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubnetRecord {
    pub(crate) subnet: Cidr,
    pub(crate) gateway: IpAddr,
    pub(crate) ip_range: Option<Cidr>,
    pub(crate) aux_addresses: BTreeMap<String, IpAddr>,
}

/// `attached/<container>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachedFile {
    pub(crate) version: u32,
    pub(crate) container: ContainerId,
    pub(crate) attachments: Vec<AttachmentRecord>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachmentRecord {
    pub(crate) network_id: String,
    pub(crate) interface: String,
    pub(crate) host_interface: String,
    pub(crate) mac: Mac,
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
    pub(crate) default_route: bool,
    pub(crate) names: Vec<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) ready: bool,
    pub(crate) dns: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) link_local: Vec<IpAddr>,
    /// Whose instance it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance_of: Option<(AppName, ServiceName)>,
    /// A process that was in the namespace.
    pub(crate) pid: u32,
    /// The namespace's number, which tells whether that process is still the one meant.
    pub(crate) namespace: u64,
    /// False from before the first side effect until after the last.
    pub(crate) made: bool,
}

/// The room's folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// Whether a write waits until the disk has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    Disk,
    System,
}

impl Folder {
    /// Makes the folder if need be.
    pub(crate) fn open(path: &Path) -> Result<Self, RecordError> {
        use std::os::unix::fs::DirBuilderExt;
        let attached = path.join("attached");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&attached)
            .map_err(|source| RecordError { action: "make", path: attached, source })?;
        Ok(Self { path: path.to_owned() })
    }

    /// The networks; none if there never were any.
    pub(crate) fn networks(&self) -> Result<Vec<NetworkRecord>, OpenError> {
        let path = self.path.join("networks.json");
        let file: Option<NetworksFile> = read(&path)?;
        Ok(file.map(|f| f.networks).unwrap_or_default())
    }

    /// Replaces the networks.
    pub(crate) fn write_networks(&self, networks: Vec<NetworkRecord>) -> Result<(), RecordError> {
        let file = NetworksFile { version: VERSION, networks };
        write(&self.path.join("networks.json"), &file, Durability::Disk)
    }

    /// What containers are attached to. A file that makes no sense, as after a power cut, is passed over and
    /// returned by its path: its links do not exist any more, or `settle` removes them.
    pub(crate) fn attached(&self) -> Result<(Vec<AttachedFile>, Vec<PathBuf>), RecordError> {
        let folder = self.path.join("attached");
        let failed = |source| RecordError { action: "list", path: folder.clone(), source };
        let (mut files, mut damaged) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match read::<AttachedFile>(&path) {
                Ok(Some(file)) if path == self.attached_path(&file.container) => files.push(file),
                Ok(_) | Err(_) => damaged.push(path),
            }
        }
        files.sort_by(|a, b| a.container.cmp(&b.container));
        Ok((files, damaged))
    }

    /// Replaces what a container is attached to; an empty list removes the file.
    pub(crate) fn write_attached(
        &self,
        container: &ContainerId,
        attachments: &[AttachmentRecord],
    ) -> Result<(), RecordError> {
        let path = self.attached_path(container);
        if attachments.is_empty() {
            return match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    Err(RecordError { action: "remove", path, source })
                }
                _ => {
                    base::crash::point("network: attachment record removed");
                    Ok(())
                }
            };
        }
        let file = AttachedFile {
            version: VERSION,
            container: container.clone(),
            attachments: attachments.to_vec(),
        };
        write(&path, &file, Durability::System)
    }

    fn attached_path(&self, container: &ContainerId) -> PathBuf {
        self.path.join("attached").join(format!("{container}.json"))
    }
}

/// Only the part that every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, OpenError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(RecordError { action: "read", path: path.to_owned(), source }.into());
        }
    };
    let damaged = |why: serde_json::Error| OpenError::Damaged { path: path.to_owned(), why: why.to_string() };
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version > VERSION {
        return Err(OpenError::TooNew { path: path.to_owned(), version, known: VERSION });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Writes beside the file and renames, so that nobody sees half of it.
fn write<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<(), RecordError> {
    let failed = |source| RecordError { action: "write", path: path.to_owned(), source };
    // What a crash leaves under this name is put away when the folder is read.
    let beside = path.with_extension("json.new");
    let mut bytes = serde_json::to_vec(value).map_err(|e| failed(e.into()))?;
    bytes.push(b'\n');
    let mut file = File::create(&beside).map_err(failed)?;
    file.write_all(&bytes).map_err(failed)?;
    if durability == Durability::Disk {
        file.sync_all().map_err(failed)?;
    }
    base::crash::point("network: record beside");
    fs::rename(&beside, path).map_err(failed)?;
    if durability == Durability::Disk
        && let Some(folder) = path.parent()
    {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    base::crash::point("network: record written");
    Ok(())
}

#[cfg(test)]
mod tests;
