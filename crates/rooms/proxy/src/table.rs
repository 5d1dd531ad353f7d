//! The one document that the edge goes by, and the form in which requests are looked up in it.

mod reading;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use base::{Cidr, ContainerId};
use plan::tls::{ClientCertificates, Issued, StrictTransport};
use plan::traffic::{Listener, Pool, PoolProtocol, RouteShare};
use serde::{Deserialize, Serialize};
use spec::{Blob, EdgePolicy, PathPrefix, Protocol};

use crate::cache::Cache;
use crate::endpoint::EndpointState;
use crate::files::Shelves;
use crate::fork::Fork;
use crate::gate::Gate;
use crate::head::Field;
use crate::refusal::Refusal;
use crate::rules::{self, Rules, Users, Wishes};
use crate::status::{PortStatus, RuleStatus};
use crate::stick::Stick;
use crate::tally::{RouteTally, Tally};
use crate::tls::Hosts;
use crate::watch::Holder;

/// The usual port of HTTPS, which addresses leave out.
pub(crate) const HTTPS_PORT: u16 = 443;

/// Where an authority looks whether a host is ours (RFC 8555, section 8.3).
const PROOFS: &[u8] = b"/.well-known/acme-challenge/";

/// The shares of all owners, and the number of the change that made them so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Document {
    /// Grows with each change.
    pub generation: u64,
    /// By owner.
    pub shares: BTreeMap<String, RouteShare>,
    /// Proxies of ours, which are believed what they say of clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<Cidr>,
    /// Proxies whose connections open with the PROXY protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefaced: Vec<Cidr>,
    /// Certificates by an authority, and what it wants to see.
    #[serde(default, skip_serializing_if = "Issued::is_empty")]
    pub issued: Issued,
}

impl Document {
    /// All rules by host and path.
    pub(crate) fn rules(&self) -> impl Iterator<Item = RuleStatus> {
        let of = |(owner, share): (_, &RouteShare)| {
            let rules = share.rules.clone().into_iter();
            rules.map(move |rule| RuleStatus {
                owner: String::clone(owner),
                host: rule.host,
                path: rule.path.0,
                strip: rule.strip_prefix,
                pool: rule.pool,
                https_only: rule.https.only,
                hsts_secs: rule.https.strict.map(|strict| strict.max_age_secs),
                answers: Tally::default(),
            })
        };
        self.shares.iter().flat_map(of)
    }

    /// All published ports.
    pub(crate) fn ports(&self) -> impl Iterator<Item = PortStatus> {
        let of = |(owner, share): (_, &RouteShare)| {
            let ports = share.listeners.clone().into_iter();
            ports.map(move |port| PortStatus {
                owner: String::clone(owner),
                address: port.address,
                protocol: port.protocol,
                pool: port.pool,
            })
        };
        self.shares.iter().flat_map(of)
    }
}

/// Why a document cannot be gone by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableFlaw {
    /// A rule or listener names a pool that its share does not have.
    #[error("`{owner}` sends to the pool `{pool}`, which it does not have")]
    NoPool {
        /// The owner of the share.
        owner: String,
        /// The name without a pool.
        pool: String,
    },
    /// Two rules for the same requests.
    #[error("`{host}{path}` is routed by `{first}` and by `{second}`")]
    RuleTwice {
        /// The host, or `*`.
        host: String,
        /// The path prefix.
        path: PathPrefix,
        /// The owner of one.
        first: String,
        /// The owner of the other.
        second: String,
    },
    /// Two listeners with one address.
    #[error("`{address}` is published by `{first}` and by `{second}`")]
    ListenerTwice {
        /// The address.
        address: SocketAddr,
        /// The owner of one.
        first: String,
        /// The owner of the other.
        second: String,
    },
    /// A route whose rules cannot be gone by.
    #[error("`{owner}` has a route for `{rule}` that cannot be gone by: {why}")]
    BadRules {
        /// The owner of the share.
        owner: String,
        /// Host and path.
        rule: String,
        /// What is wrong.
        why: String,
    },
    /// A rule whose path does not begin with a slash or whose host is no host.
    #[error("`{owner}` has a rule for `{rule}`, which no request can match")]
    BadRule {
        /// The owner of the share.
        owner: String,
        /// Host and path.
        rule: String,
    },
}

/// A pool's name in all of the table: its owner and its name in the share.
pub(crate) type PoolKey = (String, String);

/// A document made ready to be looked up.
pub(crate) struct Table {
    pub(crate) generation: u64,
    pub(crate) pools: Vec<PoolSpec>,
    hosts: HashMap<Box<[u8]>, Vec<Rule>>,
    /// By what follows the star: `.shop.example`.
    wildcards: HashMap<Box<[u8]>, Vec<Rule>>,
    any: Vec<Rule>,
    /// What hosts are shown with over TLS; put in when the rest is made.
    pub(crate) tls: Arc<Hosts>,
    /// Where HTTPS is answered, for those who are sent there.
    pub(crate) https_port: u16,
    /// By address and whether it is UDP.
    pub(crate) listeners: BTreeMap<(SocketAddr, bool), (Protocol, usize)>,
    /// Those of them that are addresses of services on their networks, by where they are listened on.
    pub(crate) between: Arc<BTreeMap<SocketAddr, SocketAddr>>,
    /// The first halves of those that are of IPv6: in such a network clients stand side by side.
    neighbours: BTreeSet<u64>,
    /// Proxies of ours, which are believed what they say of clients.
    trusted: Vec<Cidr>,
    /// Proxies whose connections open with the PROXY protocol.
    prefaced: Vec<Cidr>,
    /// What an authority is to find below [`PROOFS`], by what follows that.
    answers: HashMap<Box<[u8]>, Arc<str>>,
    /// Lists of users that rules ask for.
    users: Vec<Arc<Users>>,
    /// What was answered, by the numbers of rules.
    pub(crate) tallies: Vec<Arc<RouteTally>>,
}

/// A pool with the states of its instances.
pub(crate) struct PoolSpec {
    pub(crate) key: PoolKey,
    pub(crate) service: String,
    pub(crate) endpoints: Vec<Arc<EndpointState>>,
    /// What the service wants beyond the defaults.
    pub(crate) policy: EdgePolicy,
    /// Its bounds, if it has any.
    pub(crate) gate: Option<Arc<Gate>>,
    pub(crate) wishes: Option<Arc<Wishes>>,
    /// Where its requests go beside it, if its service wants that.
    pub(crate) fork: Option<Arc<Fork>>,
    /// How clients stay with their instance, if its service wants that.
    pub(crate) stick: Option<Arc<Stick>>,
    /// What it keeps of its answers, if its service wants that.
    pub(crate) cache: Option<Arc<Cache>>,
    pub(crate) protocol: PoolProtocol,
}

/// A rule within its host.
pub(crate) struct Rule {
    /// Without a slash at its end; empty for every path.
    prefix: Box<[u8]>,
    /// The same as servers might read it.
    plain: Box<[u8]>,
    strip: bool,
    pool: Option<usize>,
    owner: String,
    https_only: bool,
    strict: Option<Arc<[u8]>>,
    rules: Option<Arc<Rules>>,
    /// Its place among the tallies.
    number: usize,
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// None where requests are sent elsewhere.
    pub(crate) pool: Option<usize>,
    /// How many bytes of the path are cut off.
    pub(crate) strip: usize,
    /// How many bytes of the path are the route's.
    pub(crate) prefix: usize,
    /// Over plain HTTP it goes nowhere but to HTTPS.
    pub(crate) https_only: bool,
    /// The line that tells browsers so, for answers over TLS.
    pub(crate) strict: Option<&'a Arc<[u8]>>,
    /// What is done beyond that.
    pub(crate) rules: Option<&'a Arc<Rules>>,
    /// The place of its answers among the tallies.
    pub(crate) number: usize,
}

impl Table {
    /// Checks the document and makes it ready; `endpoint` finds or makes the state of an instance. Bounds that are as
    /// they were in the table before go on counting.
    pub(crate) fn build(
        document: &Document,
        before: Option<&Self>,
        threads: usize,
        mut endpoint: impl FnMut(&ContainerId, SocketAddr) -> Arc<EndpointState>,
    ) -> Result<Self, TableFlaw> {
        let mut table = Self {
            generation: document.generation,
            pools: Vec::new(),
            hosts: HashMap::new(),
            wildcards: HashMap::new(),
            any: Vec::new(),
            tls: Arc::default(),
            https_port: HTTPS_PORT,
            listeners: BTreeMap::new(),
            between: Arc::default(),
            neighbours: BTreeSet::new(),
            trusted: document.trusted.clone(),
            prefaced: document.prefaced.clone(),
            answers: document
                .issued
                .answers
                .iter()
                .map(|(key, text)| (key.as_bytes().into(), text.as_str().into()))
                .collect(),
            users: Vec::new(),
            tallies: Vec::new(),
        };
        let known: HashMap<&PoolKey, &Arc<Gate>> = before
            .iter()
            .flat_map(|table| &table.pools)
            .filter_map(|pool| Some((&pool.key, pool.gate.as_ref()?)))
            .collect();
        let caches = caches(before);
        for (owner, share) in &document.shares {
            let mut places = BTreeMap::new();
            for (name, pool) in &share.pools {
                places.insert(name.as_str(), table.pools.len());
                let key = (owner.clone(), name.clone());
                let fork = fork(&key, (share, pool), before)?;
                let kept = known.get(&key).filter(|gate| gate.suits(&pool.policy));
                let cached = caches.get(&key).copied();
                let gate = kept.map_or_else(|| Gate::of(&pool.policy), |gate| Some(Arc::clone(gate)));
                let known = before.and_then(|table| table.pools.iter().find(|pool| pool.key == key));
                let known = known.and_then(|pool| pool.stick.as_ref());
                table.pools.push(PoolSpec {
                    stick: Stick::of(&pool.policy, &pool.service, known),
                    key,
                    policy: pool.policy.clone(),
                    gate,
                    fork,
                    cache: Cache::of(pool.policy.cache.as_ref(), (&pool.revision, threads), cached),
                    wishes: Wishes::of(pool).map_err(|why| bad_pool(owner, pool, why))?,
                    service: pool.service.clone(),
                    protocol: pool.protocol,
                    endpoints: pool.endpoints.iter().map(|e| endpoint(&e.instance, e.address)).collect(),
                });
            }
            table.add_rules((owner, share), &places, before, threads)?;
            for listener in &share.listeners {
                table.add_listener(owner, listener, &places)?;
            }
        }
        let lists = table.hosts.values_mut().chain(table.wildcards.values_mut()).chain([&mut table.any]);
        lists.for_each(|rules| rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len())));
        Ok(table)
    }

    fn add_rules(
        &mut self,
        (owner, share): (&str, &RouteShare),
        places: &BTreeMap<&str, usize>,
        before: Option<&Self>,
        threads: usize,
    ) -> Result<(), TableFlaw> {
        let known = before.map_or(&[][..], |table| &table.users);
        for rule in &share.rules {
            let host = rule.host.as_deref().map(str::to_ascii_lowercase);
            let shown = host.clone().unwrap_or_else(|| "*".into());
            let bad = |shown: &str, why| TableFlaw::BadRules {
                owner: owner.into(),
                rule: format!("{shown}{}", rule.path),
                why,
            };
            let pool = places.get(rule.pool.as_str()).copied();
            if pool.is_none() && rule.rules.redirect.is_none() {
                return Err(TableFlaw::NoPool { owner: owner.into(), pool: rule.pool.clone() });
            }
            if rule.rules.forward_auth.is_some() && !share.pools.contains_key(&rule.asks) {
                return Err(TableFlaw::NoPool { owner: owner.into(), pool: rule.asks.clone() });
            }
            let plain = shown.strip_prefix("*.").unwrap_or(&shown);
            let named = shown == "*" || crate::head::request::is_host(plain.as_bytes());
            if !rule.path.0.starts_with('/') || !named {
                return Err(TableFlaw::BadRule {
                    owner: owner.into(),
                    rule: format!("{shown}{}", rule.path),
                });
            }
            let users = |source: &Blob| find_users(&mut self.users, known, source);
            let made = Rules::of(owner, rule, users).map_err(|why| bad(&shown, why))?;
            let number = self.tallies.len();
            self.tallies.push(tally((owner, host.as_deref(), &rule.path.0), before, threads));
            let rules = match &host {
                None => &mut self.any,
                Some(host) => match host.strip_prefix('*') {
                    Some(suffix) => self.wildcards.entry(suffix.as_bytes().into()).or_default(),
                    None => self.hosts.entry(host.as_bytes().into()).or_default(),
                },
            };
            let prefix: Box<[u8]> = rule.path.0.trim_end_matches('/').as_bytes().into();
            if let Some(other) = rules.iter().find(|r| r.prefix == prefix) {
                return Err(TableFlaw::RuleTwice {
                    host: shown,
                    path: rule.path.clone(),
                    first: other.owner.clone(),
                    second: owner.into(),
                });
            }
            rules.push(Rule {
                plain: reading::plain(&prefix).into(),
                prefix,
                strip: rule.strip_prefix || rule.rules.replace_prefix.is_some(),
                pool,
                owner: owner.into(),
                https_only: rule.https.only,
                strict: rule.https.strict.map(strict_line),
                rules: made,
                number,
            });
        }
        Ok(())
    }

    /// Whether it is a service's address on its network.
    pub(crate) fn is_between(&self, address: &SocketAddr) -> bool {
        self.between.get(&Listener::bound(*address)) == Some(address)
    }

    fn add_listener(
        &mut self,
        owner: &str,
        listener: &Listener,
        places: &BTreeMap<&str, usize>,
    ) -> Result<(), TableFlaw> {
        let pool = *places
            .get(listener.pool.as_str())
            .ok_or_else(|| TableFlaw::NoPool { owner: owner.into(), pool: listener.pool.clone() })?;
        let key = (listener.address, listener.protocol == Protocol::Udp);
        if listener.between {
            Arc::make_mut(&mut self.between).insert(Listener::bound(listener.address), listener.address);
            if let IpAddr::V6(address) = listener.address.ip() {
                self.neighbours.insert((address.to_bits() >> 64) as u64);
            }
        }
        if let Some((_, other)) = self.listeners.insert(key, (listener.protocol, pool)) {
            return Err(TableFlaw::ListenerTwice {
                address: listener.address,
                first: self.pools[other].key.0.clone(),
                second: owner.into(),
            });
        }
        Ok(())
    }

    /// Makes the lists of files ready, from the table before or from the edge's folder.
    pub(crate) fn load_files(&self, edge: &Path, before: &Self) {
        let before: Vec<_> = before.shelves().collect();
        self.shelves().for_each(|shelves| shelves.load(edge, &before));
    }

    fn shelves(&self) -> impl Iterator<Item = &Shelves> {
        self.pools.iter().filter_map(|pool| pool.wishes.as_ref()?.files.as_ref())
    }

    /// Where a request for this host (with or without port) and path goes.
    pub(crate) fn find(&self, host: Option<&[u8]>, path: &[u8]) -> Result<Target<'_>, Refusal> {
        let fits = |rules: &'_ [Rule]| rules.iter().position(|rule| rule.fits(path));
        let found = self.lists(host).into_iter().find_map(|rules| Some(rules[fits(rules)?].target()));
        let target = found.ok_or(Refusal::NO_ROUTE)?;
        self.reads_alike(host, path, target)?;
        Ok(target)
    }

    /// Refuses a path that a server might read as one of another route than the one that was found for it: what that
    /// route asks of its clients would be passed by.
    pub(crate) fn reads_alike(
        &self,
        host: Option<&[u8]>,
        path: &[u8],
        found: Target<'_>,
    ) -> Result<(), Refusal> {
        if self.tallies.len() == 1 || !reading::is_open(path) {
            return Ok(());
        }
        let lists = self.lists(host);
        let first = |path: &[u8]| lists.iter().find_map(|rules| rules.iter().find(|rule| rule.may_fit(path)));
        let other = |path: Vec<u8>| first(&path).is_some_and(|rule| rule.number != found.number);
        if reading::others(path).into_iter().any(other) { Err(Refusal::TWO_ROUTES) } else { Ok(()) }
    }

    /// The rules that are looked through for a host (with or without port): its own, its wildcard's, every host's. The
    /// longest prefixes stand in front.
    pub(crate) fn lists(&self, host: Option<&[u8]>) -> [&[Rule]; 3] {
        let (mut own, mut wild) = (&[][..], &[][..]);
        if let Some(host) = host
            && !(self.hosts.is_empty() && self.wildcards.is_empty())
        {
            let mut lower = [0u8; 256];
            let name = bare_name(host, &mut lower);
            own = self.hosts.get(name).map_or(own, Vec::as_slice);
            let suffix = memchr::memchr(b'.', name).map(|dot| &name[dot..]);
            wild = suffix.and_then(|suffix| self.wildcards.get(suffix)).map_or(wild, Vec::as_slice);
        }
        [own, wild, &self.any]
    }

    /// Rules with what was answered by them.
    pub(crate) fn told(&self, rules: impl Iterator<Item = RuleStatus>) -> Vec<RuleStatus> {
        let known =
            self.tallies.iter().map(|tally| ((&*tally.owner, tally.host.as_deref(), &*tally.path), tally));
        let known: HashMap<_, _> = known.collect();
        rules
            .map(|mut rule| {
                let host = rule.host.as_deref().map(str::to_ascii_lowercase);
                if let Some(tally) = known.get(&(&*rule.owner, host.as_deref(), &*rule.path)) {
                    rule.answers = tally.sum();
                }
                rule
            })
            .collect()
    }

    /// Whether this is a proxy of ours.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.contains(peer))
    }

    /// Whose the connections of this client are.
    pub(crate) fn holder(&self, client: IpAddr) -> Holder {
        match client.to_canonical() {
            client if self.trusts(client) => Holder::MANY,
            IpAddr::V6(v6) if self.neighbours.contains(&((v6.to_bits() >> 64) as u64)) => {
                Holder::among_neighbours(client)
            }
            client => Holder::of(client),
        }
    }

    /// What an authority is to find at this path, if it is one of those.
    pub(crate) fn proof(&self, path: &[u8]) -> Option<&Arc<str>> {
        if self.answers.is_empty() { None } else { self.answers.get(path.strip_prefix(PROOFS)?) }
    }

    /// Whether connections of this peer open with the PROXY protocol.
    pub(crate) fn expects_preface(&self, peer: IpAddr) -> bool {
        !self.prefaced.is_empty() && self.prefaced.iter().any(|range| range.contains(peer.to_canonical()))
    }

    /// Who asks, when a proxy of ours passes on a request with these fields.
    pub(crate) fn origin(&self, peer: IpAddr, fields: &[Field], buf: &[u8]) -> IpAddr {
        rules::origin(peer, fields, buf, &self.trusted)
    }

    /// What is demanded of the clients of this host (with or without port).
    pub(crate) fn clients_of(&self, host: &[u8]) -> Option<&Arc<ClientCertificates>> {
        let mut lower = [0u8; 256];
        let name = std::str::from_utf8(bare_name(host, &mut lower)).ok()?;
        self.tls.clients_of(name)
    }
}

/// The tally of a route, which goes on over changes of the table.
fn tally(
    (owner, host, path): (&str, Option<&str>, &str),
    before: Option<&Table>,
    threads: usize,
) -> Arc<RouteTally> {
    let known = before.and_then(|table| table.tallies.iter().find(|tally| tally.is_of(owner, host, path)));
    known.map_or_else(|| Arc::new(RouteTally::new(owner, host, path, threads)), Arc::clone)
}

/// What pools have kept of their answers.
fn caches(before: Option<&Table>) -> HashMap<&PoolKey, &Arc<Cache>> {
    let pools = before.iter().flat_map(|table| &table.pools);
    pools.filter_map(|pool| Some((&pool.key, pool.cache.as_ref()?))).collect()
}

/// What a pool's service wants beside its own instances.
fn fork(
    key: &PoolKey,
    (share, pool): (&RouteShare, &Pool),
    before: Option<&Table>,
) -> Result<Option<Arc<Fork>>, TableFlaw> {
    if pool.policy.split.is_none() && pool.policy.mirror.is_none() {
        return Ok(None);
    }
    let mirror = pool.policy.mirror.as_ref().map(|_| &pool.mirror);
    if let Some(missing) = pool.sides.values().chain(mirror).find(|name| !share.pools.contains_key(*name)) {
        return Err(TableFlaw::NoPool { owner: key.0.clone(), pool: missing.clone() });
    }
    if mirror.is_some_and(|mirror| share.pools[mirror].protocol == PoolProtocol::H2) {
        return Err(bad_pool(&key.0, pool, "copies are sent in HTTP/1.1".into()));
    }
    let known = before.and_then(|table| table.pools.iter().find(|pool| pool.key == *key));
    let known = known.and_then(|pool| pool.fork.as_deref());
    Fork::of(key, pool, known).map_err(|why| bad_pool(&key.0, pool, why))
}

fn bad_pool(owner: &str, pool: &Pool, why: String) -> TableFlaw {
    TableFlaw::BadRules { owner: owner.into(), rule: pool.service.clone(), why }
}

/// The list of users with this source: one of this table or of the one before, which knows who was found right, or new.
fn find_users(ours: &mut Vec<Arc<Users>>, known: &[Arc<Users>], source: &Blob) -> Result<Arc<Users>, String> {
    let found = ours.iter().chain(known).find(|users| users.is(source)).cloned();
    let users = found.map_or_else(|| Users::of(source).map(Arc::new), Ok)?;
    ours.push(users.clone());
    Ok(users)
}

/// The line of an answer that has browsers come over HTTPS only.
fn strict_line(strict: StrictTransport) -> Arc<[u8]> {
    let mut line = format!("strict-transport-security: max-age={}", strict.max_age_secs);
    if strict.include_subdomains {
        line.push_str("; includeSubDomains");
    }
    if strict.preload {
        line.push_str("; preload");
    }
    line.push_str("\r\n");
    line.into_bytes().into()
}

/// The host in lower case, without its port and without the dot that may end a name.
fn bare_name<'a>(host: &[u8], lower: &'a mut [u8; 256]) -> &'a [u8] {
    let end = match host.first() {
        Some(b'[') => memchr::memchr(b']', host).map_or(host.len(), |close| close + 1),
        _ => memchr::memchr(b':', host).unwrap_or(host.len()),
    };
    let name = &host[..end.min(255)];
    let name = name.strip_suffix(b".").unwrap_or(name);
    lower[..name.len()].copy_from_slice(name);
    lower[..name.len()].make_ascii_lowercase();
    &lower[..name.len()]
}

impl Rule {
    /// Whether it is for this path.
    pub(crate) fn fits(&self, path: &[u8]) -> bool {
        path.strip_prefix(&*self.prefix)
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || path == b"*")
    }

    /// Whether a path that reads so is one of its own to some servers.
    fn may_fit(&self, reading: &[u8]) -> bool {
        reading.strip_prefix(&*self.plain).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// Where it sends requests.
    pub(crate) fn target(&self) -> Target<'_> {
        Target {
            pool: self.pool,
            strip: if self.strip { self.prefix.len() } else { 0 },
            prefix: self.prefix.len(),
            https_only: self.https_only,
            strict: self.strict.as_ref(),
            rules: self.rules.as_ref(),
            number: self.number,
        }
    }

    /// Its path, for people.
    pub(crate) fn path(&self) -> String {
        if self.prefix.is_empty() { "/".into() } else { String::from_utf8_lossy(&self.prefix).into_owned() }
    }
}

#[cfg(test)]
mod tests;
