//! What each service does next: who starts, who is started again, who leaves, who is removed.

use std::collections::BTreeSet;
use std::time::Duration;

use base::ContainerId;
use spec::{FailureAction, Order, Restart};

use super::gate::{Gate, Gates};
use super::{Course, Crew, Fleet, Instance, Life};
use crate::backoff::restarts_after;
use crate::step::{Slot, Step, Who};

/// The moves of all services in one round.
pub(crate) struct Moves<'a> {
    /// Networks and volumes are there.
    prepared: bool,
    pub(crate) steps: Vec<Step>,
    /// Instances that shall get no more requests, and then stop.
    pub(crate) leaving: BTreeSet<&'a ContainerId>,
    pub(crate) wake: Option<Duration>,
}

impl<'a> Moves<'a> {
    pub(crate) fn new(prepared: bool) -> Self {
        Self { prepared, steps: Vec::new(), leaving: BTreeSet::new(), wake: None }
    }

    pub(crate) fn of_crew(&mut self, fleet: &Fleet<'a>, crew: &Crew<'a>, gate: &Gate) {
        if crew.job.is_some() {
            return self.of_job(fleet, crew, gate);
        }
        let (kept, surplus) = crew.current.split_at(crew.kept().len());
        for one in surplus {
            // A service that a person stopped keeps its containers, to be started again.
            if !(crew.stopped && one.life == Life::Exited) {
                self.dismiss(one);
            }
        }
        self.mend(kept, crew);
        match crew.order {
            Order::StartFirst => self.start_first(fleet, crew, kept, gate),
            Order::StopFirst => self.stop_first(fleet, crew, kept, gate),
        }
    }

    /// New instances become ready before old ones leave.
    fn start_first(&mut self, fleet: &Fleet<'a>, crew: &Crew<'a>, kept: &[Instance<'a>], gate: &Gate) {
        let needed = if gate.open || crew.stopped { crew.count - crew.fine() } else { crew.old.len() };
        let (bridging, relieved) = crew.old.split_at(needed.min(crew.old.len()));
        relieved.iter().for_each(|one| self.dismiss(one));
        // What was made and never ran, or ended for good, bridges nothing.
        let (bridging, useless): (Vec<_>, Vec<_>) =
            bridging.iter().partition(|one| one.life.is_alive() || crew.restart_in(one).is_some());
        useless.into_iter().for_each(|one| self.dismiss(one));

        for one in kept.iter().chain(bridging.iter().copied()) {
            if one.life == Life::Exited {
                self.restart(crew, one);
            }
        }
        self.mend(bridging.iter().copied(), crew);
        if !gate.open {
            return;
        }
        self.finish_making(crew, kept, kept.len());
        let missing = crew.count - kept.len();
        let growth = missing.saturating_sub(bridging.len());
        let replacing = if bridging.is_empty() { 0 } else { self.batch(fleet, crew, kept) };
        self.start(crew, missing.min(growth + replacing));
    }

    /// Old instances are gone before new ones start: at no moment are there more than wanted.
    fn stop_first(&mut self, fleet: &Fleet<'a>, crew: &Crew<'a>, kept: &[Instance<'a>], gate: &Gate) {
        let replace = gate.open && fleet.wanted.course != Course::Held;
        let missing = crew.count - kept.len();
        let room = if gate.open || crew.stopped { missing } else { crew.old.len() };
        let (staying, surplus) = crew.old.split_at(room.min(crew.old.len()));
        surplus.iter().for_each(|one| self.dismiss(one));
        let up = staying.iter().filter(|one| one.life.is_alive() && one.life != Life::Stopping).count();
        if replace {
            // Those that run sort first; a place without one that runs is part of the batch under way.
            let batch = self.batch(fleet, crew, kept).saturating_sub(missing.saturating_sub(up)).min(up);
            staying[up - batch..up].iter().for_each(|one| self.dismiss(one));
            let down = staying.iter().filter(|one| !one.life.is_alive());
            down.for_each(|one| self.dismiss(one));
        }
        self.mend(if replace { &staying[..0] } else { staying }, crew);
        let alive = crew.current.iter().chain(&crew.old).filter(|one| one.life.is_alive()).count();
        let mut places = crew.count.saturating_sub(alive + taken_by_others(fleet, crew));
        let again = kept.iter().chain(staying.iter().filter(|_| !replace));
        for one in again.filter(|one| one.life == Life::Exited) {
            if places > 0 && self.restart(crew, one) {
                places -= 1;
            }
        }
        if gate.open {
            places -= self.finish_making(crew, kept, places);
            self.start(crew, missing.min(places));
        }
    }

    /// How many instances may be replaced now, beyond those that are being replaced.
    fn batch(&mut self, fleet: &Fleet<'a>, crew: &Crew<'a>, kept: &[Instance<'a>]) -> usize {
        if fleet.wanted.course == Course::Held {
            return 0;
        }
        let goes_on = crew.policy.failure_action == FailureAction::Continue || crew.tolerated() > 0;
        let under_way = kept.iter().filter(|one| {
            one.life != Life::Ready && !crew.ended_well(one) && !(goes_on && crew.has_failed(one))
        });
        let at_a_time = match crew.policy.parallelism {
            0 => crew.count,
            some => some as usize,
        };
        let open = at_a_time.saturating_sub(under_way.count());
        let ready = kept.iter().filter(|one| one.life == Life::Ready).filter_map(|one| one.seen);
        let rest = ready.map(|seen| crew.policy.delay.saturating_sub(seen.age)).max().unwrap_or_default();
        if open > 0 && !rest.is_zero() {
            self.wake_in(rest);
            return 0;
        }
        open
    }

    /// A job runs once for its revision, alone, and is not replaced.
    fn of_job(&mut self, fleet: &Fleet<'a>, crew: &Crew<'a>, gate: &Gate) {
        crew.old.iter().for_each(|one| self.dismiss(one));
        let old_alive = crew.old.iter().any(|one| one.life.is_alive());
        let (first, more) = match crew.current.split_first() {
            Some((first, more)) => (Some(first), more),
            None => (None, &[][..]),
        };
        more.iter().for_each(|one| self.dismiss(one));
        let finished = fleet.finished(crew).is_some();
        if crew.stopped || finished || fleet.wanted.course == Course::Held {
            if let Some(one) = first.filter(|one| one.life.is_alive()) {
                self.leave(one);
            }
            return;
        }
        let slot = |number| Slot { service: crew.name.clone(), revision: crew.made.revision.clone(), number };
        match first {
            None if gate.open && !old_alive && self.prepared => {
                let number = crew.free_numbers().next().unwrap_or(1);
                self.steps.push(Step::RunJob(slot(number)));
            }
            Some(one) if one.life == Life::Created && gate.open && !old_alive && self.prepared => {
                self.steps.push(Step::RunJob(slot(one.number)));
            }
            Some(one) => self.end_job(crew, one),
            None => {}
        }
    }

    /// Writes down how a job ended, unless it is tried again.
    fn end_job(&mut self, crew: &Crew<'a>, one: &Instance<'a>) {
        let Some((code, _)) = one.exit() else { return };
        let tries = match crew.spec.restart {
            Restart::OnFailure { .. } => code != 0 && crew.restart_in(one).is_some(),
            Restart::No | Restart::Always | Restart::UnlessStopped => false,
        };
        if tries {
            self.restart(crew, one);
            return;
        }
        let (service, revision) = (crew.name.clone(), crew.made.revision.clone());
        self.steps.push(Step::Finish { service, revision, code });
    }

    /// Services that the release does not have leave once their successors serve, or when one of these cannot begin
    /// because of them.
    pub(crate) fn of_gone(&mut self, fleet: &Fleet<'a>, gates: &Gates<'_>) {
        let held = fleet.wanted.course == Course::Held;
        let all = fleet.complete() && !held;
        for one in &fleet.gone {
            let in_the_way = fleet.crews.iter().zip(&gates.by_crew).any(|(crew, gate)| {
                gate.open
                    && crew.order == Order::StopFirst
                    && crew.kept().iter().filter(|kept| kept.life.is_alive()).count() < crew.count
                    && holds(one, crew, fleet)
            });
            if all || (in_the_way && !held) || !one.life.is_alive() {
                self.dismiss(one);
            }
        }
    }

    /// Starts this many new instances.
    fn start(&mut self, crew: &Crew<'a>, count: usize) {
        if count == 0 || !self.prepared {
            return;
        }
        for number in crew.free_numbers().take(count) {
            self.steps.push(Step::Start(slot(crew, number)));
        }
    }

    /// The unhealthy are stopped, and then started again in place; they get no requests in any case.
    fn mend<'b>(&mut self, those: impl IntoIterator<Item = &'b Instance<'a>>, crew: &Crew<'a>)
    where
        'a: 'b,
    {
        if crew.spec.restart != Restart::No {
            those.into_iter().filter(|one| one.life == Life::Unhealthy).for_each(|one| self.leave(one));
        }
    }

    /// Starts what was made and not started, as far as there are places, and tells how many that is.
    fn finish_making(&mut self, crew: &Crew<'a>, kept: &[Instance<'a>], places: usize) -> usize {
        let made: Vec<_> = kept.iter().filter(|one| one.life == Life::Created).take(places).collect();
        if self.prepared {
            self.steps.extend(made.iter().map(|one| Step::Start(slot(crew, one.number))));
        }
        made.len()
    }

    /// Starts an instance again in place, now or when its time has come; false if it stays as it is.
    fn restart(&mut self, crew: &Crew<'a>, one: &Instance<'a>) -> bool {
        let (Some(wait), Some(seen)) = (crew.restart_in(one), one.seen) else { return false };
        if wait.is_zero() {
            let restarts = match one.exit() {
                // A stop by a person is no failure; one for bad health is.
                Some((_, true)) if seen.restarts == 0 && !seen.sick => 0,
                // What ended before this release was asked for is no failure of it.
                _ if seen.age >= crew.taking_over => 0,
                _ => restarts_after(seen.restarts, seen.up),
            };
            self.steps.extend(who(one).map(|who| Step::Restart { who, restarts }));
        } else {
            self.wake_in(wait);
        }
        true
    }

    /// Takes an instance away: by its traffic if it lives, at once if it does not.
    fn dismiss(&mut self, one: &Instance<'a>) {
        if one.life.is_alive() {
            self.leave(one);
        } else {
            self.steps.extend(who(one).map(Step::Remove));
        }
    }

    fn leave(&mut self, one: &Instance<'a>) {
        self.leaving.extend(one.seen.map(|seen| &seen.id));
    }

    fn wake_in(&mut self, time: Duration) {
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }
}

fn slot(crew: &Crew<'_>, number: u32) -> Slot {
    Slot { service: crew.name.clone(), revision: crew.made.revision.clone(), number }
}

pub(crate) fn who(one: &Instance<'_>) -> Option<Who> {
    one.seen.map(|seen| Who { id: seen.id.clone(), service: seen.service.clone(), number: seen.number })
}

/// How many of its places are taken, because services that left the file still hold a volume of it.
fn taken_by_others(fleet: &Fleet<'_>, crew: &Crew<'_>) -> usize {
    let holding = fleet.gone.iter().filter(|one| one.life.is_alive() && holds(one, crew, fleet));
    if holding.count() > 0 { crew.count } else { 0 }
}

fn holds(one: &Instance<'_>, crew: &Crew<'_>, fleet: &Fleet<'_>) -> bool {
    // One that is being made has not been looked at: it may hold any.
    let Some(seen) = one.seen else { return true };
    !seen.volumes.is_empty() && crew.writes(&fleet.wanted).iter().any(|name| seen.volumes.contains(name))
}
