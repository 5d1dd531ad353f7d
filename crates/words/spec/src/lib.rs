//! The documents people write, resolved: app, service, network, volume, secret, route.
//!
//! A compose file becomes one [`App`] once interpolation, overrides and defaults are done. It is what the command
//! sends to the daemon, what a release keeps, and what `plan` and the rooms read. Everything in it is explicit: where
//! the file was silent, whoever made the document chose the default.

mod app;
mod blob;
mod edge;
mod files;
mod mount;
mod patterns;
mod policy;
mod route;
mod rules;
mod service;
mod split;
mod users;

pub use app::{App, FileSource, Ipam, Network, Volume};
pub use blob::Blob;
pub use edge::{
    BalanceBy, Caching, CertificateFiles, EdgePolicy, Issuer, Limit, Maintenance, PAGE_BYTES, ProxyProtocol,
    Rate, RateKey, RouteHttps, ServiceCertificate, is_page,
};
pub use files::{FileEntry, FileTree, Files, Missing, TreeFlaw, is_digest};
pub use mount::{FileMount, Mount, MountKind, Tmpfs};
pub use patterns::{Breaking, Hedge, HedgeAfter, Priority, PriorityMatch, Stick, Urgency};
pub use policy::{
    Condition, Dependency, FailureAction, HealthCheck, HttpProbe, Order, Probe, Restart, StatusRange,
    UpdatePolicy,
};
pub use route::{PathPrefix, Protocol, Published, Route};
pub use rules::{BasicAuth, ForwardAuth, HeaderRules, HeaderSide, Redirect, RouteRules};
pub use service::{
    Attachment, Build, Device, DeviceBound, DeviceRate, Hook, INTERFACE_NAME, Limits, Link, Logging,
    Namespace, NetworkMode, PullPolicy, Security, Service, Ulimit,
};
pub use split::{
    HIGHEST_WEIGHT, MatchBy, Mirror, ReleaseMatch, ReleaseSplit, Side, SideMatch, Split, Sticky, Which,
};
pub use users::{MOST_COST, MOST_USERS, users};
