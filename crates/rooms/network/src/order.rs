//! What callers ask of the networks and what they are told: orders in, views and attachments out.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use base::{AppName, ContainerId, NetworkName, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};

use base::Cidr;

/// A network as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOrder {
    /// Its name, unique on the daemon.
    pub name: NetworkName,
    /// No way out of it, and none in.
    pub internal: bool,
    /// Also IPv6 addresses.
    pub enable_ipv6: bool,
    /// Address ranges asked for; what is missing is chosen. At most one range for each family.
    pub ipam: Vec<IpamOrder>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The app that it belongs to.
    pub app: Option<AppName>,
    /// Options of the `bridge` driver, by docker's names; see [`crate::driver_option_names`].
    pub driver_opts: BTreeMap<String, String>,
    /// What we keep for whoever asked, and make nothing of.
    pub remarks: Remarks,
}

/// What is said of a network that changes nothing on one machine; kept to be given back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Remarks {
    /// Containers beside those of services may join it, on a swarm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attachable: bool,
    /// Options of whoever hands addresses out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam_options: Option<BTreeMap<String, String>>,
}

impl Remarks {
    /// Whether there is nothing to keep.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl NetworkOrder {
    /// A plain network with everything chosen by us.
    pub fn named(name: NetworkName) -> Self {
        Self {
            name,
            internal: false,
            enable_ipv6: false,
            ipam: Vec::new(),
            labels: BTreeMap::new(),
            app: None,
            driver_opts: BTreeMap::new(),
            remarks: Remarks::default(),
        }
    }
}

/// One address range as asked for: texts as people write them, checked at creation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IpamOrder {
    /// As in `172.28.0.0/16`; chosen when none.
    pub subnet: Option<String>,
    /// Addresses are handed out from here only.
    pub ip_range: Option<String>,
    /// The bridge's own address; the first of the subnet when none.
    pub gateway: Option<String>,
    /// Addresses that are never handed out, by a name for people.
    pub aux_addresses: BTreeMap<String, String>,
}

/// A network as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkView {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: NetworkName,
    /// The bridge's name on the host.
    pub bridge: String,
    /// When it was made.
    pub created: Timestamp,
    /// No way out of it, and none in.
    pub internal: bool,
    /// Also IPv6 addresses.
    pub enable_ipv6: bool,
    /// The address ranges: IPv4 first.
    pub subnets: Vec<SubnetView>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The app that it belongs to.
    pub app: Option<AppName>,
    /// Options as ordered.
    pub driver_opts: BTreeMap<String, String>,
    /// As ordered.
    pub remarks: Remarks,
    /// What is attached, by container.
    pub attachments: Vec<Attachment>,
}

/// An address range of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetView {
    /// As in `172.28.0.0/24`.
    pub subnet: Cidr,
    /// The bridge's own address, where the host and the name server answer.
    pub gateway: IpAddr,
    /// Addresses are handed out from here only.
    pub ip_range: Option<Cidr>,
    /// Addresses that are never handed out.
    pub aux_addresses: BTreeMap<String, IpAddr>,
}

/// A container that joins a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachOrder {
    /// Which container.
    pub container: ContainerId,
    /// A process in the container's network namespace; it need not be the container's own.
    pub pid: u32,
    /// The interface inside becomes `eth<index>`.
    pub index: u32,
    /// Names that mean this container alone: its name, short id, host name. They resolve even while it
    /// is not ready. The first one answers questions by address.
    pub names: Vec<String>,
    /// Names that it shares with others, as its service's: they resolve to all ready ones.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed address.
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<Mac>,
    /// Whether the way out leads over this network.
    pub default_route: bool,
    /// Name servers to ask for foreign names in this container's place; the host's when none.
    pub dns: Vec<IpAddr>,
    /// Names that are valid for this container alone, each with the name of the one that it means.
    pub links: Vec<(String, String)>,
    /// More addresses of its own; nobody looks whether another has them.
    pub link_local: Vec<IpAddr>,
    /// What the interface is called inside in place of `eth<index>`.
    pub interface: Option<String>,
    /// What [`Attachment::ready`] begins as.
    pub ready: bool,
    /// The service whose instance it is: where an address of its own stands for that, names shared lead there.
    pub instance_of: Option<(AppName, ServiceName)>,
}

/// A service that is to have an address of its own on a network, which the edge answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedOrder {
    /// The network.
    pub network: NetworkName,
    /// The service.
    pub service: ServiceName,
    /// What it is called there; the first one answers questions by address.
    pub names: Vec<String>,
    /// Addresses that are for others, though none has them yet.
    pub avoid: Vec<IpAddr>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Which container.
    pub container: ContainerId,
    /// Which network.
    pub network: NetworkName,
    /// The network's id.
    pub network_id: String,
    /// Its name inside, as `eth0`.
    pub interface: String,
    /// Its other end's name on the host.
    pub host_interface: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its address.
    pub ipv4: Option<Ipv4Addr>,
    /// The prefix length of the IPv4 subnet.
    pub ipv4_prefix: u8,
    /// The bridge's address.
    pub ipv4_gateway: Option<Ipv4Addr>,
    /// Its address.
    pub ipv6: Option<Ipv6Addr>,
    /// The prefix length of the IPv6 subnet.
    pub ipv6_prefix: u8,
    /// The bridge's address.
    pub ipv6_gateway: Option<Ipv6Addr>,
    /// Names that mean this container alone.
    pub names: Vec<String>,
    /// Names that it shares.
    pub aliases: Vec<String>,
    /// Whether shared names lead to it.
    pub ready: bool,
    /// Whether the way out leads over this network.
    pub default_route: bool,
}

/// What [`crate::Networks::settle`] found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Bridges made anew.
    pub bridges_restored: Vec<NetworkName>,
    /// Links on the host that nobody knew, removed.
    pub links_removed: Vec<String>,
    /// Attachments of containers that live no more, released.
    pub released: Vec<(ContainerId, NetworkName)>,
    /// Attachments of live containers that had lost their link and have it again.
    pub attachments_restored: Vec<(ContainerId, NetworkName)>,
    /// Attachments of live containers that could not be brought back: attach them again.
    pub lost: Vec<(ContainerId, NetworkName)>,
}

/// How a daemon wants its networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where subnets are taken from.
    pub pools: Vec<PoolOrder>,
    /// Who answers for names.
    pub names: NamesLaunch,
}

/// A large range that is cut into subnets of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOrder {
    /// The whole range.
    pub base: Cidr,
    /// The prefix length of one network's subnet.
    pub size: u8,
}

impl Default for Settings {
    /// `/20`s, each of which holds 4,093 containers, of 172.18.0.0/16 to 172.30.0.0/16, and names served inside the daemon. IPv6 subnets are `/64`s of
    /// a local range of the root's own.
    fn default() -> Self {
        Self { pools: crate::pool::default_pools(), names: NamesLaunch::InProcess }
    }
}

/// Who answers for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamesLaunch {
    /// A process of its own, which goes on answering while the daemon is away: this program with these
    /// arguments, which must end in [`crate::names::names_main`] on the same folder.
    Process {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        args: Vec<std::ffi::OsString>,
    },
    /// Tasks of this process; names end with it.
    InProcess,
}

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Mac {
    /// The address by which its link is known to neighbours in IPv6 (RFC 4291, appendix A).
    pub(crate) fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hardware address of one interface, as in `02:42:ac:11:00:02`")]
pub struct InvalidMac(String);

impl FromStr for Mac {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let invalid = || InvalidMac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        // The lowest bit of the first byte marks groups, which no interface may be.
        if parts.next().is_some() || bytes[0] & 1 == 1 { Err(invalid()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for Mac {
    type Error = InvalidMac;
    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}
