//! Steps under way in the world, each in stages, between which a crash may come.

use base::{Instant, Kind, Report};
use plan::seen::State;
use plan::{Slot, Step};

use super::Sim;
use super::files::Nature;
use super::world::{Body, ms};

/// A step under way.
pub(super) struct Act {
    pub(super) due: Instant,
    stage: u8,
    step: Step,
    began: Instant,
    /// How many instances of its service shall run, when it was decided.
    count: Option<usize>,
}

impl Sim {
    pub(super) fn begin(&mut self, step: Step) {
        self.say(|| format!("> {step}"));
        self.check.acts += 1;
        let began = self.world.now;
        let due = began + ms(&mut self.world.rng, 0, 30);
        let count = match &step {
            Step::Stop(who) => self.check.count(&who.service),
            _ => None,
        };
        self.acts.push(Act { due, stage: 0, step, began, count });
    }

    /// The next stage of a step.
    pub(super) fn go_on(&mut self, at: usize) -> Result<(), String> {
        let act = self.acts.swap_remove(at);
        let fails = !self.world.calm && act.stage == 0 && self.world.rng.chance(0.02);
        if fails {
            self.check.faults += 1;
        }
        match (&act.step, act.stage) {
            (Step::Send(share), 0) => {
                if !fails || self.world.rng.chance(0.5) {
                    self.check.apply(share, &self.world)?;
                    self.world.apply(share.clone());
                }
                if fails {
                    self.end(act.step, Err(fault()));
                } else {
                    let slow = self.world.rng.chance(0.1);
                    self.later(act, if slow { 3000 } else { 50 });
                }
            }
            _ if fails => self.end(act.step, Err(fault())),
            (Step::Start(slot) | Step::RunJob(slot), 0) => {
                self.make(slot);
                self.later(act, 100);
            }
            (Step::Start(slot) | Step::RunJob(slot), _) => {
                let slot = slot.clone();
                let result = self.launch(&slot)?;
                self.end(act.step, result);
            }
            (Step::Restart { who, restarts }, 0) => {
                let exited = |body: &Body| matches!(body.state, State::Exited { .. });
                let (id, restarts) = (who.id.clone(), *restarts);
                if let Some(body) = self.world.body(&id).filter(|body| exited(body)) {
                    body.restarts = restarts;
                    self.world.begin(&id);
                    self.check.begun(&id, &mut self.world)?;
                }
                self.end(act.step, Ok(()));
            }
            (Step::Stop(who), 0) => {
                self.check.stop(&who.id, (act.began, act.count), &self.world)?;
                let now = self.world.now;
                if let Some(body) = self.world.body(&who.id).filter(|body| body.is_alive()) {
                    (body.state, body.since, body.next) = (State::Stopping, now, None);
                }
                self.later(act, 2000);
            }
            (Step::Stop(who), _) => {
                let now = self.world.now;
                if let Some(body) = self.world.body(&who.id).filter(|body| body.is_alive()) {
                    (body.state, body.since, body.next) =
                        (State::Exited { code: 143, asked: true }, now, None);
                }
                self.end(act.step, Ok(()));
            }
            (Step::Remove(who), _) => {
                let id = who.id.clone();
                self.check.remove(&id, &self.world)?;
                self.world.bodies.retain(|body| body.id != id);
                self.end(act.step, Ok(()));
            }
            _ => self.end(act.step, Ok(())),
        }
        Ok(())
    }

    fn later(&mut self, act: Act, longest: u64) {
        let due = self.world.now + ms(&mut self.world.rng, 1, longest);
        self.acts.push(Act { due, stage: act.stage + 1, ..act });
    }

    /// Makes an instance, unless it is there.
    fn make(&mut self, slot: &Slot) {
        if self.at(slot).is_some() {
            return;
        }
        let made = self.disk.releases.values().flat_map(|release| &release.made);
        let image = made.filter(|(name, made)| **name == slot.service && made.revision == slot.revision);
        let nature = image.map(|(_, made)| Nature::of(&made.image)).next().unwrap_or(Nature::Good);
        let now = self.world.now;
        let body = Body {
            id: self.world.new_id(),
            service: slot.service.clone(),
            revision: slot.revision.clone(),
            number: slot.number,
            nature,
            state: State::Created,
            since: now,
            started: now,
            ready_after: None,
            restarts: 0,
            writes: slot.service.as_str().starts_with("db"),
            job: slot.service.as_str() == "migrate",
            lost: None,
            next: None,
            busy_until: now,
            let_go: None,
        };
        self.world.bodies.push(body);
    }

    fn at(&self, slot: &Slot) -> Option<&Body> {
        self.world.bodies.iter().find(|body| {
            body.service == slot.service && body.revision == slot.revision && body.number == slot.number
        })
    }

    fn launch(&mut self, slot: &Slot) -> Result<Result<(), Report>, String> {
        let Some(body) = self.at(slot) else { return Ok(Err(fault())) };
        if body.nature == Nature::CannotStart {
            return Ok(Err(Report::new(Kind::NotFound, "no such program in the image")));
        }
        if body.state == State::Created {
            let id = body.id.clone();
            self.world.begin(&id);
            self.check.begun(&id, &mut self.world)?;
        }
        Ok(Ok(()))
    }

    /// The daemon crashed: what was under way is done in part.
    pub(super) fn cut_off(&mut self) {
        for act in std::mem::take(&mut self.acts) {
            let done = self.world.rng.chance(0.5);
            match act.step {
                Step::Send(share) if done && act.stage == 0 => self.world.apply(share),
                // The signal was sent: the process ends by itself, or does not.
                Step::Stop(who) if act.stage > 0 && done => {
                    let exited = State::Exited { code: 143, asked: true };
                    if let Some(body) = self.world.body(&who.id).filter(|body| body.is_alive()) {
                        body.next = Some((act.due, exited));
                    }
                }
                _ => {}
            }
        }
    }
}

fn fault() -> Report {
    Report::new(Kind::Unavailable, "the world failed")
}
