//! What happens to the edge and its instances while clients ask: documents, upgrades, crashes.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base::Rng;
use plan::ports::Traffic;
use plan::tls::TlsShare;
use plan::traffic::{Listener, Pool, RouteRule, RouteShare, TrafficSeen};
use proxy::{Edge, EdgeConfig, HttpsFront};
use spec::{BalanceBy, EdgePolicy, PathPrefix, Protocol};

use crate::clients::World;
use crate::fleet::{Crash, Instance};

/// Instances in the table.
const INSTANCES: u32 = 4;
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);
/// No condition takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Fewer than the edge keeps, as none that leaves is to be told to end.
const LEAVING: usize = 6;

/// One of the things that happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Change,
    Upgrade,
    Crash,
}

/// Which happen, each with the share of all requests behind which it does: evenly, all kinds mixed.
pub(crate) fn order(changes: u32, upgrades: u32, crashes: u32) -> Vec<(f64, Act)> {
    let spread = |count: u32, act: Act| {
        (0..count).map(move |number| ((f64::from(number) + 0.5) / f64::from(count), act))
    };
    let mut all: Vec<_> = spread(changes, Act::Change)
        .chain(spread(upgrades, Act::Upgrade))
        .chain(spread(crashes, Act::Crash))
        .collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    all
}

/// The edge and all that it sends requests to.
pub(crate) struct Course {
    edge: Option<Edge>,
    program: PathBuf,
    root: PathBuf,
    upgrades: u32,
    present: Vec<Instance>,
    /// Out of the table, and not at rest yet.
    retired: Vec<Instance>,
    started: u32,
    changes: u32,
    /// Changes by what they did.
    pub(crate) changed: BTreeMap<&'static str, u32>,
    pub(crate) crashes: Vec<Crash>,
    /// Ended when they were at rest, with signal 9.
    pub(crate) put_away: u32,
    pub(crate) slowest_upgrade: Duration,
    pub(crate) slowest_change: Duration,
    port: u16,
    published: bool,
    apart: bool,
    policy: EdgePolicy,
    pub(crate) most_leaving: usize,
}

impl Course {
    pub(crate) async fn begin(program: PathBuf, root: &Path) -> Result<Self> {
        let edge = Edge::open(config(&program, root, 0)).await?;
        // A port of an address that nobody else uses stays free.
        let port = std::net::TcpListener::bind(("127.0.7.251", 0))?.local_addr()?.port();
        let mut course = Self {
            edge: Some(edge),
            program,
            root: root.to_owned(),
            upgrades: 0,
            present: Vec::new(),
            retired: Vec::new(),
            started: 0,
            changes: 0,
            changed: BTreeMap::new(),
            crashes: Vec::new(),
            put_away: 0,
            slowest_upgrade: Duration::ZERO,
            slowest_change: Duration::ZERO,
            port,
            published: false,
            apart: false,
            policy: EdgePolicy::default(),
            most_leaving: 0,
        };
        for _ in 0..INSTANCES {
            let fresh = course.fresh().await?;
            course.present.push(fresh);
        }
        course.apply().await?;
        Ok(course)
    }

    fn edge(&self) -> Result<&Edge> {
        self.edge.as_ref().context("the edge is not held just now")
    }

    pub(crate) async fn address(&self) -> Result<std::net::SocketAddr> {
        self.edge()?.http().await.first().copied().context("the edge listens nowhere")
    }

    /// All acts in their turn, until so many requests are done.
    pub(crate) async fn sail(
        &mut self,
        world: &World,
        target: u64,
        acts: Vec<(f64, Act)>,
        rng: &mut Rng,
    ) -> Result<()> {
        let mut acts = VecDeque::from(acts);
        while let Some((share, act)) = acts.pop_front() {
            reach(world, (share * target as f64) as u64).await?;
            match act {
                Act::Change => self.change(rng).await?,
                Act::Upgrade => self.upgrade().await?,
                Act::Crash => self.crash(world, rng).await?,
            }
            self.put_away().await?;
        }
        reach(world, target).await
    }

    async fn fresh(&mut self) -> Result<Instance> {
        self.started += 1;
        Instance::start(self.started).await
    }

    async fn apply(&mut self) -> Result<()> {
        let began = Instant::now();
        let share = self.share();
        self.edge()?.apply("zero", share).await.map_err(|report| anyhow::anyhow!("{report}"))?;
        self.slowest_change = self.slowest_change.max(began.elapsed());
        Ok(())
    }

    fn share(&self) -> RouteShare {
        let endpoints = |of: &[Instance]| of.iter().map(Instance::endpoint).collect();
        let pool = |name: &str, of: &[Instance]| Pool {
            service: format!("zero/{name}"),
            endpoints: endpoints(of),
            policy: self.policy.clone(),
            ..Pool::default()
        };
        let rule = |path: &str, pool: &str| RouteRule {
            host: Some("zero.example".into()),
            path: PathPrefix(path.into()),
            strip_prefix: false,
            pool: pool.into(),
            https: plan::tls::RuleHttps::default(),
            rules: spec::RouteRules::default(),
            users: None,
            asks: String::new(),
        };
        let mut rules = vec![rule("/", "web")];
        let mut pools = BTreeMap::from([("web".to_owned(), pool("web", &self.present))]);
        if self.apart {
            // Some requests go to half of them by a rule and a pool of their own.
            rules.push(rule("/echo", "half"));
            pools.insert("half".into(), pool("half", &self.present[..INSTANCES as usize / 2]));
        }
        let listener = Listener {
            address: ([127, 0, 7, 251], self.port).into(),
            protocol: Protocol::Tcp,
            pool: "web".into(),
            between: false,
        };
        let listeners = if self.published { vec![listener] } else { Vec::new() };
        RouteShare { rules, listeners, pools, tls: TlsShare::default() }
    }

    /// Another document, which differs from the one before in one of several ways.
    async fn change(&mut self, rng: &mut Rng) -> Result<()> {
        self.changes += 1;
        let what = match self.changes % 5 {
            0 => {
                self.policy.balance = match self.policy.balance {
                    BalanceBy::Latency => BalanceBy::RoundRobin,
                    BalanceBy::RoundRobin => BalanceBy::LeastRequests,
                    _ => BalanceBy::Latency,
                };
                "the way of balancing"
            }
            1 => {
                let fresh = self.fresh().await?;
                let place = rng.below(u64::from(INSTANCES)) as usize;
                self.retired.push(std::mem::replace(&mut self.present[place], fresh));
                "an instance for another"
            }
            2 => {
                self.apart = !self.apart;
                "a rule and a pool"
            }
            3 => {
                self.published = !self.published;
                "a published port"
            }
            _ => {
                self.present.rotate_left(1);
                self.policy.compress = !self.policy.compress;
                "the order of instances, and compression"
            }
        };
        *self.changed.entry(what).or_default() += 1;
        self.apply().await
    }

    /// Another edge takes the place of the one that serves, as after an update of the program.
    async fn upgrade(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE * 5;
        loop {
            let leaving = self.edge()?.status().await?.leaving;
            self.most_leaving = self.most_leaving.max(leaving);
            if leaving < LEAVING {
                break;
            }
            ensure!(Instant::now() < deadline, "{leaving} edges that left do not come to an end");
            tokio::time::sleep(LOOK).await;
        }
        let began = Instant::now();
        let before = self.edge()?.status().await?.pid;
        self.edge.take().context("the edge is held")?.release().await;
        self.upgrades += 1;
        let edge = Edge::open(config(&self.program, &self.root, self.upgrades)).await?;
        ensure!(edge.status().await?.pid != before, "the edge was not replaced");
        self.edge = Some(edge);
        self.slowest_upgrade = self.slowest_upgrade.max(began.elapsed());
        Ok(())
    }

    /// An instance dies within its requests, and comes back a while later.
    async fn crash(&mut self, world: &World, rng: &mut Rng) -> Result<()> {
        let place = rng.below(u64::from(INSTANCES)) as usize;
        let id = self.present[place].id.clone();
        let lost = |seen: &TrafficSeen| seen.answered.get(&id).map_or(0, |answered| answered.lost);
        let before = lost(&self.look().await?);
        let victim = &mut self.present[place];
        let (name, at) = (victim.name(), Instant::now());
        victim.kill().await?;
        tokio::time::sleep(Duration::from_millis(50 + rng.below(500))).await;
        victim.restart().await?;
        let mut crash = Crash { name, at, until: Instant::now(), lost: 0 };
        // Both sides may hear of it late: much of a download that is read slowly is on its way.
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            crash.lost = lost(&self.look().await?) - before;
            let over = world.sessions(&crash.name) == 0;
            if over && crate::report::claims(&world.book.failures(), &crash) <= crash.lost {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        self.crashes.push(crash);
        Ok(())
    }

    async fn look(&self) -> Result<TrafficSeen> {
        self.edge()?.look().await.map_err(|report| anyhow::anyhow!("{report}"))
    }

    /// Ends those that the edge says have nothing more to do: that this loses nothing is what is tried here.
    async fn put_away(&mut self) -> Result<()> {
        if self.retired.is_empty() {
            return Ok(());
        }
        let seen = self.look().await?;
        let rests = |one: &Instance| !seen.sending.contains(&one.id) && !seen.in_flight.contains_key(&one.id);
        let (resting, busy) = self.retired.drain(..).partition(rests);
        self.retired = busy;
        for mut instance in Vec::from_iter::<Vec<Instance>>(resting) {
            instance.kill().await?;
            self.put_away += 1;
        }
        Ok(())
    }

    /// Ends the edge, once all instances that left are at rest.
    pub(crate) async fn end(mut self) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        while !self.retired.is_empty() {
            self.put_away().await?;
            if Instant::now() > deadline {
                bail!("{} instances without a client are still not at rest", self.retired.len());
            }
            tokio::time::sleep(LOOK).await;
        }
        self.edge.take().context("the edge is held")?.stop().await?;
        for instance in &mut self.present {
            instance.kill().await?;
        }
        Ok(self)
    }
}

/// Waits until so many requests are done.
async fn reach(world: &World, count: u64) -> Result<()> {
    let (mut before, mut since) = (0, Instant::now());
    while world.book.total() < count {
        let total = world.book.total();
        if total != before {
            (before, since) = (total, Instant::now());
        }
        ensure!(since.elapsed() < PATIENCE, "nothing was answered for {PATIENCE:?}");
        ensure!(world.book.rest().0 == 0, "too many requests fail");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn config(program: &Path, root: &Path, number: u32) -> EdgeConfig {
    let words = ["edge", "--http", "127.0.0.1:0", "--access-log", "off", "--root"];
    let mut args: Vec<OsString> = words.map(OsString::from).into();
    args.push(root.into());
    EdgeConfig {
        root: root.to_owned(),
        program: program.to_owned(),
        args,
        http: vec![([127, 0, 0, 1], 0).into()],
        https: HttpsFront::Never,
        trusted: Vec::new(),
        prefaced: Vec::new(),
        identity: format!("zero-loss {number}"),
    }
}
