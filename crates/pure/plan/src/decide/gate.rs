//! Which services may go on now: what they need is there, and the release's jobs are done.

use base::ServiceName;
use spec::Condition;

use super::{Course, Crew, Fleet, Life};
use crate::order::{self, Need};

/// Whether one service may start new instances and let old ones go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) open: bool,
    /// What a closed gate waits for.
    pub(crate) waits: Option<String>,
}

/// All gates of an app.
pub(crate) struct Gates<'a> {
    /// In the order of the crews.
    pub(crate) by_crew: Vec<Gate>,
    /// No job stands in the way of traffic any more.
    pub(crate) jobs_done: bool,
    /// A job that others cannot do without, with its exit code.
    pub(crate) job_failed: Option<(&'a ServiceName, i32)>,
    /// Some gate is open, and something is to be started behind it.
    pub(crate) want_starts: bool,
}

pub(crate) fn gates<'a>(fleet: &Fleet<'a>) -> Gates<'a> {
    let waiting = fleet.crews.iter().find(|crew| !is_over(fleet, crew)).map(|crew| crew.name);
    let job_failed = fleet.crews.iter().find_map(|crew| match fleet.finished(crew) {
        Some(code) if code != 0 && crew.job == Some(true) => Some((crew.name, code)),
        Some(_) | None => None,
    });
    let mut gates = Gates {
        by_crew: Vec::with_capacity(fleet.crews.len()),
        jobs_done: waiting.is_none() && job_failed.is_none(),
        job_failed,
        want_starts: false,
    };
    let jobs = order::jobs(&fleet.wanted.release.app);
    let under = order::under_jobs(&fleet.wanted.release.app, &jobs);
    for crew in &fleet.crews {
        let waits = if !wants_something(fleet, crew) {
            None
        } else if let Some(need) = order::needs(crew.spec).find(|need| !is_met(fleet, need)) {
            Some(wish(fleet, &need))
        } else if crew.job.is_none() && !under.contains(crew.name) && !gates.jobs_done {
            waiting.or(job_failed.map(|(name, _)| name)).map(|job| format!("for `{job}` to complete"))
        } else {
            gates.want_starts |= starts_something(fleet, crew);
            None
        };
        gates.by_crew.push(Gate { open: waits.is_none(), waits });
    }
    gates
}

/// Whether a service is no job, or a job that holds nobody up any more.
fn is_over(fleet: &Fleet<'_>, crew: &Crew<'_>) -> bool {
    crew.job.is_none() || fleet.finished(crew).is_some()
}

fn wants_something(fleet: &Fleet<'_>, crew: &Crew<'_>) -> bool {
    starts_something(fleet, crew) || !crew.old.is_empty()
}

fn starts_something(fleet: &Fleet<'_>, crew: &Crew<'_>) -> bool {
    let made = crew.kept().iter().any(|one| one.life == Life::Created);
    match crew.job {
        Some(_) => !crew.stopped && fleet.finished(crew).is_none() && (crew.current.is_empty() || made),
        None => crew.kept().len() < crew.count || made,
    }
}

fn is_met(fleet: &Fleet<'_>, need: &Need<'_>) -> bool {
    // The order of services was checked when the release was made: what is not there is not required.
    let Some(on) = fleet.crew(need.on) else { return true };
    let is_new = match fleet.wanted.course {
        Course::Rolling | Course::RollingBack => true,
        Course::Steady | Course::Held | Course::Leaving { .. } => false,
    };
    let enough = |there: usize| there >= on.count || (!is_new && there > 0);
    let running = on.kept().iter().filter(|one| one.life.is_alive() || on.ended_well(one)).count();
    let met = match need.condition {
        Condition::CompletedSuccessfully => fleet.finished(on) == Some(0),
        Condition::Started => !on.stopped && enough(running),
        Condition::Healthy => !on.stopped && (enough(on.ready()) || (on.count > 0 && on.complete())),
    };
    let failed = on.stopped || on.failed() > 0 || fleet.finished(on).is_some_and(|code| code != 0);
    met || (!need.required && failed)
}

fn wish(fleet: &Fleet<'_>, need: &Need<'_>) -> String {
    let on = need.on;
    if fleet.crew(on).is_some_and(|crew| crew.stopped) {
        return format!("for `{on}`, which is stopped");
    }
    match need.condition {
        Condition::Started => format!("for `{on}` to start"),
        Condition::Healthy => format!("for `{on}` to be healthy"),
        Condition::CompletedSuccessfully => format!("for `{on}` to complete"),
    }
}
