//! What would happen to a request, and why: read by the same parser, looked up in the same table, held against the same
//! bounds as any other, but not sent, and not counted.

mod patterns;
mod present;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, ContainerId, Instant, SystemClock};
use serde::{Deserialize, Serialize};
use spec::Protocol;

use crate::cache::{self, Wanted};
use crate::connection::{hops, push_location};
use crate::endpoint::EndpointState;
use crate::files::Found;
use crate::fork;
use crate::forward;
use crate::gate::{Bounds, Work};
use crate::head::Field;
use crate::head::request::{self, RequestHead};
use crate::refusal::Refusal;
use crate::rules::{Care, Incoming};
use crate::table::{PoolKey, PoolSpec, Rule, Table, Target};

pub(crate) use present::{Circuit, Present, Threads};

/// A request that is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// As in `GET`.
    pub method: String,
    /// It comes over HTTPS.
    pub secure: bool,
    /// The host that it names, with its port if it names one.
    pub host: String,
    /// The port that it comes to, if it is not the usual one.
    pub port: Option<u16>,
    /// Path and query.
    pub target: String,
    /// Further fields.
    pub fields: Vec<(String, String)>,
    /// Who asks.
    pub client: IpAddr,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// In the order in which they are taken.
    pub steps: Vec<Step>,
    /// How it ends.
    pub verdict: Verdict,
    /// The instances of the service, if it comes to one.
    pub candidates: Vec<Candidate>,
}

/// One thing that the edge looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// As in `route`.
    pub name: String,
    /// What it finds there.
    pub found: String,
}

/// How a request ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// An instance is asked.
    Sent {
        /// As in `shop/web`.
        service: String,
        /// Path and query as the instance sees them.
        target: String,
    },
    /// The edge answers with a file.
    File {
        /// As in `shop/web`.
        service: String,
        /// The status of the answer.
        status: u16,
        /// Its size in bytes.
        size: u64,
    },
    /// It waits for an instance.
    Held {
        /// As in `shop/web`.
        service: String,
    },
    /// The edge answers itself.
    Refused {
        /// The status of the answer.
        status: u16,
        /// The value of `x-sea-refused`.
        code: String,
        /// The sentence of its body.
        why: String,
        /// Where it sends the client.
        location: Option<String>,
    },
    /// The edge never sees it.
    Nowhere {
        /// Why not.
        why: String,
    },
}

/// An instance that might be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The container.
    pub instance: ContainerId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Requests and connections that are not over.
    pub in_flight: u64,
    /// Nothing where it takes requests; otherwise why it is passed over, while there are others.
    pub passed_over: Option<String>,
}

/// What the edge goes by.
pub(crate) struct Seen<'a> {
    pub(crate) table: &'a Table,
    pub(crate) http: &'a [SocketAddr],
    pub(crate) https: &'a [SocketAddr],
    pub(crate) now: Instant,
    /// What the threads say of the pool at [`destination`], if they were asked.
    pub(crate) threads: Option<Threads<'a>>,
}

/// Where a request comes in.
enum Way<'a> {
    /// Where requests are routed by host and path.
    Front,
    /// A published port.
    Port(&'a PoolSpec),
}

/// A request that was read.
#[derive(Clone, Copy)]
struct Asked<'a> {
    ask: &'a Ask,
    head: &'a RequestHead,
    buf: &'a [u8],
}

/// Why a request goes no further.
enum Stop {
    Refused(Refusal, Option<String>),
    Nowhere(String),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal, None)
    }
}

/// Explains a request.
pub(crate) fn explain(seen: &Seen<'_>, ask: &Ask) -> Explanation {
    let mut told = Told::new(seen.now);
    let verdict = told.walk(seen, ask).unwrap_or_else(|stop| match stop {
        Stop::Refused(Refusal { status, code, why, .. }, location) => {
            Verdict::Refused { status, code: code.into(), why: why.into(), location }
        }
        Stop::Nowhere(why) => Verdict::Nowhere { why },
    });
    Explanation { steps: told.steps, verdict, candidates: told.candidates }
}

/// The pool whose instances would be asked, if it comes so far.
pub(crate) fn destination(seen: &Seen<'_>, ask: &Ask) -> Option<PoolKey> {
    let mut told = Told::new(seen.now);
    // How it would end is not known before the threads have said what they know.
    let _ = told.walk(seen, ask);
    told.pool
}

/// What has been found so far.
struct Told {
    now: Instant,
    steps: Vec<Step>,
    pool: Option<PoolKey>,
    candidates: Vec<Candidate>,
}

impl Told {
    fn new(now: Instant) -> Self {
        Self { now, steps: Vec::new(), pool: None, candidates: Vec::new() }
    }

    fn say(&mut self, name: &str, found: impl Into<String>) {
        self.steps.push(Step { name: name.into(), found: found.into() });
    }

    fn walk(&mut self, seen: &Seen<'_>, ask: &Ask) -> Result<Verdict, Stop> {
        let way = self.entrance(seen, ask)?;
        let text = head_of(ask);
        let buf = text.as_bytes();
        let mut fields = Vec::new();
        let head = request::parse(buf, &mut fields)?;
        self.say("head", "nothing in it can be read in two ways");
        if let Some(left) = hops::left(&head, &mut fields, buf)? {
            self.say("hops", format!("`max-forwards` lets it go {left} further than the instance"));
        }
        let (pool, target) = match way {
            Way::Port(pool) => (Some(pool), None),
            Way::Front => {
                let target = self.route(seen, ask, &head, buf)?;
                (target.pool.map(|pool| &seen.table.pools[pool]), Some(target))
            }
        };
        let asked = Asked { ask, head: &head, buf };
        let pool = pool.map(|pool| self.fork(seen.table, pool, &fields, &asked));
        let mut care = self.rules(&fields, pool, target, &asked)?;
        let Some(pool) = pool else { return Err(Refusal::NO_ROUTE.into()) };
        if let Some(verdict) = self.file(pool, &mut care)? {
            return Ok(verdict);
        }
        self.cache(pool, &fields, (&asked, &onward(&care, target, &head, buf)), &care);
        self.pool = Some(pool.key.clone());
        let work = self.allowance(pool, &fields, &asked)?;
        self.breaker(seen.threads, pool)?;
        self.work(pool, work, (&fields, &asked))?;
        self.instances(pool);
        self.hedge(pool, seen.threads, (&fields, &asked));
        self.sticky(pool, &fields, buf);
        self.retries(seen.threads, pool);
        if self.candidates.is_empty() {
            return Ok(Verdict::Held { service: pool.service.clone() });
        }
        Ok(Verdict::Sent { service: pool.service.clone(), target: onward(&care, target, &head, buf) })
    }

    /// Which of the edge's sockets takes it.
    fn entrance<'a>(&mut self, seen: &Seen<'a>, ask: &Ask) -> Result<Way<'a>, Stop> {
        let fronts = if ask.secure { seen.https } else { seen.http };
        let Some(port) = ask.port else {
            let name = if ask.secure { "HTTPS" } else { "HTTP" };
            let Some(first) = fronts.first() else {
                return Err(Stop::Nowhere(format!("{name} is not answered by host and path")));
            };
            self.say("entrance", format!("{name} by host and path, at {first}"));
            return Ok(Way::Front);
        };
        let published =
            seen.table.listeners.iter().find(|((address, udp), _)| {
                address.port() == port && !udp && !seen.table.is_between(address)
            });
        if let Some(((address, _), (protocol, pool))) = published {
            let pool = &seen.table.pools[*pool];
            let what = match protocol {
                Protocol::Tcp => "passed on as bytes, whatever they say",
                Protocol::Http | Protocol::Auto => "read request by request where it is HTTP",
                Protocol::Udp => "no stream",
            };
            self.say("entrance", format!("the published port {address} of `{}`: {what}", pool.service));
            if ask.secure {
                return Err(Stop::Nowhere(
                    "TLS at a published port is passed on to the instance as it is".into(),
                ));
            }
            return Ok(Way::Port(pool));
        }
        let at = |fronts: &[SocketAddr]| fronts.iter().any(|front| front.port() == port);
        match (at(seen.http), at(seen.https)) {
            (true, _) if ask.secure => Err(Refusal::TLS_HERE.into()),
            (_, true) if !ask.secure => Err(Refusal::PLAIN_HTTP.into()),
            (false, false) => Err(Stop::Nowhere(format!("no port {port} is answered by the edge"))),
            _ => {
                self.say("entrance", format!("port {port}, by host and path"));
                Ok(Way::Front)
            }
        }
    }

    /// Which rule is for it.
    fn route<'a>(
        &mut self,
        seen: &Seen<'a>,
        ask: &Ask,
        head: &RequestHead,
        buf: &[u8],
    ) -> Result<Target<'a>, Stop> {
        let (host, path) = (head.host.map(|host| host.of(buf)), head.path.of(buf));
        let shown = String::from_utf8_lossy(host.unwrap_or_default()).into_owned();
        let kinds = ["this very host", "its wildcard", "every host"];
        let lists = seen.table.lists(host);
        let first = |rules: &'a [Rule]| rules.iter().find(|rule| rule.fits(path));
        let Some((kind, rules, rule)) =
            kinds.into_iter().zip(lists).find_map(|(kind, rules)| Some((kind, rules, first(rules)?)))
        else {
            let count: usize = lists.iter().map(|rules| rules.len()).sum();
            self.say("route", format!("none of the {count} rules for `{shown}` fits"));
            return Err(Refusal::NO_ROUTE.into());
        };
        let target = rule.target();
        let others: Vec<_> =
            rules.iter().filter(|r| r.fits(path)).skip(1).map(|r| format!("`{}`", r.path())).collect();
        let beside =
            if others.is_empty() { String::new() } else { format!("; longer than {}", others.join(", ")) };
        let to = target.pool.map(|pool| format!("to `{}`, ", seen.table.pools[pool].service));
        let to = to.unwrap_or_default();
        self.say("route", format!("{to}by the rule for {kind} and `{}`{beside}", rule.path()));
        seen.table.reads_alike(host, path, target)?;
        if let Some(wanted) = host.and_then(|host| seen.table.clients_of(host)) {
            let how = if wanted.required { "must" } else { "may" };
            self.say("client", format!("the client {how} show a certificate"));
        }
        if target.https_only && !ask.secure {
            let mut line = Vec::new();
            push_location(&mut line, seen.table, head, buf)?;
            return Err(Stop::Refused(Refusal::HTTPS_ONLY, location(&line)));
        }
        Ok(target)
    }

    /// Which side of a split it goes to, and whether it is copied.
    fn fork<'a>(
        &mut self,
        table: &'a Table,
        pool: &'a PoolSpec,
        fields: &[Field],
        asked: &Asked<'_>,
    ) -> &'a PoolSpec {
        let Some(fork) = &pool.fork else { return pool };
        let find = |key: &PoolKey| table.pools.iter().find(|pool| pool.key == *key);
        if let Some(shadow) = &fork.shadow {
            let to = find(&shadow.pool).map_or("", |pool| &pool.service);
            let percent = f64::from(shadow.of_10_000) / 100.0;
            self.say(
                "mirror",
                match fork::is_copyable(asked.head, asked.buf) {
                    true => format!("copied to `{to}`, as are {percent} % of such requests"),
                    false => format!("not copied to `{to}`: only GET, HEAD and OPTIONS without a body are"),
                },
            );
        }
        let Some(sides) = &fork.sides else { return pool };
        let now = self.now;
        let takes = |state: &Arc<EndpointState>| {
            let stands = state.stands(now);
            stands.avoided_for.is_zero() && stands.spared_by < stands.threads
        };
        let usable =
            |side: usize| find(&sides.list[side].pool).is_some_and(|pool| pool.endpoints.iter().any(takes));
        let (side, why) = sides.explain((asked.ask.client.to_canonical(), fields, asked.buf), usable);
        self.say("split", why);
        find(&side.pool).unwrap_or(pool)
    }

    /// What route and service want done with it.
    fn rules(
        &mut self,
        fields: &[Field],
        pool: Option<&PoolSpec>,
        target: Option<Target<'_>>,
        asked: &Asked<'_>,
    ) -> Result<Box<Care>, Stop> {
        let Asked { ask, head, buf } = *asked;
        let rules = target.and_then(|target| target.rules);
        let mut care = Care::of(rules, pool.and_then(|pool| pool.wishes.as_ref()), None);
        let prefix = target.map_or(0, |target| target.prefix);
        let client = ask.client.to_canonical();
        let mut lines = Vec::new();
        if let Some(refusal) = care.judge(&Incoming { client, head, fields, buf, prefix }, &mut lines) {
            return Err(Stop::Refused(refusal, location(&lines)));
        }
        if care.is_unproven() {
            self.say("password", "the one that it brings is checked; here it is taken for right");
        }
        if let Some(asks) = care.asks() {
            let (owner, pool) = &asks.pool;
            self.say("asked first", format!("`{owner}/{pool}`, whose consent is taken for granted here"));
        }
        Ok(care)
    }

    /// Whether the edge has a file for it.
    fn file(&mut self, pool: &PoolSpec, care: &mut Care) -> Result<Option<Verdict>, Stop> {
        let Some(wanted) = care.take_wanted() else { return Ok(None) };
        match wanted.find() {
            Found::App => {
                self.say("files", "there is no such file, so the service is asked");
                Ok(None)
            }
            Found::Nothing => Err(Refusal::NO_FILE.into()),
            Found::Folder => {
                let mut line = Vec::new();
                wanted.push_location(&mut line);
                Err(Stop::Refused(Refusal::FOLDER, location(&line)))
            }
            Found::File(served) => {
                let answer = wanted.decide(&served, SystemClock.wall());
                self.say(
                    "files",
                    format!("there is one, of {} bytes: {}", served.entry.size, served.about()),
                );
                let (service, size) = (pool.service.clone(), served.entry.size);
                Ok(Some(Verdict::File { service, status: answer.status(), size }))
            }
        }
    }

    /// What the service has kept for it.
    fn cache(&mut self, pool: &PoolSpec, fields: &[Field], (asked, onward): (&Asked<'_>, &str), care: &Care) {
        let Some(cache) = &pool.cache else { return };
        let Asked { ask, head, buf } = *asked;
        let rewrite = care.onward().map_or(&[][..], |rewrite| rewrite.lines());
        let wanted = Wanted::of(
            cache,
            &cache::Incoming {
                head,
                fields,
                buf,
                secure: ask.secure,
                trusted: false,
                known: care.asks().is_some(),
                onward: (onward.as_bytes(), rewrite),
            },
        );
        self.say("cache", cache.explain(&wanted, (fields, buf)));
    }

    /// Whether it is small enough, and its client has some of its allowance left.
    fn allowance(
        &mut self,
        pool: &PoolSpec,
        fields: &[Field],
        asked: &Asked<'_>,
    ) -> Result<Option<Work>, Stop> {
        let Asked { ask, head, buf } = *asked;
        if let (Some(most), Some(length)) = (pool.policy.max_body, head.framing.length) {
            self.say("body", format!("{length} bytes, of {} at most", most.0));
            if length > most.0 {
                return Err(Refusal::BODY_SIZE.into());
            }
        }
        let Some(gate) = &pool.gate else { return Ok(None) };
        let named = |name: &str| fields.iter().find(|f| f.name.of(buf).eq_ignore_ascii_case(name.as_bytes()));
        let field = gate.header().and_then(named).map(|field| field.value.of(buf));
        let Bounds { allowance, work } = gate.look(ask.client.to_canonical(), field);
        if let Some((left, burst)) = allowance {
            let count = left.unwrap_or(0);
            self.say("rate", format!("{count} of {burst} requests are left"));
            left?;
        }
        Ok(work)
    }

    /// Whether the service has room for it.
    fn work(
        &mut self,
        pool: &PoolSpec,
        work: Option<Work>,
        (fields, asked): (&[Field], &Asked<'_>),
    ) -> Result<(), Stop> {
        let Some(work) = work else { return Ok(()) };
        let Asked { ask, head, buf } = *asked;
        let found = format!("{} of {} requests are at work, {} wait", work.now, work.most, work.waiting);
        let is_learnt = pool.policy.limit.is_some_and(|limit| limit.requests.is_none());
        self.say("limit", found + if is_learnt { "; the limit is found by the edge" } else { "" });
        let incoming = Incoming { client: ask.client.to_canonical(), head, fields, buf, prefix: 0 };
        self.priority(pool, &incoming, &work)?;
        if work.now >= work.most && work.waiting >= work.queue {
            return Err(Refusal::OVERLOADED.into());
        }
        Ok(())
    }

    /// Who may be asked.
    fn instances(&mut self, pool: &PoolSpec) {
        self.candidates = pool.endpoints.iter().map(|state| candidate(state, self.now)).collect();
        let well = self.candidates.iter().filter(|one| one.passed_over.is_none()).count();
        let found = match (well, self.candidates.len()) {
            (_, 0) => "there is none: the request waits for one".to_owned(),
            (0, all) => {
                format!("all {all} are passed over; one is tried all the same, unless all asked to be spared")
            }
            (well, all) => format!("{well} of {all}; the one for which latency times load is least"),
        };
        self.say("instances", found);
    }
}

fn candidate(state: &EndpointState, now: Instant) -> Candidate {
    let stands = state.stands(now);
    let mut why = Vec::new();
    if !stands.avoided_for.is_zero() {
        why.push(format!("took no connection; avoided for {}", present::time(stands.avoided_for)));
    }
    let by = |count: usize, longest: Duration| {
        format!("by {count} of {} threads, for {} at most", stands.threads, present::time(longest))
    };
    if stands.ejected_by > 0 {
        why.push(format!("ejected {}", by(stands.ejected_by, stands.ejected_for)));
    }
    if stands.spared_by > 0 {
        why.push(format!("asked to be spared, heard {}", by(stands.spared_by, stands.spared_for)));
    }
    Candidate {
        instance: state.instance.clone(),
        address: state.address,
        in_flight: state.in_flight(),
        passed_over: (!why.is_empty()).then(|| why.join("; ")),
    }
}

/// Path and query as the instance sees them.
fn onward(care: &Care, target: Option<Target<'_>>, head: &RequestHead, buf: &[u8]) -> String {
    let mut out = Vec::new();
    let strip = target.map_or(0, |target| target.strip);
    forward::push_target(&mut out, head.target.of(buf), strip, care.onward());
    String::from_utf8_lossy(&out).into_owned()
}

/// Where a line sends the client.
fn location(lines: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(lines);
    text.lines().find_map(|line| line.strip_prefix("location: ")).map(str::to_owned)
}

/// The head as the client writes it.
fn head_of(ask: &Ask) -> String {
    let mut text = format!("{} {} HTTP/1.1\r\n", ask.method, ask.target);
    if !ask.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("host: {}\r\n", ask.host));
    }
    for (name, value) in &ask.fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

#[cfg(test)]
mod tests;
