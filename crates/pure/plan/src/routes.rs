//! Where requests go: the edge's share of an app, from the routes of its releases and the instances that are ready.
//!
//! While a release takes over, instances of two releases answer side by side, each at the port that its own release
//! gives; a route that moved to another service stays where it was until the new service is ready.

mod between;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base::{ContainerId, ServiceName};
use spec::{
    App, Blob, Issuer, Mirror, PathPrefix, Protocol, RouteHttps, RouteRules, Service, ServiceCertificate,
    Split,
};

use crate::beside;
use crate::decide::{Course, Fleet, Instance, Life, Wanted};
use crate::release::Release;
use crate::tls::{Certificate, PrivateKey, RuleHttps, StrictTransport};
pub(crate) use between::served_as_wanted;

use crate::traffic::{Endpoint, Listener, Pool, PoolProtocol, RouteRule, RouteShare};

/// How far the release has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Basis {
    /// Its jobs are done. Until then requests go as before.
    pub(crate) traffic_may_move: bool,
    /// All its services are there, so nothing of the release before is needed.
    pub(crate) complete: bool,
}

impl RouteShare {
    /// Whether it sends requests to this instance.
    pub fn sends_to(&self, id: &ContainerId) -> bool {
        self.pools.values().flat_map(|pool| &pool.endpoints).any(|end| end.instance == *id)
    }

    /// Whether it has no way in at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.listeners.is_empty()
    }
}

/// A way in: what a request must match to come this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way<'a> {
    Route { host: Option<&'a str>, path: &'a PathPrefix },
    Port { address: SocketAddr, udp: bool },
}

/// A way in that leads to a service.
#[derive(Debug, Clone, Copy)]
struct Lead<'a> {
    way: Way<'a>,
    service: &'a ServiceName,
    /// The container's port.
    port: u16,
    strip_prefix: bool,
    https: Option<&'a RouteHttps>,
    rules: Option<&'a RouteRules>,
    protocol: Protocol,
}

impl Lead<'_> {
    /// Requests that come this way are sent elsewhere.
    fn leads_nowhere(&self) -> bool {
        self.rules.is_some_and(|rules| rules.redirect.is_some())
    }
}

/// The ways into a release.
fn leads(release: &Release) -> impl Iterator<Item = Lead<'_>> {
    release.app.services.iter().flat_map(|(service, spec)| {
        let routes = spec.routes.iter().map(move |route| Lead {
            way: Way::Route { host: route.host.as_deref(), path: &route.path },
            service,
            port: route.port,
            strip_prefix: route.strip_prefix,
            https: Some(&route.https),
            rules: Some(&route.rules),
            protocol: Protocol::Http,
        });
        let ports = spec.ports.iter().map(move |published| {
            let ip = published.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            Lead {
                way: Way::Port {
                    address: SocketAddr::new(ip, published.host_port),
                    udp: published.protocol == Protocol::Udp,
                },
                service,
                port: published.port,
                strip_prefix: false,
                https: None,
                rules: None,
                protocol: published.protocol,
            }
        });
        routes.chain(ports)
    })
}

/// The share of this app at this moment.
pub(crate) fn share(
    wanted: &Wanted<'_>,
    fleet: &Fleet<'_>,
    leaving: &BTreeSet<&ContainerId>,
    basis: Basis,
) -> RouteShare {
    let mut share = ways(wanted, fleet, leaving, basis);
    for pool in share.pools.values_mut().filter(|pool| pool.policy.cache.is_some()) {
        pool.revision = revision(fleet, &pool.endpoints);
    }
    share
}

/// What all these instances are made from; empty where there are none, or some that are made from something else.
fn revision(fleet: &Fleet<'_>, endpoints: &[Endpoint]) -> String {
    let crews = fleet.crews.iter().flat_map(|crew| crew.current.iter().chain(&crew.old)).chain(&fleet.gone);
    let is_here = |one: &&Instance<'_>| {
        one.seen.is_some_and(|seen| endpoints.iter().any(|end| end.instance == seen.id))
    };
    let mut all: Vec<_> = crews.filter(is_here).map(|one| one.revision).collect();
    all.dedup();
    if let [only] = all[..] { only.to_string() } else { String::new() }
}

/// The share without what is known of all of it together.
fn ways(
    wanted: &Wanted<'_>,
    fleet: &Fleet<'_>,
    leaving: &BTreeSet<&ContainerId>,
    basis: Basis,
) -> RouteShare {
    let mut share = RouteShare::default();
    let before = wanted.before;
    if let Some(before) = before.filter(|_| !basis.traffic_may_move) {
        for lead in leads(before) {
            let ends = ends(fleet, leaving, &lead, |one| port_of(wanted, one, &lead).or(Some(lead.port)));
            add(wanted, &mut share, &lead, ends);
        }
        between::add(wanted, before, fleet, leaving, &mut share);
        add_others(wanted, before, (fleet, leaving), &mut share);
        add_asked(wanted, fleet, leaving, &mut share);
        share.tls.certificates = certificates(&before.app);
        share.tls.issue = to_issue(&before.app);
        return share;
    }
    for lead in leads(wanted.release) {
        let then = before.and_then(|before| leads(before).find(|then| then.way == lead.way));
        let new_way = before.is_some() && then.is_none_or(|then| then.service != lead.service);
        let port = |one: &Instance<'_>| {
            let is_current =
                wanted.release.made.get(one.service).is_some_and(|made| made.revision == *one.revision);
            if is_current {
                return Some(lead.port);
            }
            match port_of(wanted, one, &lead) {
                Some(port) => Some(port),
                // An older instance does not know of a way that its release did not have.
                None if new_way => None,
                None => Some(lead.port),
            }
        };
        let new_ends = ends(fleet, leaving, &lead, port);
        // A redirect needs nobody to be ready.
        let waits = new_ends.is_empty() && !lead.leads_nowhere();
        match then.filter(|then| waits && then.service != lead.service) {
            Some(then) => {
                let old = ends(fleet, leaving, &then, |one| port_of(wanted, one, &then).or(Some(then.port)));
                add(wanted, &mut share, &then, old);
            }
            None => add(wanted, &mut share, &lead, new_ends),
        }
    }
    // Ways that only the release before has stay until this one is whole. Those of a release that failed do not: it may
    // have failed because one of them cannot be opened.
    let stays = !basis.complete && wanted.course != Course::RollingBack;
    if let Some(before) = before.filter(|_| stays) {
        for then in leads(before) {
            if !leads(wanted.release).any(|lead| lead.way == then.way) {
                let old = ends(fleet, leaving, &then, |one| port_of(wanted, one, &then).or(Some(then.port)));
                if !old.is_empty() {
                    add(wanted, &mut share, &then, old);
                }
            }
        }
    }
    between::add(wanted, wanted.release, fleet, leaving, &mut share);
    add_others(wanted, wanted.release, (fleet, leaving), &mut share);
    add_asked(wanted, fleet, leaving, &mut share);
    share.tls.certificates = certificates(&wanted.release.app);
    share.tls.issue = to_issue(&wanted.release.app);
    share
}

/// The port at which an instance answers this way, by the release that it was made for.
fn port_of(wanted: &Wanted<'_>, one: &Instance<'_>, lead: &Lead<'_>) -> Option<u16> {
    let its =
        leads(release_of(wanted, one)?).find(|its| its.way == lead.way && its.service == lead.service)?;
    // That release sent requests elsewhere, so its instances know of no port for them.
    (!its.leads_nowhere()).then_some(its.port)
}

/// The release that an instance was made for.
fn release_of<'a>(wanted: &Wanted<'a>, one: &Instance<'_>) -> Option<&'a Release> {
    let is_its =
        |release: &&Release| release.made.get(one.service).is_some_and(|made| made.revision == *one.revision);
    let kept = wanted.history.values().rev().map(AsRef::as_ref);
    [Some(wanted.release), wanted.before].into_iter().flatten().chain(kept).find(is_its)
}

/// The instances that get requests by this way, each with the port that `port` gives.
fn ends(
    fleet: &Fleet<'_>,
    leaving: &BTreeSet<&ContainerId>,
    lead: &Lead<'_>,
    port: impl Fn(&Instance<'_>) -> Option<u16>,
) -> Vec<Endpoint> {
    let crew = fleet.crew(lead.service).into_iter().flat_map(|crew| crew.current.iter().chain(&crew.old));
    let gone = fleet.gone.iter().filter(|one| one.service == lead.service);
    let mut ends: Vec<_> = crew
        .chain(gone)
        .filter(|one| one.life == Life::Ready)
        .filter_map(|one| {
            let seen = one.seen.filter(|seen| !leaving.contains(&seen.id))?;
            let address = SocketAddr::new(seen.address?, port(one)?);
            Some(Endpoint { instance: seen.id.clone(), address })
        })
        .collect();
    ends.sort_unstable();
    ends
}

fn add(wanted: &Wanted<'_>, share: &mut RouteShare, lead: &Lead<'_>, endpoints: Vec<Endpoint>) {
    let pool = if lead.leads_nowhere() { String::new() } else { add_pool(wanted, share, lead, endpoints) };
    match lead.way {
        Way::Route { host, path } => share.rules.push(RouteRule {
            host: host.map(str::to_owned),
            path: path.clone(),
            strip_prefix: lead.strip_prefix,
            pool,
            https: lead.https.map(rule_https).unwrap_or_default(),
            users: users(wanted, lead),
            asks: String::new(),
            rules: lead.rules.cloned().unwrap_or_default(),
        }),
        Way::Port { address, udp: _ } => {
            let between = false;
            share.listeners.push(Listener { address, protocol: lead.protocol, pool, between });
        }
    }
}

/// The name of the pool with these instances.
fn add_pool(
    wanted: &Wanted<'_>,
    share: &mut RouteShare,
    lead: &Lead<'_>,
    endpoints: Vec<Endpoint>,
) -> String {
    let mut pool = format!("{}:{}", lead.service, lead.port);
    // Two ways to one port share a pool, unless they lead to different instances at this moment.
    while share.pools.get(&pool).is_some_and(|there| there.endpoints != endpoints) {
        pool.push('+');
    }
    let service = || format!("{}/{}", wanted.release.app.name, lead.service);
    // Who left the file goes by what was said of it last.
    let releases = [Some(wanted.release), wanted.before].into_iter().flatten();
    let policy = releases.filter_map(|release| release.app.services.get(lead.service)).next();
    let policy = policy.map(|spec| spec.edge.clone()).unwrap_or_default();
    let protocol = if policy.http2 { PoolProtocol::H2 } else { PoolProtocol::Http1 };
    let app = &wanted.release.app;
    let page = |config: &String| Some(text(app.configs.get(config)?.content.as_ref()?));
    let pages =
        policy.error_pages.iter().filter_map(|(key, config)| Some((key.clone(), page(config)?))).collect();
    share.pools.entry(pool.clone()).or_insert_with(|| Pool {
        service: service(),
        revision: String::new(),
        endpoints,
        pages,
        policy,
        protocol,
        sides: BTreeMap::new(),
        mirror: String::new(),
    });
    pool
}

/// The service and the port that a pool's name is made of.
fn place(pool: &str) -> Option<(ServiceName, u16)> {
    let (service, port) = pool.trim_end_matches('+').rsplit_once(':')?;
    Some((service.parse().ok()?, port.parse().ok()?))
}

/// Why another service is asked at the port that it is asked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    Side,
    Mirror,
}

/// The services that get requests of this one, or copies of them, each with its port if that is another.
pub(crate) fn named(service: &Service) -> impl Iterator<Item = (As, &ServiceName, Option<u16>)> {
    others(service.edge.split.as_ref(), service.edge.mirror.as_ref())
}

fn others<'a>(
    split: Option<&'a Split>,
    mirror: Option<&'a Mirror>,
) -> impl Iterator<Item = (As, &'a ServiceName, Option<u16>)> {
    let sides = split.into_iter().flat_map(|split| &split.sides);
    let mirror = mirror.into_iter().map(|mirror| (As::Mirror, &mirror.to, mirror.port));
    sides.map(|(name, side)| (As::Side, name, side.port)).chain(mirror)
}

/// The split of the release before, while its new side becomes the service: its clients stay with its instances until
/// the service has as many of them.
fn outlasting<'a>(wanted: &Wanted<'a>, fleet: &Fleet<'_>, service: &ServiceName) -> Option<&'a Split> {
    let before = wanted.before.filter(|_| matches!(wanted.course, Course::Rolling | Course::Held))?;
    let (_, side) = beside::in_force(&before.app, service)?;
    let becomes = wanted.release.made.get(service)?.image == before.made.get(&side)?.image;
    let goes_on = fleet.crew(service).is_some_and(|crew| crew.changed && !crew.complete());
    (becomes && goes_on).then_some(())?;
    before.app.services.get(service)?.edge.split.as_ref()
}

/// Whether requests for one service, or copies of them, go to another.
pub(crate) fn leads_to(service: &Service, other: &ServiceName) -> bool {
    named(service).any(|(_, name, _)| name == other)
}

/// The pools of services that take requests of others as a side of theirs, or copies of them: by the release that says
/// where requests go.
fn add_others(
    wanted: &Wanted<'_>,
    release: &Release,
    (fleet, leaving): (&Fleet<'_>, &BTreeSet<&ContainerId>),
    share: &mut RouteShare,
) {
    let ways: Vec<_> = share.pools.keys().filter_map(|pool| Some((pool.clone(), place(pool)?))).collect();
    let path = PathPrefix::root();
    for (pool, (service, way)) in ways {
        let edge = release.app.services.get(&service).map(|spec| &spec.edge);
        let split = edge.and_then(|edge| edge.split.as_ref());
        let split = split.or_else(|| outlasting(wanted, fleet, &service));
        let copies = edge.and_then(|edge| edge.mirror.as_ref());
        let (mut sides, mut mirror) = (BTreeMap::new(), String::new());
        for (kind, other, port) in others(split, copies).filter(|(_, other, _)| **other != service) {
            let lead = Lead {
                way: Way::Route { host: None, path: &path },
                service: other,
                port: port.unwrap_or(way),
                strip_prefix: false,
                https: None,
                rules: None,
                protocol: Protocol::Http,
            };
            // An instance of before is asked where its own release asked it.
            let port = |one: &Instance<'_>| {
                let then = release_of(wanted, one).and_then(|its| its.app.services.get(&service));
                let its = then.and_then(|then| named(then).find(|its| (its.0, its.1) == (kind, other)));
                Some(its.map_or(lead.port, |(_, _, port)| port.unwrap_or(way)))
            };
            let ends = ends(fleet, leaving, &lead, port);
            let made = add_pool(wanted, share, &lead, ends);
            match kind {
                As::Side => drop(sides.insert(other.clone(), made)),
                As::Mirror => mirror = made,
            }
        }
        if let Some(made) = share.pools.get_mut(&pool) {
            made.policy.split = split.cloned();
            made.policy.mirror = copies.cloned();
            (made.sides, made.mirror) = (sides, mirror);
        }
    }
}

/// The pools of services that routes ask first.
fn add_asked(
    wanted: &Wanted<'_>,
    fleet: &Fleet<'_>,
    leaving: &BTreeSet<&ContainerId>,
    share: &mut RouteShare,
) {
    for at in 0..share.rules.len() {
        let Some(auth) = share.rules[at].rules.forward_auth.clone() else { continue };
        let lead = Lead {
            way: Way::Route { host: None, path: &auth.path },
            service: &auth.service,
            port: auth.port,
            strip_prefix: false,
            https: None,
            rules: None,
            protocol: Protocol::Http,
        };
        let ends = ends(fleet, leaving, &lead, |_| Some(auth.port));
        share.rules[at].asks = add_pool(wanted, share, &lead, ends);
    }
}

/// The users that may come this way, by the release that it belongs to.
fn users(wanted: &Wanted<'_>, lead: &Lead<'_>) -> Option<Blob> {
    let key = &lead.rules?.basic_auth.as_ref()?.users;
    let releases = [Some(wanted.release), wanted.before].into_iter().flatten();
    let secrets = releases.filter_map(|release| release.app.secrets.get(key));
    secrets.filter_map(|secret| secret.content.clone()).next()
}

/// What is no text cannot be what is wanted either, and the edge says so.
fn text(content: &Blob) -> String {
    String::from_utf8_lossy(&content.0).into_owned()
}

fn rule_https(route: &RouteHttps) -> RuleHttps {
    let strict = route.remembered.map(|time| StrictTransport {
        max_age_secs: time.as_secs(),
        include_subdomains: false,
        preload: false,
    });
    RuleHttps { only: route.only, strict }
}

/// The certificates that the services of an app show for the hosts of their routes.
fn certificates(app: &App) -> Vec<Certificate> {
    let text = |key: &str| {
        let file = app.secrets.get(key).or_else(|| app.configs.get(key))?;
        Some(text(file.content.as_ref()?))
    };
    let of = |service: &Service| {
        let Some(ServiceCertificate::Files(files)) = &service.certificate else { return None };
        let names = hosts(service);
        let (chain, key) = (text(&files.chain)?, PrivateKey(text(&files.key)?));
        (!names.is_empty()).then_some(Certificate { names, chain, key, fallback: false })
    };
    app.services.values().filter_map(of).collect()
}

/// The names for which an authority is to issue certificates: one for each service that wants that.
fn to_issue(app: &App) -> Vec<Vec<String>> {
    let wants =
        |service: &&Service| matches!(service.certificate, Some(ServiceCertificate::By(Issuer::Acme)));
    let mut lists: Vec<_> = app.services.values().filter(wants).map(hosts).collect();
    lists.retain(|names| !names.is_empty());
    lists.sort_unstable();
    lists.dedup();
    lists
}

/// The hosts of the routes of a service.
fn hosts(service: &Service) -> Vec<String> {
    let mut names: Vec<_> = service.routes.iter().filter_map(|route| route.host.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
