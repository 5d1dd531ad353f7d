//! Bridges, addresses, names and filters for the networks of one root.
//!
//! Owns the folder `network/` below the root, and on the machine everything that bears the root's tag: bridges
//! `sea<tag>….`, links `sev<tag>…`, and the nf_tables table `inet sea_<tag>`. Several roots live side by side.
//! Needs no program of the host: it speaks to the kernel itself.
//!
//! - [`Networks`] is the way in: make a network, join a container, settle after a crash.
//! - [`names`] answers for names, in a process of its own, so that containers find each other while the daemon
//!   is away.
//! - [`texts`] writes a container's `/etc/hosts` and `/etc/resolv.conf`.
//!
//! A container may not be reached from another network or from outside the machine (publishing is a proxy's
//! work), and goes out under the host's address unless its network is internal. The host itself reaches every
//! container, and containers reach the host at their gateway.

mod doctor;
mod events;
mod filter;
mod journal;
pub mod names;
mod netlink;
mod networks;
mod order;
mod pool;
mod problems;
mod realm;
mod record;
mod tag;
#[cfg(test)]
mod testbed;
pub mod texts;

pub use base::{Cidr, InvalidCidr};
pub use doctor::{Fact, doctor_facts};
pub use networks::{Answered, Networks};
pub use order::{
    AttachOrder, Attachment, InvalidMac, IpamOrder, Mac, NamesLaunch, NetworkOrder, NetworkView, PoolOrder,
    Remarks, ServedOrder, Settings, Settled, SubnetView,
};
pub use problems::{
    AttachError, ChangeError, CreateError, FindError, KernelError, OpenError, RecordError, RemoveError,
};
pub use realm::driver_option_names;
pub use tag::{InvalidTag, Tag};

/// The network of containers that name none; made when first needed and never pruned.
///
/// Unlike docker's, it answers for the names of its containers: there is one rule for all networks.
pub const DEFAULT_NETWORK: &str = "bridge";
