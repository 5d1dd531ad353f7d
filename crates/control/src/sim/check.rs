//! What must be true at any moment, and at rest.

use std::collections::BTreeMap;

use base::{ContainerId, Instant};
use plan::ledger::Phase;
use plan::seen::State;
use plan::traffic::RouteShare;
use plan::{Ledger, Step, beside};
use spec::Order;

use super::files::Nature;
use super::world::World;

/// Counts, and what the last round wanted.
#[derive(Default)]
pub(super) struct Check {
    pub(super) acts: u64,
    pub(super) faults: u64,
    pub(super) crashes: u64,
    pub(super) wishes: u64,
    /// Instances that were begun.
    begun: u64,
    /// How many of each service that starts first shall run, by the last round.
    counts: BTreeMap<String, usize>,
    /// What was found broken where no error could be returned.
    pub(super) broken: Option<String>,
}

impl Check {
    /// What a round wants to do.
    pub(super) fn round(&mut self, disk: &Ledger, act: &[Step], world: &World) -> Result<(), String> {
        let Some(wanted) = disk.wanted() else { return Ok(()) };
        self.counts.clear();
        let leaving = matches!(disk.record.phase, Phase::Leaving { .. });
        for (name, service) in &wanted.release.app.services {
            let runs =
                !leaving && !wanted.stopped.contains(name) && service.update.order == Order::StartFirst;
            if runs && name.as_str() != "migrate" {
                self.counts.insert(name.to_string(), service.replicas as usize);
            }
        }
        let job = wanted.release.made.iter().find(|(name, _)| name.as_str() == "migrate");
        let Some((_, made)) = job.filter(|_| !leaving) else { return Ok(()) };
        if wanted.finished.get(&made.revision) == Some(&0) {
            return Ok(());
        }
        let waits = |service: &str| ["web", "web.new", "worker"].contains(&service);
        let new = |service: &base::ServiceName, revision: &base::Revision| {
            waits(service.as_str())
                && wanted.release.made.get(service).is_some_and(|made| made.revision == *revision)
                && !disk.releases.values().any(|earlier| {
                    earlier.number != wanted.release.number
                        && earlier.made.get(service).is_some_and(|made| made.revision == *revision)
                })
        };
        for step in act {
            let moved = match step {
                Step::Start(slot) => new(&slot.service, &slot.revision),
                Step::Send(share) => world
                    .bodies
                    .iter()
                    .any(|body| new(&body.service, &body.revision) && share.sends_to(&body.id)),
                _ => false,
            };
            if moved {
                return Err(format!("{step}: before the job was done"));
            }
        }
        Ok(())
    }

    /// An instance's process has begun.
    pub(super) fn begun(&mut self, id: &ContainerId, world: &mut World) -> Result<(), String> {
        self.begun += 1;
        let writers = world.bodies.iter().filter(|body| body.writes && body.is_alive()).count();
        if writers > 1 {
            return Err(format!("{writers} writers on one volume"));
        }
        let Some(body) = world.body(id) else { return Ok(()) };
        let revision = body.revision.clone();
        if body.job {
            let times = world.jobs.entry(revision).or_insert(0);
            *times += 1;
            if *times > 1 {
                return Err("a job ran twice for one release".into());
            }
        }
        Ok(())
    }

    /// A change is written down: a release whose new images fail must not settle when there is one to go back to.
    pub(super) fn settled(&mut self, then: &Ledger, now: &Ledger) {
        let (Phase::Rolling { to, from: Some(from) }, Phase::Steady { at }) =
            (&then.record.phase, &now.record.phase)
        else {
            return;
        };
        let (Some(new), Some(old)) = (then.releases.get(to), then.releases.get(from)) else { return };
        let bad = new.made.iter().find(|(name, made)| {
            let runs = !then.record.stopped.contains(*name) && new.app.services[*name].replicas > 0;
            let is_new = old.made.get(*name).is_none_or(|then| then.revision != made.revision);
            runs && is_new && Nature::of(&made.image) != Nature::Good
        });
        if let Some((name, made)) = bad.filter(|_| at == to) {
            self.broken = Some(format!("release {to} settled though {name} is {}", made.image));
        }
    }

    /// Whether what is steady has images that fail.
    pub(super) fn is_hopeless(&self, disk: &Ledger) -> bool {
        let Phase::Steady { at } = disk.record.phase else { return false };
        disk.releases[&at].made.values().any(|made| Nature::of(&made.image) != Nature::Good)
    }

    /// How many instances of this service shall run, if it starts new ones first.
    pub(super) fn count(&self, service: &base::ServiceName) -> Option<usize> {
        self.counts.get(service.as_str()).copied()
    }

    /// An instance is about to be stopped; the step was decided at `began`, when `count` were wanted.
    pub(super) fn stop(
        &self,
        id: &ContainerId,
        (began, count): (Instant, Option<usize>),
        world: &World,
    ) -> Result<(), String> {
        let Some(body) = world.bodies.iter().find(|body| body.id == *id).filter(|body| body.is_alive())
        else {
            return Ok(());
        };
        let what = format!("{}-{}", body.service, body.number);
        if world.edge.sends_to(id) {
            return Err(format!("{what} is stopped while the edge sends to it"));
        }
        if let Some(let_go) = body.let_go
            && body.busy_until > world.now
            && began.since(let_go).as_millis() < 9_900
        {
            return Err(format!("{what} is stopped with requests open and time left"));
        }
        let was_ready =
            body.state == State::Ready && body.since < began && body.lost.is_none_or(|lost| lost < began);
        let Some(count) = count.filter(|_| was_ready) else { return Ok(()) };
        // A look may be a little older than the decision.
        let seen_at = Instant(began.0.saturating_sub(50_000_000));
        let others = world.bodies.iter().filter(|other| {
            other.service == body.service
                && other.id != body.id
                && (other.state == State::Ready || other.lost.is_some_and(|lost| lost >= seen_at))
        });
        if others.count() < count && body.since < seen_at {
            return Err(format!("{what} is stopped although fewer than {count} others are ready"));
        }
        Ok(())
    }

    /// An instance is about to be removed.
    pub(super) fn remove(&self, id: &ContainerId, world: &World) -> Result<(), String> {
        let alive = world.bodies.iter().any(|body| body.id == *id && body.is_alive());
        if alive || world.edge.sends_to(id) {
            return Err("an instance is removed that lives or gets requests".into());
        }
        Ok(())
    }

    /// The edge is about to go by a share.
    pub(super) fn apply(&self, share: &RouteShare, world: &World) -> Result<(), String> {
        for end in share.pools.values().flat_map(|pool| &pool.endpoints) {
            let state = world.bodies.iter().find(|body| body.id == end.instance).map(|body| body.state);
            match state {
                Some(
                    State::Ready
                    | State::Spared
                    | State::Unhealthy
                    | State::Starting
                    | State::Exited { asked: false, .. },
                ) => {}
                other => return Err(format!("the edge is told to send to one that is {other:?}")),
            }
        }
        Ok(())
    }

    /// What runs when nothing more is to be done.
    pub(super) fn at_rest(&self, world: &World, disk: &Ledger) -> Result<(), String> {
        let at = match disk.record.phase {
            Phase::Steady { at } => at,
            Phase::Empty if world.bodies.is_empty() && world.edge == RouteShare::default() => return Ok(()),
            Phase::Held { .. } => return Ok(()),
            ref other => {
                return Err(format!("at rest while {other:?}, with {} instances", world.bodies.len()));
            }
        };
        let release = &disk.releases[&at];
        for (name, service) in &release.app.services {
            let there: Vec<_> = world.bodies.iter().filter(|body| body.service == *name).collect();
            if name.as_str() == "migrate" {
                continue;
            }
            let ready = there
                .iter()
                .filter(|body| body.state == State::Ready && body.revision == release.made[name].revision);
            let right = ready.clone().count() == service.replicas as usize
                && there.len() == service.replicas as usize;
            let asked = !service.routes.is_empty() || beside::original_of(&release.app, name).is_some();
            let routed = !asked || ready.clone().all(|body| world.edge.sends_to(&body.id));
            if !right || !routed {
                let states: Vec<_> = there.iter().map(|body| body.state).collect();
                return Err(format!(
                    "at rest, but {name} should have {} and has {states:?}",
                    service.replicas
                ));
            }
        }
        let known = |body: &&super::world::Body| release.app.services.contains_key(&body.service);
        match world.bodies.iter().find(|body| !known(body)) {
            Some(body) => Err(format!("{} is left behind", body.service)),
            None => Ok(()),
        }
    }

    /// No more steps than changes ask for.
    pub(super) fn counts(&self, world: &World) -> Result<(), String> {
        // Four services with at most four instances each, all replaced by every wish, each with a start, a stop, a
        // removal and its share of traffic; a few more for what failed meanwhile.
        let bound = 100 * self.wishes + 12 * (u64::from(world.failures) + self.faults) + 30 * self.crashes;
        if self.acts > bound {
            return Err(format!("{} steps where {bound} are enough", self.acts));
        }
        Ok(())
    }
}
