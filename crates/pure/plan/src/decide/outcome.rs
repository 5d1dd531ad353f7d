//! Whether a release has settled or failed.

use std::time::Duration;

use super::gate::Gates;
use super::{Course, Crew, Fleet, Life, Plan, Sight};
use crate::seen::State;
use crate::step::Step;

/// Adds the step that ends the release's way, if it is at its end, and tells how far it is.
pub(crate) fn decide(fleet: &Fleet<'_>, gates: &Gates<'_>, sight: &Sight<'_>, plan: &mut Plan) {
    plan.progress = progress(fleet);
    plan.waits = fleet
        .crews
        .iter()
        .zip(&gates.by_crew)
        .find_map(|(crew, gate)| Some((crew.name.clone(), gate.waits.clone()?)));
    let release = fleet.wanted.release.number;
    let watched = match fleet.wanted.course {
        Course::Rolling | Course::RollingBack => true,
        Course::Held => false,
        Course::Steady | Course::Leaving { .. } => return,
    };
    if watched {
        if let Some((job, code)) = gates.job_failed {
            let why = format!("ended with code {code}");
            plan.steps.push(Step::Fail { release, service: job.clone(), why });
            return;
        }
        if let Some(crew) = fleet.crews.iter().find(|crew| has_failed(crew)) {
            let (service, why) = (crew.name.clone(), complaint(crew));
            plan.steps.push(Step::Fail { release, service, why });
            return;
        }
    }
    let done = fleet.complete() && fleet.gone.is_empty() && gates.jobs_done;
    if !done || !plan.steps.is_empty() || sight.memory.sending.is_some() {
        return;
    }
    match fleet.crews.iter().map(|crew| watch_left(fleet, crew)).max().unwrap_or_default() {
        Duration::ZERO => plan.steps.push(Step::Settle { release }),
        left => plan.wake_in(left),
    }
}

fn has_failed(crew: &Crew<'_>) -> bool {
    crew.job.is_none() && crew.changed && crew.failed() > crew.tolerated()
}

/// How long a failure of this service still counts against the release.
fn watch_left(fleet: &Fleet<'_>, crew: &Crew<'_>) -> Duration {
    // Without an earlier release there is nothing to go back to, so nothing to watch for.
    if crew.job.is_some() || !crew.changed || fleet.wanted.before.is_none() {
        return Duration::ZERO;
    }
    let ready = crew.kept().iter().filter(|one| one.life == Life::Ready).filter_map(|one| one.seen);
    ready.map(|seen| crew.policy.monitor.saturating_sub(seen.age)).max().unwrap_or_default()
}

fn complaint(crew: &Crew<'_>) -> String {
    let failed = crew.kept().iter().find(|one| crew.has_failed(one));
    let Some((one, seen)) = failed.and_then(|one| Some((one, one.seen?))) else {
        return "has failed".to_owned();
    };
    let name = format!("({}-{})", one.service, one.number);
    match seen.state {
        State::Exited { code, asked: false } => match &seen.error {
            Some(error) => format!("could not be run: {} {name}", error.replace('\n', ";")),
            None => format!("ended with code {code} after {:.1} s {name}", seen.up.as_secs_f32()),
        },
        State::Unhealthy => format!("is unhealthy {name}"),
        State::Spared => format!("fails the check of the edge {name}"),
        State::Starting if seen.restarts == 0 => {
            format!("was not ready in {} s {name}", crew.start_limit().as_secs())
        }
        State::Starting | State::Created | State::Ready | State::Stopping | State::Exited { .. } => {
            format!("had to be started again {name}")
        }
    }
}

/// A number that changes when the release moves.
fn progress(fleet: &Fleet<'_>) -> u64 {
    let mut progress = fleet.gone.len() as u64;
    for crew in &fleet.crews {
        let jobs = u64::from(fleet.finished(crew).is_some());
        let counts = [jobs, crew.ready() as u64, crew.current.len() as u64, crew.old.len() as u64];
        for count in counts {
            progress = progress.wrapping_mul(31).wrapping_add(count);
        }
    }
    progress
}
