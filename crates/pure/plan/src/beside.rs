//! A new release of a service beside the one that runs (`x-sea.edge.split.release`): the app that is stored.
//!
//! Where a service's file asks for that, and its instances would be made from something else than those that run, the
//! service stays as it runs, and a service of its own, its side, is made as the file has it. Between the two stands an
//! ordinary split. All else takes that as it takes any split, so a release says by itself what it is: a rollback, a
//! restart of the daemon and the edge need to know nothing more.
//!
//! What instances are made from is split. All else (routes, ports, what is wanted of the edge, numbers, policies) is
//! the new file's at once, for both.

use std::collections::BTreeMap;
use std::fmt;

use base::{Kind, Problem, ServiceName};
use indexmap::IndexMap;
use spec::{
    App, FileMount, FileSource, MatchBy, MountKind, NetworkMode, Order, Protocol, ReleaseSplit, Service,
    Side, SideMatch, Split, Which,
};

use crate::order;
use crate::release::Release;
use crate::revision::{Ingredients, original, revision};

/// What follows a service's name in the name of its new release's part.
const SUFFIX: &str = ".new";

/// An app, with the images of its services by digest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Composed {
    pub(crate) app: App,
    pub(crate) images: BTreeMap<ServiceName, String>,
}

/// Why two releases of a service cannot run side by side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two releases of `{service}` cannot run side by side: {why}")]
pub struct BesideError {
    /// The service.
    pub service: ServiceName,
    /// Why.
    pub why: Why,
}

/// What is in the way of a second release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The name that its part would have.
    NameTaken(String),
    /// It runs once, or did.
    Job,
    /// No request reaches it through the edge.
    NoWay,
    /// It is updated stop-first.
    StopFirst,
    /// What only one container can have.
    Fixed(&'static str),
    /// The old one alone may have what it has.
    WasAlone,
    /// It has no network of its own.
    NoNetwork,
    /// It lives in a namespace of this one.
    LivesWith(ServiceName),
    /// The old one is asked at another port.
    Port {
        /// By which way.
        way: String,
        /// The old one's.
        old: u16,
        /// The new one's.
        new: u16,
    },
    /// The two speak different protocols.
    Protocol,
    /// The old one needs what the file does not have any more.
    Needs(ServiceName),
    /// Both use it, and it is to change.
    Changed {
        /// `network` or `volume`.
        what: &'static str,
        /// Its key.
        key: String,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken(name) => {
                write!(f, "the part of the new one would be called `{name}`, which is no free name")
            }
            Self::Job => write!(f, "it runs once in a release"),
            Self::NoWay => write!(f, "no request comes to it through the edge"),
            Self::StopFirst => write!(f, "its update stops the old one before it starts the new one"),
            Self::Fixed(what) => write!(f, "a fixed {what} cannot be taken twice"),
            Self::WasAlone => write!(f, "the old one was made to run alone"),
            Self::NoNetwork => write!(f, "it has no network of its own"),
            Self::LivesWith(other) => write!(f, "it lives in a namespace of `{other}`"),
            Self::Port { way, old, new } => {
                write!(f, "requests for {way} come to port {old} of the old one and to {new} of the new one")
            }
            Self::Protocol => write!(f, "one speaks HTTP/2 and the other HTTP/1.1"),
            Self::Needs(other) => write!(f, "the old one needs `{other}`, which the file does not have"),
            Self::Changed { what, key } => write!(f, "the {what} `{key}`, which the old one uses, changes"),
        }
    }
}

impl Problem for BesideError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        let alone = "make that change in a release of its own, without `x-sea.edge.split.release`";
        Some(match &self.why {
            Why::NameTaken(_) => "give the other service, or this one, another name".into(),
            Why::Job | Why::LivesWith(_) | Why::NoNetwork => "take `x-sea.edge.split.release` out".into(),
            Why::NoWay => "give it a route, a published port, or a port in `expose` that others call".into(),
            Why::StopFirst => {
                "take `x-sea.edge.split.release` out; or, if two may write to its volumes at once, say `x-sea.writer: many`, or `order: start-first` in `deploy.update_config`".into()
            }
            Why::Fixed(what) => format!("take the fixed {what} out, or `x-sea.edge.split.release`"),
            Why::WasAlone | Why::Port { .. } | Why::Protocol | Why::Changed { .. } => alone.into(),
            Why::Needs(other) => format!("keep `{other}` until the new release has all requests"),
        })
    }
}

/// The service that is the new release's part of this one.
pub fn side_name(service: &ServiceName) -> Option<ServiceName> {
    ServiceName::new(format!("{service}{SUFFIX}")).ok()
}

/// The split between two releases of this service that is in force in this app, with the new one's part.
pub fn in_force<'a>(app: &'a App, service: &ServiceName) -> Option<(&'a ReleaseSplit, ServiceName)> {
    let edge = &app.services.get(service)?.edge;
    let side = side_name(service)?;
    let split = edge.split.as_ref().filter(|split| split.sides.contains_key(&side))?;
    (split.sides.len() == 2).then_some(())?;
    Some((edge.release.as_ref()?, side))
}

/// The service whose new release this one is.
pub fn original_of<'a>(app: &'a App, side: &ServiceName) -> Option<(&'a ServiceName, &'a ReleaseSplit)> {
    let service = side.as_str().strip_suffix(SUFFIX)?;
    let (name, _) = app.services.get_key_value(&ServiceName::new(service).ok()?)?;
    Some((name, in_force(app, name)?.0))
}

/// The app that is stored when this one is wanted while `live` runs. What images say is filled in already in both.
pub(crate) fn compose(
    app: App,
    images: BTreeMap<ServiceName, String>,
    live: Option<&Release>,
) -> Result<Composed, BesideError> {
    let file = app.clone();
    let mut composed = Composed { app, images };
    for (name, new) in &file.services {
        let Some(wish) = new.edge.release.as_ref().filter(|wish| !wish.is_whole()) else { continue };
        let refuse = |why| BesideError { service: name.clone(), why };
        let side = side_of(&file, name).map_err(refuse)?;
        allows_two(&file, name, new).map_err(refuse)?;
        let Some(live) = live else { continue };
        let Some((old, made)) = live.app.services.get(name).zip(live.made.get(name)) else { continue };
        let image = composed.images.get(name).cloned().unwrap_or_default();
        if own(&live.app, old, &made.image) == own(&file, new, &image) {
            continue;
        }
        if order::is_job(&live.app, name) {
            return Err(refuse(Why::Job));
        }
        fit(&file, old, new).map_err(refuse)?;
        let mut kept = kept(old, new);
        keep_parts(&mut composed.app, &live.app, name, &mut kept).map_err(refuse)?;
        kept.edge.split = Some(split(name, &side, wish));
        let (place, _) = composed.app.services.insert_full(name.clone(), kept);
        composed.app.services.shift_insert(place + 1, side.clone(), beside(new, wish));
        composed.images.insert(name.clone(), made.image.clone());
        composed.images.insert(side, image);
    }
    Ok(composed)
}

/// What instances of this service are made from, whatever others are.
fn own(app: &App, service: &Service, image: &str) -> base::Revision {
    revision(app, service, &Ingredients { image, generation: 0, run: None, follows: &[] })
}

fn side_of(file: &App, name: &ServiceName) -> Result<ServiceName, Why> {
    let taken = || Why::NameTaken(format!("{name}{SUFFIX}"));
    side_name(name).filter(|side| !file.services.contains_key(side)).ok_or_else(taken)
}

/// Whether two of its releases can run at once, by the file alone.
fn allows_two(file: &App, name: &ServiceName, service: &Service) -> Result<(), Why> {
    if order::is_job(file, name) {
        return Err(Why::Job);
    }
    has_own_network(service)?;
    if let Some(what) = fixed(service) {
        return Err(Why::Fixed(what));
    }
    if service.update.order == Order::StopFirst {
        return Err(Why::StopFirst);
    }
    let routed = service.routes.iter().any(|route| route.rules.redirect.is_none());
    let published = service.ports.iter().any(|port| port.protocol != Protocol::Udp);
    if routed || published || !service.edge.between.is_empty() { Ok(()) } else { Err(Why::NoWay) }
}

fn has_own_network(service: &Service) -> Result<(), Why> {
    if let Some(other) = order::hosts(service).next() {
        return Err(Why::LivesWith(other.clone()));
    }
    if service.network_mode == NetworkMode::Networks { Ok(()) } else { Err(Why::NoNetwork) }
}

/// What two containers cannot both have.
fn fixed(service: &Service) -> Option<&'static str> {
    let on = |has: fn(&spec::Attachment) -> bool| service.networks.values().any(has);
    if service.container_name.is_some() {
        return Some("`container_name`");
    }
    let address = on(|at| at.ipv4_address.is_some() || at.ipv6_address.is_some() || at.mac_address.is_some());
    address.then_some("address")
}

/// Whether the one that runs can go on beside the new one.
fn fit(file: &App, old: &Service, new: &Service) -> Result<(), Why> {
    has_own_network(old)?;
    if fixed(old).is_some() || old.update.order == Order::StopFirst {
        return Err(Why::WasAlone);
    }
    if old.edge.http2 != new.edge.http2 {
        return Err(Why::Protocol);
    }
    for route in new.routes.iter().filter(|route| route.rules.redirect.is_none()) {
        let mut then = old.routes.iter().filter(|then| then.rules.redirect.is_none());
        let then = then.find(|then| (&then.host, &then.path) == (&route.host, &route.path));
        let way = || format!("`{}{}`", route.host.as_deref().unwrap_or_default(), route.path);
        same_port(way, then.map(|then| then.port), route.port)?;
    }
    for port in &new.ports {
        let mut then = old.ports.iter().filter(|then| then.protocol == port.protocol);
        let then = then.find(|then| (then.host_ip, then.host_port) == (port.host_ip, port.host_port));
        same_port(|| format!("port {}", port.host_port), then.map(|then| then.port), port.port)?;
    }
    let mut needs = order::needs(old).filter(|need| need.required);
    match needs.find(|need| !file.services.contains_key(need.on)) {
        Some(need) => Err(Why::Needs(need.on.clone())),
        None => Ok(()),
    }
}

fn same_port(way: impl FnOnce() -> String, old: Option<u16>, new: u16) -> Result<(), Why> {
    match old.filter(|old| *old != new) {
        Some(old) => Err(Why::Port { way: way(), old, new }),
        None => Ok(()),
    }
}

/// The service as it runs, with all of the new file that its instances do not see.
fn kept(old: &Service, new: &Service) -> Service {
    let mut kept = Service {
        ports: new.ports.clone(),
        routes: new.routes.clone(),
        edge: new.edge.clone(),
        certificate: new.certificate.clone(),
        restart: new.restart,
        replicas: new.replicas,
        update: new.update.clone(),
        rollback: new.rollback.clone(),
        ..old.clone()
    };
    // How a connection to an instance opens is what that instance expects.
    kept.edge.proxy_protocol = old.edge.proxy_protocol;
    kept
}

/// The new release's part: as the file has it, but reached by the split alone.
fn beside(new: &Service, wish: &ReleaseSplit) -> Service {
    let mut side = new.clone();
    side.routes.clear();
    side.ports.clear();
    side.certificate = None;
    side.edge.release = None;
    side.edge.mirror = None;
    side.edge.between.clear();
    side.networks.values_mut().for_each(|at| at.aliases.clear());
    side.replicas = wish.replicas.unwrap_or(new.replicas);
    side
}

fn split(old: &ServiceName, new: &ServiceName, wish: &ReleaseSplit) -> Split {
    let side = |weight| Side { weight, port: None };
    let rest = ReleaseSplit::ALL.saturating_sub(wish.of_10_000);
    let matches = wish.matches.iter().map(|one| SideMatch {
        by: MatchBy::clone(&one.by),
        value: one.value.clone(),
        to: match one.to {
            Which::New => new.clone(),
            Which::Old => old.clone(),
        },
    });
    Split {
        sides: [(old.clone(), side(rest)), (new.clone(), side(wish.of_10_000))].into(),
        matches: matches.collect(),
        sticky: wish.sticky.clone(),
    }
}

/// Has the app keep what the old one uses: networks and volumes that the file has no more, and the secrets and configs
/// that it was made with, beside those of the file.
fn keep_parts(app: &mut App, live: &App, name: &ServiceName, kept: &mut Service) -> Result<(), Why> {
    for key in kept.networks.keys() {
        keep("network", key, &live.networks, &mut app.networks)?;
    }
    for mount in &kept.mounts {
        if let MountKind::Volume { key, .. } = &mount.kind {
            keep("volume", key, &live.volumes, &mut app.volumes)?;
        }
    }
    kept.secrets.iter_mut().for_each(|mount| keep_file(mount, name, &live.secrets, &mut app.secrets));
    kept.configs.iter_mut().for_each(|mount| keep_file(mount, name, &live.configs, &mut app.configs));
    Ok(())
}

fn keep<T: Clone + PartialEq>(
    what: &'static str,
    key: &String,
    live: &IndexMap<String, T>,
    now: &mut IndexMap<String, T>,
) -> Result<(), Why> {
    match (live.get(key), now.get(key)) {
        (Some(then), Some(now)) if then != now => Err(Why::Changed { what, key: key.clone() }),
        (Some(then), None) => {
            now.insert(key.clone(), then.clone());
            Ok(())
        }
        (Some(_), Some(_)) | (None, _) => Ok(()),
    }
}

/// Has a file be there under a name of its own where the new file has something else under its name.
fn keep_file(
    mount: &mut FileMount,
    service: &ServiceName,
    live: &IndexMap<String, FileSource>,
    now: &mut IndexMap<String, FileSource>,
) {
    let Some(then) = live.get(&mount.source) else { return };
    let key = original(&mount.source).to_owned();
    if now.get(&key) == Some(then) {
        mount.source = key;
        return;
    }
    mount.source = format!("{key}@{service}");
    now.insert(mount.source.clone(), then.clone());
}

#[cfg(test)]
mod tests;
