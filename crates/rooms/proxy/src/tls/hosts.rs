//! Which certificate a client is shown, and what is asked of it, by the name that it asks for.
//!
//! Made anew with each table; what was made for the table before is used again where nothing has changed. Keys of
//! tickets belong to no table: they are shared by all threads and outlive changes, so that a session goes on whichever
//! thread meets the client again. Hosts that demand certificates of clients have keys of their own for each demand: a
//! session that began under another demand does not go on.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Clock, SystemClock};
use plan::tls::{Certificate, ClientCertificates, TlsHost, TlsVersion};
use plan::traffic::RouteShare;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use super::authority::{Authority, AuthorityError, is_local};
use super::tickets::Tickets;
use crate::handover::{TicketKey, TicketKeys};
use crate::limits::{LOCAL_HOSTS, TLS_SESSIONS};
use crate::table::Document;

/// Why a document's words on TLS cannot be gone by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFlaw {
    /// A name that no client can ask for.
    #[error("`{owner}` has a certificate or demands for `{name}`, which is no host")]
    BadName {
        /// The owner of the share.
        owner: String,
        /// The name.
        name: String,
    },
    /// Two certificates, or two demands, for one name.
    #[error("`{name}` has a certificate or demands of `{first}` and of `{second}`")]
    NameTwice {
        /// The name, or `*` for the one that is shown to all others.
        name: String,
        /// The owner of one.
        first: String,
        /// The owner of the other.
        second: String,
    },
    /// What should be a certificate or a key is none.
    #[error("the certificate of `{owner}` for `{name}` cannot be used: {why}")]
    BadCertificate {
        /// The owner of the share.
        owner: String,
        /// The first of its names.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The authorities for clients cannot be read.
    #[error("the authorities that `{owner}` names for clients of `{name}` cannot be used: {why}")]
    BadAuthorities {
        /// The owner of the share.
        owner: String,
        /// The host.
        name: String,
        /// What is wrong with them.
        why: String,
    },
    /// The machine gives no keys.
    #[error("there are no keys for the tickets of sessions: {why}")]
    NoKeys {
        /// What is wrong.
        why: String,
    },
}

/// What an authority asks for by ALPN.
pub(crate) const PROOF_PROTOCOL: &[u8] = b"acme-tls/1";
/// The owner of certificates that an authority has issued, for errors.
const ISSUED: &str = "acme";

/// What a host is shown with, and what was asked of its clients.
pub(crate) struct Host {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) clients: Option<Arc<ClientCertificates>>,
}

/// All hosts of a table.
#[derive(Default)]
pub(crate) struct Hosts {
    /// Places in `identities` by name; wildcards without their star.
    certificates: Names,
    /// Places in `demands` by name.
    demanded: Names,
    fallback: Option<usize>,
    demands: Vec<Demand>,
    /// By the places of certificate and demand.
    made: HashMap<(usize, Option<usize>), Arc<Host>>,
    local: Option<Local>,
    /// What an authority is to be shown, by name.
    proofs: HashMap<String, Arc<ServerConfig>>,
    /// Some host demands certificates of its clients.
    pub(crate) guarded: bool,
}

/// Exact names and wildcards.
#[derive(Default)]
struct Names {
    exact: HashMap<String, usize>,
    /// By what follows the star.
    wild: HashMap<String, usize>,
}

impl Names {
    fn get(&self, name: &str) -> Option<usize> {
        let wild = || self.wild.get(&name[name.find('.')?..]);
        self.exact.get(name).or_else(wild).copied()
    }

    /// The place that stood there before, if there was one.
    fn insert(&mut self, name: &str, place: usize) -> Option<usize> {
        match name.strip_prefix('*') {
            Some(suffix) => self.wild.insert(suffix.into(), place),
            None => self.exact.insert(name.into(), place),
        }
    }
}

/// What a host asks for beyond a certificate to show.
#[derive(Clone)]
struct Demand {
    minimum: TlsVersion,
    http2: bool,
    clients: Option<(Arc<ClientCertificates>, Arc<dyn ClientCertVerifier>)>,
    resumption: Resumption,
}

/// How sessions go on: by tickets, and for the clients that know none by a store.
#[derive(Clone)]
struct Resumption {
    tickets: Arc<Tickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// A host whose certificate is of our own authority, and when it is to be made anew, in seconds since 1970.
type Signed = (Arc<Host>, u64);

/// Local names, and the authority that signs for them.
struct Local {
    authority: Arc<Authority>,
    /// The names, and the wildcards without their star, that requests are routed by.
    routed: Names,
    /// There are rules for every host.
    any: bool,
    /// Names whose certificates are still to be issued. Nobody who trusts this authority for local names trusts it for
    /// these, but who does not ask is served meanwhile.
    pending: BTreeSet<String>,
    /// By name and demand.
    made: Mutex<HashMap<(String, Option<usize>), Signed>>,
    plain: Demand,
}

impl Hosts {
    /// For a client that asks for this name, or for none at this address of ours.
    pub(crate) fn choose(&self, name: Option<&str>, address: Option<IpAddr>) -> Option<Arc<Host>> {
        let lower = name.map(str::to_ascii_lowercase);
        let demand = lower.as_deref().and_then(|name| self.demanded.get(name));
        if let Some(place) = lower.as_deref().and_then(|name| self.certificates.get(name)) {
            return self.made.get(&(place, demand)).cloned();
        }
        let local = self.local.as_ref().and_then(|local| {
            let name = match &lower {
                Some(name) if is_local(name) && (local.any || local.routed.get(name).is_some()) => {
                    name.clone()
                }
                Some(name) if local.pending.contains(name) => name.clone(),
                Some(_) => return None,
                None if self.fallback.is_some() => return None,
                None => address?.to_string(),
            };
            local.host(name, demand, self)
        });
        local.or_else(|| self.made.get(&(self.fallback?, demand)).cloned())
    }

    /// For an authority that looks whether a host is ours (RFC 8737).
    pub(crate) fn proof(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        self.proofs.get(&name?.to_ascii_lowercase()).cloned()
    }

    /// What this host, without its port, demands of clients.
    pub(crate) fn clients_of(&self, name: &str) -> Option<&Arc<ClientCertificates>> {
        let demand = self.demanded.get(name)?;
        self.demands[demand].clients.as_ref().map(|(clients, _)| clients)
    }

    /// Whether a client that came under these demands may ask for a host with those.
    pub(crate) fn admits(
        wanted: Option<&Arc<ClientCertificates>>,
        came_by: Option<&Arc<ClientCertificates>>,
    ) -> bool {
        match (wanted, came_by) {
            (None, None) => true,
            (Some(wanted), None) => !wanted.required,
            (None, Some(_)) => false,
            (Some(wanted), Some(came_by)) => Arc::ptr_eq(wanted, came_by) || wanted == came_by,
        }
    }
}

impl Local {
    /// A host whose certificate our own authority signs, now or a while ago.
    fn host(&self, name: String, demand: Option<usize>, hosts: &Hosts) -> Option<Arc<Host>> {
        let now = u64::try_from(SystemClock.wall().secs()).unwrap_or(0);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name, demand);
        if let Some((host, renew)) = made.get(&key)
            && now < *renew
        {
            return Some(host.clone());
        }
        let signed = match self.pending.contains(&key.0) {
            true => self.authority.sign_meanwhile(&key.0, now),
            false => self.authority.sign(&key.0, now),
        };
        let leaf = match signed {
            Ok(leaf) => leaf,
            Err(error) => {
                tracing::warn!(%error, "no certificate for `{}`", key.0);
                return None;
            }
        };
        let asked = demand.map_or(&self.plain, |place| &hosts.demands[place]);
        let host = Arc::new(make(leaf.key, asked).ok()?);
        if made.len() >= LOCAL_HOSTS {
            made.clear();
        }
        made.insert(key, (host.clone(), leaf.renew_at));
        Some(host)
    }
}

/// Makes hosts for each table, and keeps what outlives tables.
pub(crate) struct Keeper {
    folder: PathBuf,
    authority: Option<Arc<Authority>>,
    /// By what is demanded of clients.
    resumptions: Vec<(Option<ClientCertificates>, Resumption)>,
    /// Keys of the edge before that no host has asked for yet.
    handed: Vec<TicketKeys>,
    /// Certificates of the table before.
    known: HashMap<Certificate, Arc<CertifiedKey>>,
}

impl Keeper {
    /// For an edge whose things lie in this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            authority: None,
            resumptions: Vec::new(),
            handed: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// Goes on with the tickets of the edge before, from the next table on.
    pub(crate) fn take_tickets(&mut self, handed: Vec<TicketKeys>) {
        self.resumptions.clear();
        self.handed = handed;
    }

    /// The keys of all tickets, for the edge that comes after.
    pub(crate) fn tickets(&self) -> Vec<TicketKeys> {
        let keys = |(clients, resumption): &(Option<ClientCertificates>, Resumption)| TicketKeys {
            clients: clients.clone(),
            keys: resumption.tickets.keys(),
        };
        self.resumptions.iter().map(keys).collect()
    }

    /// Whether the document asks for anything that needs an HTTPS address.
    pub(crate) fn is_needed(document: &Document) -> bool {
        document
            .shares
            .values()
            .any(|share| !share.tls.is_empty() || share.rules.iter().any(|rule| !rule.https.is_default()))
    }

    /// The hosts of a document.
    pub(crate) fn build(&mut self, document: &Document) -> Result<Hosts, TlsFlaw> {
        let mut build = Build::default();
        for (owner, share) in &document.shares {
            build.add(owner, share, self)?;
        }
        let pending = build.add_issued(document, self)?;
        let plain = self.demand(None).map_err(|why| TlsFlaw::NoKeys { why })?;
        let mut hosts = build.hosts;
        let (shown, asked) = (&hosts.certificates, &hosts.demanded);
        let exact = shown.exact.keys().chain(asked.exact.keys());
        let pairs = exact.filter_map(|name| Some((shown.get(name)?, asked.get(name))));
        // A name that only a wildcard knows meets the same wildcard's demands, or none.
        let wild = shown.wild.iter().map(|(name, place)| (*place, asked.wild.get(name).copied()));
        let others = hosts.fallback.into_iter().flat_map(|place| {
            (0..hosts.demands.len()).map(Some).chain([None]).map(move |demand| (place, demand))
        });
        let wanted: BTreeSet<_> = pairs.chain(wild).chain(others).collect();
        for (place, demand) in wanted {
            let asked = demand.map_or(&plain, |demand| &hosts.demands[demand]);
            let (key, owner, name) = &build.identities[place];
            let host =
                make(key.clone(), asked).map_err(|error| bad_certificate(owner, name, &error.to_string()))?;
            hosts.made.insert((place, demand), Arc::new(host));
        }
        self.known = build.known;
        let used: Vec<_> = build.demanded.into_iter().collect();
        self.resumptions.retain(|(clients, _)| clients.is_none() || used.contains(clients));
        // Without it local names have no certificate; all others do.
        hosts.proofs = proofs(&document.issued.proofs);
        hosts.local = match self.local(document, plain, pending) {
            Ok(local) => Some(local),
            Err(error) => {
                tracing::error!("the authority for local names does not work: {}", base::Report::of(&error));
                None
            }
        };
        Ok(hosts)
    }

    /// The authority, and the local names that it may be asked for.
    fn local(
        &mut self,
        document: &Document,
        plain: Demand,
        pending: BTreeSet<String>,
    ) -> Result<Local, AuthorityError> {
        let rules = document.shares.values().flat_map(|share| &share.rules);
        let (mut routed, mut any) = (Names::default(), false);
        let mut dotless = BTreeSet::new();
        for rule in rules {
            match rule.host.as_deref().map(str::to_ascii_lowercase) {
                Some(host) => {
                    routed.insert(&host, 0);
                    if !host.contains('.') {
                        dotless.insert(host);
                    }
                }
                None => any = true,
            }
        }
        let authority = match &self.authority {
            Some(authority) if authority.covers(&dotless) => authority.clone(),
            Some(_) | None => {
                let now = u64::try_from(SystemClock.wall().secs()).unwrap_or(0);
                Arc::new(Authority::open(&self.folder.join("authority"), &dotless, now)?)
            }
        };
        self.authority = Some(authority.clone());
        Ok(Local { authority, routed, any, pending, made: Mutex::default(), plain })
    }

    fn demand(&mut self, host: Option<&TlsHost>) -> Result<Demand, String> {
        let wanted = host.and_then(|host| host.clients.as_ref());
        let known = self.resumptions.iter().find(|(clients, _)| clients.as_ref() == wanted);
        let resumption = match known {
            Some((_, resumption)) => resumption.clone(),
            None => {
                let handed = self.handed.iter().position(|keys| keys.clients.as_ref() == wanted);
                let before = handed.map(|at| self.handed.swap_remove(at).keys).unwrap_or_default();
                let made = resumption(wanted.is_some(), before)?;
                self.resumptions.push((wanted.cloned(), made.clone()));
                made
            }
        };
        let clients = match wanted {
            None => None,
            Some(clients) => Some((Arc::new(clients.clone()), verifier(clients)?)),
        };
        Ok(Demand {
            minimum: host.map_or(TlsVersion::V1_2, |host| host.minimum),
            http2: host.is_none_or(|host| host.http2),
            clients,
            resumption,
        })
    }
}

/// Hosts in the making.
#[derive(Default)]
struct Build {
    hosts: Hosts,
    /// Keys with their owners and first names.
    identities: Vec<(Arc<CertifiedKey>, String, String)>,
    demand_owners: Vec<String>,
    known: HashMap<Certificate, Arc<CertifiedKey>>,
    demanded: Vec<Option<ClientCertificates>>,
}

impl Build {
    fn add(&mut self, owner: &str, share: &RouteShare, keeper: &mut Keeper) -> Result<(), TlsFlaw> {
        for certificate in &share.tls.certificates {
            self.add_certificate(owner, certificate, keeper)?;
        }
        for host in &share.tls.hosts {
            let name = checked(owner, &host.name)?;
            let bad = |why| TlsFlaw::BadAuthorities { owner: owner.into(), name: name.clone(), why };
            let demand = keeper.demand(Some(host)).map_err(bad)?;
            let place = self.hosts.demands.len();
            if let Some(other) = self.hosts.demanded.insert(&name, place) {
                return Err(twice(&name, &self.demand_owners[other], owner));
            }
            self.hosts.guarded |= demand.clients.is_some();
            self.demanded.push(host.clients.clone());
            self.hosts.demands.push(demand);
            self.demand_owners.push(owner.into());
        }
        Ok(())
    }

    /// Adds what was issued for names that have no certificate of their owner's; gives those that wait for one.
    fn add_issued(&mut self, document: &Document, keeper: &Keeper) -> Result<BTreeSet<String>, TlsFlaw> {
        let lists = document.shares.values().flat_map(|share| &share.tls.issue).flatten();
        let mut pending: BTreeSet<String> = lists.map(|name| name.to_ascii_lowercase()).collect();
        pending.retain(|name| !self.hosts.certificates.exact.contains_key(name));
        for certificate in &document.issued.certificates {
            let names = certificate.names.iter().filter(|name| pending.contains(*name)).cloned();
            let shown = Certificate { names: names.collect(), fallback: false, ..certificate.clone() };
            if shown.names.is_empty() {
                continue;
            }
            self.add_certificate(ISSUED, &shown, keeper)?;
            pending.retain(|name| !shown.names.contains(name));
        }
        Ok(pending)
    }

    fn add_certificate(
        &mut self,
        owner: &str,
        certificate: &Certificate,
        keeper: &Keeper,
    ) -> Result<(), TlsFlaw> {
        let place = self.identities.len();
        let first = certificate.names.first().cloned().unwrap_or_else(|| "*".into());
        let key = match keeper.known.get(certificate) {
            Some(key) => key.clone(),
            None => Arc::new(read(certificate).map_err(|why| bad_certificate(owner, &first, &why))?),
        };
        self.known.insert(certificate.clone(), key.clone());
        self.identities.push((key, owner.into(), first));
        for name in &certificate.names {
            let name = checked(owner, name)?;
            match self.hosts.certificates.insert(&name, place) {
                Some(other) if other != place => return Err(twice(&name, &self.identities[other].1, owner)),
                Some(_) | None => {}
            }
        }
        if certificate.fallback
            && let Some(other) = self.hosts.fallback.replace(place)
        {
            return Err(twice("*", &self.identities[other].1, owner));
        }
        Ok(())
    }
}

/// What is shown to an authority. One that does not read is nobody's but the authority's loss.
fn proofs(shown: &[Certificate]) -> HashMap<String, Arc<ServerConfig>> {
    let config = |certificate: &Certificate| {
        let key = read_unchecked(certificate).ok()?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
        let resolver = Arc::new(SingleCertAndKey::from(key));
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![PROOF_PROTOCOL.to_vec()];
        Some(Arc::new(config))
    };
    let made = shown.iter().filter_map(|one| Some((one.names.first()?.to_ascii_lowercase(), config(one)?)));
    made.collect()
}

fn twice(name: &str, first: &str, second: &str) -> TlsFlaw {
    TlsFlaw::NameTwice { name: name.into(), first: first.into(), second: second.into() }
}

fn bad_certificate(owner: &str, name: &str, why: &str) -> TlsFlaw {
    TlsFlaw::BadCertificate { owner: owner.into(), name: name.into(), why: why.into() }
}

/// A name in lower case, if a client can ask for it.
fn checked(owner: &str, name: &str) -> Result<String, TlsFlaw> {
    let lower = name.to_ascii_lowercase();
    let plain = lower.strip_prefix("*.").unwrap_or(&lower);
    let fits = crate::head::request::is_host(plain.as_bytes()) && !plain.contains([':', '*']);
    if fits { Ok(lower) } else { Err(TlsFlaw::BadName { owner: owner.into(), name: name.into() }) }
}

/// A certificate and its key, which must belong together.
fn read(certificate: &Certificate) -> Result<CertifiedKey, String> {
    let both = read_unchecked(certificate)?;
    match both.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(both),
        Err(rustls::Error::InconsistentKeys(_)) => Err("its key belongs to another certificate".into()),
        Err(_) => Err("its chain does not begin with a certificate".into()),
    }
}

/// The same for one that says what no client is to understand.
fn read_unchecked(certificate: &Certificate) -> Result<CertifiedKey, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect();
    let chain = chain.map_err(|_| "its chain is not in PEM".to_owned())?;
    if chain.is_empty() {
        return Err("its chain holds no certificate".into());
    }
    let key = PrivateKeyDer::from_pem_slice(certificate.key.0.as_bytes())
        .map_err(|_| "its key is not in PEM".to_owned())?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| "its key is of no kind that is known")?;
    Ok(CertifiedKey::new(chain, key))
}

fn verifier(clients: &ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(clients.authorities.as_bytes()) {
        let certificate = certificate.map_err(|_| "they are not in PEM".to_owned())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| error.to_string())
}

/// Keys for tickets, which change by themselves every six hours. Where clients show certificates, tickets alone: they
/// hold the certificate, and a store would have to.
fn resumption(guarded: bool, before: Vec<TicketKey>) -> Result<Resumption, String> {
    let tickets = Arc::new(Tickets::new(before)?);
    let sessions: Arc<dyn StoresServerSessions> = if guarded {
        Arc::new(NoServerSessionStorage {})
    } else {
        ServerSessionMemoryCache::new(TLS_SESSIONS)
    };
    Ok(Resumption { tickets, sessions })
}

/// A host of these parts.
fn make(key: Arc<CertifiedKey>, demand: &Demand) -> Result<Host, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[_] = match demand.minimum {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = match &demand.clients {
        None => builder.with_no_client_auth(),
        Some((_, verifier)) => builder.with_client_cert_verifier(verifier.clone()),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    let protocols: &[&[u8]] = if demand.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.ticketer = demand.resumption.tickets.clone();
    config.session_storage = demand.resumption.sessions.clone();
    let clients = demand.clients.as_ref().map(|(clients, _)| clients.clone());
    Ok(Host { config: Arc::new(config), clients })
}

#[cfg(test)]
mod tests;
