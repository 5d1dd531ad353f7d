//! What is seen, sorted: the instances of each service, the current and the old, those to keep first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base::{Revision, ServiceName, VolumeName};
use spec::{FailureAction, MountKind, Order, Restart, Service, UpdatePolicy};

use super::{Course, Sight, Wanted};
use crate::backoff::{LONG_RUN, restart_delay};
use crate::order;
use crate::release::Made;
use crate::seen::{Seen, State};
use crate::step::Slot;

/// How an instance lives, with what is under way taken into account; those to keep first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    Ready,
    Starting,
    Spared,
    Unhealthy,
    Exited,
    /// Made, never started, and nobody is starting it.
    Created,
    Stopping,
}

impl Life {
    /// Whether its processes run, or may run in a moment.
    pub(crate) fn is_alive(self) -> bool {
        match self {
            Self::Ready | Self::Starting | Self::Spared | Self::Unhealthy | Self::Stopping => true,
            Self::Exited | Self::Created => false,
        }
    }
}

/// An instance. `seen` is none while it is being made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instance<'a> {
    pub(crate) seen: Option<&'a Seen>,
    pub(crate) service: &'a ServiceName,
    pub(crate) revision: &'a Revision,
    pub(crate) number: u32,
    pub(crate) life: Life,
}

impl<'a> Instance<'a> {
    fn of(seen: &'a Seen, sight: &Sight<'_>) -> Self {
        let memory = sight.memory;
        let life = match seen.state {
            State::Exited { .. } if memory.restarting.contains(&seen.id) => Life::Starting,
            State::Exited { .. } => Life::Exited,
            State::Stopping => Life::Stopping,
            State::Created if memory.starting.iter().any(|slot| is_at(seen, slot)) => Life::Starting,
            State::Created => Life::Created,
            State::Starting | State::Ready | State::Spared | State::Unhealthy
                if memory.stopping.contains(&seen.id) =>
            {
                Life::Stopping
            }
            State::Starting => Life::Starting,
            State::Ready => Life::Ready,
            State::Spared => Life::Spared,
            State::Unhealthy => Life::Unhealthy,
        };
        Self { seen: Some(seen), service: &seen.service, revision: &seen.revision, number: seen.number, life }
    }

    /// Its exit code, and whether we stopped it, if it ended.
    pub(crate) fn exit(&self) -> Option<(i32, bool)> {
        match self.seen?.state {
            State::Exited { code, asked } if self.life == Life::Exited => Some((code, asked)),
            State::Exited { .. }
            | State::Created
            | State::Starting
            | State::Ready
            | State::Spared
            | State::Unhealthy
            | State::Stopping => None,
        }
    }
}

fn is_at(seen: &Seen, slot: &Slot) -> bool {
    slot.number == seen.number && slot.service == seen.service && slot.revision == seen.revision
}

/// A service of the wanted release with its instances.
pub(crate) struct Crew<'a> {
    pub(crate) name: &'a ServiceName,
    pub(crate) spec: &'a Service,
    pub(crate) made: &'a Made,
    /// For a job: whether somebody cannot do without it.
    pub(crate) job: Option<bool>,
    /// How many instances shall run; none while a person has stopped it.
    pub(crate) count: usize,
    /// A person stopped it.
    pub(crate) stopped: bool,
    pub(crate) order: Order,
    pub(crate) policy: &'a UpdatePolicy,
    /// Whether this release makes its instances anew, or more of them.
    pub(crate) changed: bool,
    /// For how long the release has been taking over.
    pub(crate) taking_over: Duration,
    /// Of the wanted revision; those to keep first.
    pub(crate) current: Vec<Instance<'a>>,
    /// Of other revisions; those to keep first.
    pub(crate) old: Vec<Instance<'a>>,
}

impl<'a> Crew<'a> {
    fn of(
        wanted: &Wanted<'a>,
        sight: &Sight<'_>,
        (name, spec): (&'a ServiceName, &'a Service),
        job: Option<bool>,
    ) -> Option<Self> {
        let made = wanted.release.made.get(name)?;
        let policy = match wanted.course {
            Course::RollingBack => &spec.rollback,
            Course::Rolling | Course::Steady | Course::Held | Course::Leaving { .. } => &spec.update,
        };
        let stopped = wanted.stopped.contains(name);
        let before =
            wanted.before.and_then(|before| Some((before.made.get(name)?, before.app.services.get(name)?)));
        Some(Self {
            name,
            spec,
            made,
            job,
            count: if stopped { 0 } else { spec.replicas as usize },
            stopped,
            order: if has_fixed_address(spec) { Order::StopFirst } else { policy.order },
            policy,
            changed: before.is_none_or(|(then, service)| {
                then.revision != made.revision || service.replicas < spec.replicas
            }),
            taking_over: sight.wall.since(wanted.since),
            current: Vec::new(),
            old: Vec::new(),
        })
    }

    /// The instances that count, not more than wanted.
    pub(crate) fn kept(&self) -> &[Instance<'a>] {
        &self.current[..self.count.min(self.current.len())]
    }

    pub(crate) fn ready(&self) -> usize {
        self.kept().iter().filter(|one| one.life == Life::Ready).count()
    }

    /// How many are as they shall be: ready, or ended as they may end.
    pub(crate) fn fine(&self) -> usize {
        self.kept().iter().filter(|one| one.life == Life::Ready || self.ended_well(one)).count()
    }

    /// How many have failed while the update was watched.
    pub(crate) fn failed(&self) -> usize {
        self.kept().iter().filter(|one| self.has_failed(one)).count()
    }

    pub(crate) fn ended_well(&self, one: &Instance<'_>) -> bool {
        let may_end = match self.spec.restart {
            Restart::No | Restart::OnFailure { .. } => true,
            Restart::Always | Restart::UnlessStopped => false,
        };
        may_end && one.exit() == Some((0, false))
    }

    /// Whether this instance counts as a failure of the update: something happened to it since then.
    pub(crate) fn has_failed(&self, one: &Instance<'_>) -> bool {
        let Some(seen) = one.seen else { return false };
        // It was started no sooner than this after its end. An end before the release was asked for is no failure of it, also
        // where the start was under way then.
        let waited = restart_delay(seen.restarts.saturating_sub(1));
        let again = seen.restarts > 0 && seen.up.saturating_add(waited) < self.taking_over;
        let watched = |at: Duration| {
            seen.ready_after.is_none_or(|begun| at.saturating_sub(begun) <= self.policy.monitor)
        };
        let lately = seen.age < self.taking_over;
        match seen.state {
            State::Created => false,
            State::Exited { asked: true, .. } | State::Stopping | State::Ready => again,
            State::Exited { .. } => !self.ended_well(one) && lately && (again || watched(seen.up)),
            State::Spared | State::Unhealthy => {
                lately && (again || watched(seen.up.saturating_sub(seen.age)))
            }
            State::Starting => again || seen.age.min(self.taking_over) > self.start_limit(),
        }
    }

    /// How long an instance may take to become ready.
    pub(crate) fn start_limit(&self) -> Duration {
        const SPARE: Duration = Duration::from_secs(60);
        let checks = self.spec.healthcheck.iter().chain(&self.spec.check);
        let limits = checks.map(|check| {
            let round = check.interval.saturating_add(check.timeout);
            let rounds = round.saturating_mul(check.retries.saturating_add(1));
            check.start_period.saturating_add(rounds).saturating_add(SPARE)
        });
        limits.max().unwrap_or(SPARE)
    }

    /// How many failures the policy lets pass.
    pub(crate) fn tolerated(&self) -> usize {
        match self.policy.failure_action {
            FailureAction::Continue => self.count,
            FailureAction::Rollback | FailureAction::Pause => {
                // A small amount on top, because a third of three shall be one.
                (self.policy.max_failure_ratio.clamp(0.0, 1.0) * self.count as f64 + 1e-9) as usize
            }
        }
    }

    /// Whether all that is wanted of it is there, with failures only as far as the policy lets them pass.
    pub(crate) fn complete(&self) -> bool {
        let missing = self.count - self.fine();
        let surplus = self.current[self.kept().len()..].iter();
        let only_records = surplus.clone().all(|one| self.stopped && one.life == Life::Exited);
        self.old.is_empty()
            && (surplus.len() == 0 || only_records)
            && (missing == 0 || missing <= self.failed().min(self.tolerated()))
    }

    /// In how long an instance that ended may be started again; none if it stays as it is.
    pub(crate) fn restart_in(&self, one: &Instance<'_>) -> Option<Duration> {
        let seen = one.seen?;
        let (code, asked) = one.exit()?;
        let again = match self.spec.restart {
            Restart::Always | Restart::UnlessStopped => true,
            Restart::OnFailure { max_retries } => {
                code != 0 && (max_retries == 0 || seen.restarts < max_retries)
            }
            Restart::No => false,
        };
        let restarts = if seen.up >= LONG_RUN { 0 } else { seen.restarts };
        (again || asked).then(|| restart_delay(restarts).saturating_sub(seen.age))
    }

    /// The named volumes that its instances write to.
    pub(crate) fn writes(&self, wanted: &Wanted<'a>) -> Vec<&'a VolumeName> {
        let named = |kind: &'a MountKind| match kind {
            MountKind::Volume { key, .. } => wanted.release.app.volumes.get(key).map(|volume| &volume.name),
            MountKind::Bind { .. } | MountKind::Anonymous | MountKind::Image { .. } | MountKind::Tmpfs(_) => {
                None
            }
        };
        self.spec
            .mounts
            .iter()
            .filter(|mount| !mount.read_only)
            .filter_map(|mount| named(&mount.kind))
            .collect()
    }

    /// Numbers that no instance of the service has, from the lowest.
    pub(crate) fn free_numbers(&self) -> impl Iterator<Item = u32> {
        let taken = |number| self.current.iter().chain(&self.old).any(|one| one.number == number);
        (1..).filter(move |number| !taken(*number))
    }
}

/// Two instances cannot have one address, not even for a moment.
fn has_fixed_address(spec: &Service) -> bool {
    spec.networks
        .values()
        .any(|at| at.ipv4_address.is_some() || at.ipv6_address.is_some() || at.mac_address.is_some())
}

/// All instances of an app, by service.
pub(crate) struct Fleet<'a> {
    pub(crate) wanted: Wanted<'a>,
    /// In the order of the release.
    pub(crate) crews: Vec<Crew<'a>>,
    /// Instances of services that the release does not have.
    pub(crate) gone: Vec<Instance<'a>>,
    /// The addresses that its services have on their networks.
    pub(crate) served: &'a [(ServiceName, IpAddr)],
    places: BTreeMap<&'a ServiceName, usize>,
}

impl<'a> Fleet<'a> {
    pub(crate) fn of(wanted: &Wanted<'a>, sight: &Sight<'a>) -> Self {
        let jobs = order::jobs(&wanted.release.app);
        let services = wanted.release.app.services.iter();
        let crews: Vec<_> = services
            .filter_map(|(name, spec)| Crew::of(wanted, sight, (name, spec), jobs.get(name).copied()))
            .collect();
        let places = crews.iter().enumerate().map(|(place, crew)| (crew.name, place)).collect();
        let served = sight.instances.first().map_or(&[][..], |seen| &seen.served);
        let mut fleet = Self { wanted: *wanted, crews, gone: Vec::new(), served, places };
        for seen in sight.instances {
            fleet.put(Instance::of(seen, sight));
        }
        for slot in &sight.memory.starting {
            if !sight.instances.iter().any(|seen| is_at(seen, slot)) {
                let (service, revision, number) = (&slot.service, &slot.revision, slot.number);
                fleet.put(Instance { seen: None, service, revision, number, life: Life::Starting });
            }
        }
        for crew in &mut fleet.crews {
            crew.current.sort_unstable_by_key(|one| (one.life, one.number));
            crew.old.sort_unstable_by_key(|one| (one.life, one.number));
        }
        fleet
    }

    fn put(&mut self, one: Instance<'a>) {
        let Some(crew) = self.places.get(one.service).map(|place| &mut self.crews[*place]) else {
            self.gone.push(one);
            return;
        };
        if *one.revision == crew.made.revision {
            crew.current.push(one);
        } else {
            crew.old.push(one);
        }
    }

    pub(crate) fn crew(&self, name: &ServiceName) -> Option<&Crew<'a>> {
        self.places.get(name).map(|place| &self.crews[*place])
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Instance<'a>> {
        self.crews.iter().flat_map(|crew| crew.current.iter().chain(&crew.old)).chain(&self.gone)
    }

    /// How a job ended, once that is written down.
    pub(crate) fn finished(&self, crew: &Crew<'_>) -> Option<i32> {
        self.wanted.finished.get(&crew.made.revision).copied()
    }

    /// Whether every service of the release is complete; who left the file may still be there.
    pub(crate) fn complete(&self) -> bool {
        self.crews.iter().all(|crew| match crew.job {
            Some(_) => crew.stopped || self.finished(crew).is_some(),
            None => crew.complete(),
        })
    }
}

/// How a service stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The service.
    pub service: ServiceName,
    /// How many shall run.
    pub wanted: usize,
    /// How many of the wanted revision are ready.
    pub ready: usize,
    /// How many of the wanted revision are there.
    pub current: usize,
    /// How many of older revisions are there.
    pub old: usize,
    /// How many fail.
    pub failed: usize,
    /// It runs once, and others wait for its end.
    pub job: bool,
    /// A person stopped it.
    pub stopped: bool,
    /// What it waits for.
    pub waits: Option<String>,
}

impl Standing {
    pub(super) fn of(crew: &Crew<'_>, waits: Option<String>) -> Self {
        Self {
            service: crew.name.clone(),
            wanted: crew.count,
            ready: crew.ready(),
            current: crew.current.len(),
            old: crew.old.len(),
            failed: crew.failed(),
            job: crew.job.is_some(),
            stopped: crew.stopped,
            waits,
        }
    }
}
