//! How instances leave: the edge stops sending, requests end or the drain time is up, then they are stopped.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use base::ContainerId;

use super::moves::who;
use super::{Fleet, Instance, Life, Plan, Sight};
use crate::routes::leads_to;
use crate::step::Step;
use crate::traffic::{RouteShare, TrafficSeen};

/// The shortest time that requests get to end.
const SHORTEST_DRAIN: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);
/// So soon we look again whether the last request has ended: nobody tells us, and a deploy waits for it.
const DRAIN_LOOK: Duration = Duration::from_millis(100);
/// For instances of services that nobody knows any more.
const USUAL_DRAIN: Duration = Duration::from_secs(10);

/// Sends the share where the edge does not go by it yet, and stops those that it has let go of.
pub(crate) fn send_and_stop(
    fleet: &Fleet<'_>,
    sight: &Sight<'_>,
    share: RouteShare,
    leaving: &BTreeSet<&ContainerId>,
    plan: &mut Plan,
) {
    let sending: Option<HashSet<&ContainerId>> =
        sight.traffic.map(|traffic| traffic.sending.iter().collect());
    for one in fleet.all() {
        let Some(seen) = one.seen else { continue };
        if one.life == Life::Stopping {
            // A stop that a crash cut off is made again.
            if !sight.memory.stopping.contains(&seen.id) {
                plan.steps.extend(who(one).map(Step::Stop));
            }
            continue;
        }
        if !leaving.contains(&seen.id) || may_be_sent_to(sight, &seen.id) {
            continue;
        }
        let wait = match (sight.traffic, &sending) {
            (Some(traffic), Some(sending)) if !sending.contains(&seen.id) => {
                drain(fleet, sight, traffic, one)
            }
            (Some(_), _) => None,
            // Without word from the edge, only those leave that it never knew.
            (None, _) => (!was_reachable(fleet, one)).then_some(Duration::ZERO),
        };
        match wait {
            Some(Duration::ZERO) => plan.steps.extend(who(one).map(Step::Stop)),
            Some(wait) => plan.wake_in(wait.min(DRAIN_LOOK)),
            None => {}
        }
    }
    let stands = sight.memory.sent.as_ref() == Some(&share) && sight.memory.sending.is_none();
    if !stands || sending.is_some_and(|sending| !agrees(fleet, &share, &sending)) {
        plan.steps.push(Step::Send(share));
    }
}

/// Whether any release that is known had the edge send requests to this service.
fn was_reachable(fleet: &Fleet<'_>, one: &Instance<'_>) -> bool {
    let known = [Some(fleet.wanted.release), fleet.wanted.before];
    let known = known.into_iter().flatten().chain(fleet.wanted.history.values().map(AsRef::as_ref));
    let mut apps = known.map(|release| &release.app.services);
    let mut found = false;
    let reachable = apps.any(|services| {
        let own = services.get(one.service);
        found |= own.is_some();
        own.is_some_and(|spec| !spec.routes.is_empty() || !spec.ports.is_empty())
            || services.values().any(|spec| leads_to(spec, one.service))
    });
    // Nobody knows what a forgotten service had.
    reachable || !found
}

/// Whether the last word that the edge had from us, or is having now, lets it send to this instance.
fn may_be_sent_to(sight: &Sight<'_>, id: &ContainerId) -> bool {
    let memory = sight.memory;
    // Before our first word we do not know what an earlier loop said.
    memory.sent.as_ref().is_none_or(|share| share.sends_to(id))
        || memory.sending.as_ref().is_some_and(|share| share.sends_to(id))
}

/// Whether a step may be taken yet: an instance is removed only when the edge has let go of it, for another one may get
/// its address.
pub(crate) fn is_safe(step: &Step, sight: &Sight<'_>) -> bool {
    let Step::Remove(who) = step else { return true };
    !may_be_sent_to(sight, &who.id) && sight.traffic.is_none_or(|traffic| !traffic.sending.contains(&who.id))
}

/// How long its requests may still take.
fn drain(
    fleet: &Fleet<'_>,
    sight: &Sight<'_>,
    traffic: &TrafficSeen,
    one: &Instance<'_>,
) -> Option<Duration> {
    let id = &one.seen?.id;
    if traffic.in_flight.get(id).is_none_or(|count| *count == 0) {
        return Some(Duration::ZERO);
    }
    let spec = fleet.crew(one.service).map(|crew| crew.spec);
    let bound = spec.map_or(USUAL_DRAIN, |spec| spec.stop_grace_period.clamp(SHORTEST_DRAIN, LONGEST_DRAIN));
    let quiet = sight.memory.quiet.get(id)?;
    Some(bound.saturating_sub(sight.now.since(*quiet)))
}

/// Whether the edge does what the share says, as far as our instances go.
fn agrees(fleet: &Fleet<'_>, share: &RouteShare, sending: &HashSet<&ContainerId>) -> bool {
    let ours = || fleet.all().filter_map(|one| one.seen).map(|seen| &seen.id);
    share.pools.values().flat_map(|pool| &pool.endpoints).all(|end| sending.contains(&end.instance))
        && ours().filter(|id| sending.contains(id)).all(|id| share.sends_to(id))
}

/// The whole app leaves.
pub(crate) fn everything(fleet: &Fleet<'_>, sight: &Sight<'_>, volumes: bool, plan: &mut Plan) {
    let leaving: BTreeSet<_> = fleet
        .all()
        .filter(|one| one.life.is_alive())
        .filter_map(|one| one.seen)
        .map(|seen| &seen.id)
        .collect();
    send_and_stop(fleet, sight, RouteShare::default(), &leaving, plan);
    let ended = fleet.all().filter(|one| !one.life.is_alive());
    plan.steps.extend(ended.filter_map(who).map(Step::Remove).filter(|step| is_safe(step, sight)));
    if fleet.all().next().is_none() && plan.steps.is_empty() {
        plan.steps.push(Step::Retire { volumes });
    }
}
