//! From what is wanted and what is seen to the next steps.
//!
//! Pure and repeatable: a step that fails is not remembered here, the next round sees what is still missing and asks
//! again. Steps of one round do not depend on each other; what must come after another step comes in a later round,
//! once that step's effect is seen.
//!
//! Invariants, which the simulated world of `control` checks:
//! - an instance is stopped only after the edge confirmed that it sends nothing more to it, and its requests are over or
//!   the drain time is up;
//! - start-first never takes an instance away before another one is ready in its place;
//! - stop-first never has more instances alive than replicas, so one replica means one writer;
//! - jobs of a release end before any of its traffic moves;
//! - at a fixed point there are no steps.

mod crew;
mod gate;
mod leave;
mod moves;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::{ContainerId, Instant, ReleaseNumber, Revision, ServiceName, Timestamp};

pub use crew::Standing;
pub(crate) use crew::{Crew, Fleet, Instance, Life};

use crate::release::Release;
use crate::routes::{self, Basis};
use crate::seen::Seen;
use crate::step::{Slot, Step};
use crate::traffic::{RouteShare, TrafficSeen};

/// What people want of an app.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What shall run.
    pub release: &'a Release,
    /// What ran before, while `release` takes over.
    pub before: Option<&'a Release>,
    /// The kept releases, to know what older instances are.
    pub history: &'a BTreeMap<ReleaseNumber, Arc<Release>>,
    /// Services that a person stopped.
    pub stopped: &'a BTreeSet<ServiceName>,
    /// Jobs that ended, with their exit codes.
    pub finished: &'a BTreeMap<Revision, i32>,
    /// Where we are going.
    pub course: Course,
    /// Since when.
    pub since: Timestamp,
}

/// Where an app is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// The release takes over; a failure ends that.
    Rolling,
    /// The release comes back after a later one failed.
    RollingBack,
    /// The release runs, and is kept so.
    Steady,
    /// The release failed half-way; what runs is kept, nothing more is replaced.
    Held,
    /// Everything leaves.
    Leaving {
        /// The volumes too.
        volumes: bool,
    },
}

/// What is seen of an app, and what its loop remembers.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// Its instances.
    pub instances: &'a [Seen],
    /// What the edge does; none when it does not answer.
    pub traffic: Option<&'a TrafficSeen>,
    /// What the loop remembers.
    pub memory: &'a Memory,
    /// Now.
    pub now: Instant,
    /// Now, by the calendar.
    pub wall: Timestamp,
}

/// What a loop remembers from round to round. All of it may be lost at any moment without harm.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The release whose networks and volumes were made.
    pub prepared: Option<ReleaseNumber>,
    /// The share that the edge last confirmed to us.
    pub sent: Option<RouteShare>,
    /// A share that the edge may be taking on at this moment, or may have taken on without our knowing.
    pub sending: Option<RouteShare>,
    /// Instances that are being started.
    pub starting: BTreeSet<Slot>,
    /// Instances that ended and are being started again.
    pub restarting: BTreeSet<ContainerId>,
    /// Instances that are being stopped.
    pub stopping: BTreeSet<ContainerId>,
    /// Since when the edge sends nothing new to these instances.
    pub quiet: BTreeMap<ContainerId, Instant>,
}

/// What to do next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Independent of each other.
    pub steps: Vec<Step>,
    /// When time alone brings new steps.
    pub wake: Option<Duration>,
    /// Grows as a release takes over; when it stays the same for long, nothing moves.
    pub progress: u64,
    /// Whom the release waits for, when it is one service's instances or its needs.
    pub waits: Option<(ServiceName, String)>,
}

impl Plan {
    fn wake_in(&mut self, time: Duration) {
        // A wake-up at once could be one too early by rounding, and would spin.
        let time = time.max(Duration::from_millis(1));
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }
}

/// The steps from what is seen to what is wanted; none means we are there.
pub fn plan(wanted: &Wanted<'_>, sight: &Sight<'_>) -> Plan {
    let fleet = Fleet::of(wanted, sight);
    let mut plan = Plan::default();
    if let Course::Leaving { volumes } = wanted.course {
        leave::everything(&fleet, sight, volumes, &mut plan);
        return plan;
    }
    let gates = gate::gates(&fleet);
    if (gates.want_starts || !routes::served_as_wanted(wanted, &fleet))
        && sight.memory.prepared != Some(wanted.release.number)
    {
        plan.steps.push(Step::Prepare { release: wanted.release.number });
    }
    let mut moves = moves::Moves::new(sight.memory.prepared == Some(wanted.release.number));
    for (crew, gate) in fleet.crews.iter().zip(&gates.by_crew) {
        moves.of_crew(&fleet, crew, gate);
    }
    moves.of_gone(&fleet, &gates);

    let basis = Basis { traffic_may_move: gates.jobs_done, complete: fleet.complete() };
    let share = routes::share(wanted, &fleet, &moves.leaving, basis);
    leave::send_and_stop(&fleet, sight, share, &moves.leaving, &mut plan);
    plan.steps.append(&mut moves.steps);
    plan.steps.retain(|step| leave::is_safe(step, sight));
    if let Some(wake) = moves.wake {
        plan.wake_in(wake);
    }
    outcome::decide(&fleet, &gates, sight, &mut plan);
    plan
}

/// How each service stands, in the order of the release.
pub fn standing(wanted: &Wanted<'_>, sight: &Sight<'_>) -> Vec<Standing> {
    let fleet = Fleet::of(wanted, sight);
    let gates = gate::gates(&fleet);
    fleet
        .crews
        .iter()
        .zip(&gates.by_crew)
        .map(|(crew, gate)| Standing::of(crew, gate.waits.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
