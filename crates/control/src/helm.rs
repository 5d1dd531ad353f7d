//! The helm of one app: the loop's core, without I/O. It is told what is seen, what ended, and what time it is.
//!
//! Holds the ledger, which is on disk, and a memory, which may be lost at any moment. What it returns is to be written
//! down first and acted on then.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use base::{ContainerId, Instant, Kind, ReleaseNumber, Report, ServiceName, Timestamp};
use plan::backoff::doubling;
use plan::ledger::Phase;
use plan::seen::Seen;
use plan::traffic::TrafficSeen;
use plan::{Change, Course, Ledger, Memory, Plan, Sight, Slot, Standing, Step};

use crate::receipt::Counts;

/// So many instances are started or stopped at the same time.
const AT_ONCE: usize = 16;
/// A release in which nothing moves for so long has failed.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The wait after the first failure of a step, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// A start that failed so often fails its release, when trying again may help, and when it hardly can.
const TRIES: (u32, u32) = (6, 3);

/// What a step is about: no two steps with one key are under way at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Prepare,
    Send,
    Retire,
    Slot(Slot),
    Instance(ContainerId),
}

impl Key {
    /// None for steps that only write something down.
    fn of(step: &Step) -> Option<Self> {
        match step {
            Step::Prepare { .. } => Some(Self::Prepare),
            Step::Send(_) => Some(Self::Send),
            Step::Retire { .. } => Some(Self::Retire),
            Step::Start(slot) | Step::RunJob(slot) => Some(Self::Slot(slot.clone())),
            Step::Restart { who, .. } | Step::Stop(who) | Step::Remove(who) => {
                Some(Self::Instance(who.id.clone()))
            }
            Step::Finish { .. } | Step::Settle { .. } | Step::Fail { .. } => None,
        }
    }
}

/// A step that fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// The step, as it is shown.
    pub step: String,
    /// How often in a row it failed.
    pub times: u32,
    /// How it failed last.
    pub report: Report,
    retry_at: Instant,
}

/// What follows from one look.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// To be written down before anything else.
    pub(crate) changes: Vec<Change>,
    /// To be done then, at the same time; each is to be answered by [`Helm::ended`].
    pub(crate) act: Vec<Step>,
    /// When to look again even if nothing is heard.
    pub(crate) wake: Option<Duration>,
    /// How each service stands.
    pub(crate) waits: Option<(ServiceName, String)>,
}

pub(crate) struct Helm {
    pub(crate) ledger: Ledger,
    memory: Memory,
    busy: BTreeSet<Key>,
    troubles: BTreeMap<Key, Trouble>,
    /// The release whose troubles they are.
    troubled: Option<ReleaseNumber>,
    /// How far the release was, and since when.
    progress: (Option<ReleaseNumber>, u64, Instant),
    counts: Counts,
    /// Instances that the edge has sent requests to.
    served: HashSet<ContainerId>,
}

impl Helm {
    pub(crate) fn new(ledger: Ledger, now: Instant) -> Self {
        let counts = Counts::resumed(&ledger);
        Self {
            ledger,
            memory: Memory::default(),
            busy: BTreeSet::new(),
            troubles: BTreeMap::new(),
            troubled: None,
            progress: (None, 0, now),
            counts,
            served: HashSet::new(),
        }
    }

    /// What to write down and to do, after a look. `instances` and `traffic` were looked at before the latest steps
    /// ended that the helm was told of, or after; never later than steps that it returned and that are not ended.
    pub(crate) fn round(
        &mut self,
        instances: &[Seen],
        traffic: Option<&TrafficSeen>,
        now: Instant,
        wall: Timestamp,
    ) -> Round {
        self.observe(instances, traffic, now);
        let mut round = Round::default();
        loop {
            let Some(wanted) = self.ledger.wanted() else { return round };
            let sight = Sight { instances, traffic, memory: &self.memory, now, wall };
            let plan = plan::plan(&wanted, &sight);
            self.counts.follow(&self.ledger, instances, traffic);
            if let Some(change) = self.record(&plan, now, wall) {
                round.changes.push(change);
                // What is wanted may have changed: decide anew.
                continue;
            }
            round.wake = plan.wake;
            round.waits = plan.waits;
            for step in plan.steps {
                self.take(step, traffic, now, &mut round);
            }
            return round;
        }
    }

    /// Writes down the first thing that is to be written down.
    fn record(&mut self, plan: &Plan, now: Instant, wall: Timestamp) -> Option<Change> {
        for step in &plan.steps {
            return Some(match step {
                Step::Finish { service, revision, code } => {
                    self.ledger.finish(service, revision.clone(), *code)
                }
                Step::Settle { release } => {
                    let receipt = self.counts.receipt();
                    self.ledger.settle(*release, receipt, wall)
                }
                Step::Fail { release, service, why } => self.ledger.fail(*release, service, why, wall),
                Step::Prepare { .. }
                | Step::Start(_)
                | Step::RunJob(_)
                | Step::Restart { .. }
                | Step::Send(_)
                | Step::Stop(_)
                | Step::Remove(_)
                | Step::Retire { .. } => continue,
            });
        }
        let (service, why) = self.hopeless().or_else(|| self.stuck(plan, now))?;
        let release = self.ledger.target()?.number;
        Some(self.ledger.fail(release, &service, &why, wall))
    }

    /// A start, or the opening of its ports, that has failed too often for this release.
    fn hopeless(&self) -> Option<(ServiceName, String)> {
        let wanted = self.ledger.wanted().filter(|wanted| takes_over(wanted.course))?;
        self.troubles.iter().find_map(|(key, trouble)| {
            let limit = match trouble.report.kind {
                Kind::Unavailable | Kind::TimedOut | Kind::Exhausted | Kind::Internal => TRIES.0,
                Kind::Invalid | Kind::NotFound | Kind::Conflict | Kind::Denied | Kind::Unsupported => TRIES.1,
            };
            let (service, what) = match key {
                Key::Slot(slot) => {
                    let made = wanted.release.made.get(&slot.service)?;
                    ((made.revision == slot.revision).then_some(&slot.service)?, "started")
                }
                Key::Prepare => (wanted.release.app.services.keys().next()?, "started"),
                // An edge that is away comes back; an address that somebody else has does not come free by waiting.
                Key::Send if limit == TRIES.1 => {
                    let open = |(_, service): &(_, &spec::Service)| {
                        !service.ports.is_empty() || !service.routes.is_empty()
                    };
                    (wanted.release.app.services.iter().find(open)?.0, "opened to requests")
                }
                Key::Send | Key::Retire | Key::Instance(_) => return None,
            };
            let why = || format!("could not be {what}: {}", line(&trouble.report));
            (trouble.times >= limit).then(|| (service.clone(), why()))
        })
    }

    /// A release in which nothing has moved for long.
    fn stuck(&mut self, plan: &Plan, now: Instant) -> Option<(ServiceName, String)> {
        let wanted = self.ledger.wanted()?;
        let (release, since) = (Some(wanted.release.number), self.progress.2);
        if !takes_over(wanted.course) || self.progress.0 != release || self.progress.1 != plan.progress {
            self.progress = (release, plan.progress, now);
            return None;
        }
        if now.since(since) < PATIENCE {
            return None;
        }
        let first = wanted.release.app.services.keys().next()?;
        let minutes = PATIENCE.as_secs() / 60;
        self.progress.2 = now;
        Some(match &plan.waits {
            Some((service, what)) => (service.clone(), format!("has waited {minutes} min {what}")),
            None => (first.clone(), format!("and the others have not moved for {minutes} min")),
        })
    }

    /// Takes a step up, unless one with its key is under way or failed a moment ago.
    fn take(&mut self, step: Step, traffic: Option<&TrafficSeen>, now: Instant, round: &mut Round) {
        let Some(key) = Key::of(&step) else { return };
        if self.busy.contains(&key) || self.busy.contains(&Key::Retire) {
            return;
        }
        if let Some(trouble) = self.troubles.get(&key)
            && trouble.retry_at > now
        {
            let wait = trouble.retry_at.since(now);
            round.wake = Some(round.wake.map_or(wait, |wake| wake.min(wait)));
            return;
        }
        let counted = self.busy.iter().filter(|key| matches!(key, Key::Slot(_) | Key::Instance(_))).count();
        if matches!(key, Key::Slot(_) | Key::Instance(_)) && counted >= AT_ONCE {
            return;
        }
        match &step {
            Step::Start(slot) | Step::RunJob(slot) => {
                self.memory.starting.insert(slot.clone());
            }
            Step::Restart { who, .. } => {
                self.memory.restarting.insert(who.id.clone());
            }
            Step::Stop(who) => {
                self.memory.stopping.insert(who.id.clone());
                // Who never got requests from the edge has none to wait for.
                if self.served.contains(&who.id) {
                    let quiet = self.memory.quiet.get(&who.id);
                    let drained = quiet.map_or(Duration::ZERO, |quiet| now.since(*quiet));
                    let in_flight = traffic.and_then(|traffic| traffic.in_flight.get(&who.id));
                    self.counts.left(&who.id, drained, in_flight.is_some_and(|count| *count > 0));
                }
            }
            Step::Send(share) => self.memory.sending = Some(share.clone()),
            Step::Prepare { .. }
            | Step::Remove(_)
            | Step::Retire { .. }
            | Step::Finish { .. }
            | Step::Settle { .. }
            | Step::Fail { .. } => {}
        }
        self.busy.insert(key);
        round.act.push(step);
    }

    /// A step ended. A look that began before this must be followed by its round before this is told.
    pub(crate) fn ended(&mut self, step: &Step, result: Result<(), Report>, now: Instant) -> Option<Change> {
        let key = Key::of(step)?;
        self.busy.remove(&key);
        let well = result.is_ok();
        match step {
            Step::Start(slot) | Step::RunJob(slot) => {
                self.memory.starting.remove(slot);
            }
            Step::Restart { who, .. } => {
                self.memory.restarting.remove(&who.id);
            }
            Step::Stop(who) => {
                self.memory.stopping.remove(&who.id);
            }
            Step::Send(share) => {
                self.memory.sending = None;
                // When it failed, we know no more what the edge goes by.
                self.memory.sent = well.then(|| share.clone());
            }
            Step::Prepare { release } if well => self.memory.prepared = Some(*release),
            Step::Retire { .. } => self.memory.prepared = None,
            Step::Prepare { .. }
            | Step::Remove(_)
            | Step::Finish { .. }
            | Step::Settle { .. }
            | Step::Fail { .. } => {}
        }
        match result {
            Ok(()) => {
                self.troubles.remove(&key);
                matches!(step, Step::Retire { .. }).then(|| self.ledger.retired())
            }
            Err(report) => {
                let times = self.troubles.get(&key).map_or(1, |trouble| trouble.times.saturating_add(1));
                let retry_at = now + doubling(RETRY.0, times - 1, RETRY.1);
                self.troubles.insert(key, Trouble { step: step.to_string(), times, report, retry_at });
                None
            }
        }
    }

    /// The steps that fail at present.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.troubles.values().cloned().collect()
    }

    /// Nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }

    /// How each service stands.
    pub(crate) fn standing(&self, instances: &[Seen], now: Instant, wall: Timestamp) -> Vec<Standing> {
        let sight = Sight { instances, traffic: None, memory: &self.memory, now, wall };
        self.ledger.wanted().map(|wanted| plan::standing(&wanted, &sight)).unwrap_or_default()
    }

    /// Takes in what was seen, and forgets what concerns nobody any more.
    fn observe(&mut self, instances: &[Seen], traffic: Option<&TrafficSeen>, now: Instant) {
        let there: HashSet<&ContainerId> = instances.iter().map(|seen| &seen.id).collect();
        if let Some(traffic) = traffic {
            let sending: HashSet<&ContainerId> = traffic.sending.iter().collect();
            for seen in instances {
                if sending.contains(&seen.id) {
                    self.served.insert(seen.id.clone());
                    self.memory.quiet.remove(&seen.id);
                } else if !self.memory.quiet.contains_key(&seen.id) {
                    self.memory.quiet.insert(seen.id.clone(), now);
                }
            }
        }
        self.memory.quiet.retain(|id, _| there.contains(id));
        self.served.retain(|id| there.contains(id));
        let target = self.ledger.target();
        // What failed in an earlier release is tried anew in the next, also where nothing of it changed.
        let number = target.map(|release| release.number);
        if std::mem::replace(&mut self.troubled, number) != number {
            self.troubles.retain(|key, _| !matches!(key, Key::Slot(_) | Key::Prepare));
        }
        self.troubles.retain(|key, _| match key {
            Key::Instance(id) => there.contains(id),
            Key::Slot(slot) => target.is_some_and(|release| {
                release.made.get(&slot.service).is_some_and(|made| made.revision == slot.revision)
            }),
            Key::Prepare | Key::Send | Key::Retire => true,
        });
        if matches!(self.ledger.record.phase, Phase::Leaving { .. }) {
            self.troubles.remove(&Key::Prepare);
        }
    }
}

fn takes_over(course: Course) -> bool {
    match course {
        Course::Rolling | Course::RollingBack => true,
        Course::Steady | Course::Held | Course::Leaving { .. } => false,
    }
}

/// A report in one line.
fn line(report: &Report) -> String {
    std::iter::once(&report.message).chain(&report.because).cloned().collect::<Vec<_>>().join(": ")
}
