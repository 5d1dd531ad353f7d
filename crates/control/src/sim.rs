//! The simulated world: the helm of an app against instances that are slow, fail, die and flap, an edge that confirms
//! late, users who change their minds, and a daemon that crashes between any two side effects.
//!
//! Seeded and single-threaded. `SEED=n` replays one run with its trace, `SEA_SIM_RUNS=n` sets how many runs there are.

mod acts;
mod check;
mod files;
mod world;

use std::sync::Arc;

use base::{Instant, Report, Rng, Timestamp};
use plan::ledger::Phase;
use plan::seen::Seen;
use plan::traffic::TrafficSeen;
use plan::{Change, Draft, Ledger, Release, RequestError, Step};

use crate::helm::Helm;
use acts::Act;
use files::{Author, app_name, name};
use world::{World, ms};

/// So many runs when nobody says otherwise.
const RUNS: u64 = 1500;

#[test]
fn no_seed_breaks_an_invariant() {
    if let Some(seed) = number("SEED") {
        let trace = run(seed, true).expect("the run ends well");
        eprintln!("{trace}");
        return;
    }
    let runs = number("SEA_SIM_RUNS").unwrap_or(RUNS);
    let mut broken = Vec::new();
    for seed in 1..=runs {
        if let Err(what) = run(seed, false) {
            eprintln!("SEED={seed}: {what}");
            broken.push(seed);
            assert!(broken.len() < 10, "too many seeds break an invariant: {broken:?}");
        }
    }
    assert!(broken.is_empty(), "these seeds break an invariant: {broken:?}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// A look whose round has not come yet.
struct Look {
    due: Instant,
    /// Something happened since it was begun, so another one follows.
    again: bool,
    stale: Option<(Vec<Seen>, Option<TrafficSeen>)>,
}

pub(super) struct Sim {
    world: World,
    /// What survives a crash.
    disk: Ledger,
    /// None while the daemon is down.
    helm: Option<Helm>,
    back_at: Option<Instant>,
    acts: Vec<Act>,
    ended: Vec<(Step, Result<(), Report>)>,
    look: Option<Look>,
    wake_at: Option<Instant>,
    wishes: Vec<Instant>,
    calm_at: Instant,
    author: Author,
    crashes: f64,
    check: check::Check,
    trace: Option<String>,
}

/// One run; what broke, if something did, or its trace.
fn run(seed: u64, traced: bool) -> Result<String, String> {
    let mut rng = Rng::seeded(seed);
    let mut world = World::new(Rng::seeded(rng.next_u64()));
    let calm_at = world.now + ms(&mut rng, 1000, 180_000);
    let mut wishes: Vec<_> = (0..rng.below(7)).map(|_| Instant(rng.below(calm_at.0))).collect();
    wishes.push(world.now);
    wishes.push(calm_at);
    wishes.sort_unstable();
    wishes.reverse();
    let disk = Ledger::new(app_name());
    let crashes = if world.rng.chance(0.5) { 0.01 } else { 0.0 };
    let mut sim = Sim {
        helm: Some(Helm::new(disk.clone(), world.now)),
        world,
        disk,
        back_at: None,
        acts: Vec::new(),
        ended: Vec::new(),
        look: None,
        wake_at: None,
        wishes,
        calm_at,
        author: Author::new(),
        crashes,
        check: check::Check::default(),
        trace: traced.then(String::new),
    };
    let result = sim.sail();
    if traced && result.is_err() {
        eprintln!("{}", sim.trace.as_deref().unwrap_or_default());
    }
    result.map(|()| sim.trace.unwrap_or_default())
}

impl Sim {
    fn say(&mut self, what: impl FnOnce() -> String) {
        let now = self.world.now;
        if let Some(trace) = &mut self.trace {
            trace.push_str(&format!("{:9.3} {}\n", now.0 as f64 / 1e9, what()));
        }
    }

    /// Lets time pass until the world is calm and the app at rest.
    fn sail(&mut self) -> Result<(), String> {
        const LIMIT: std::time::Duration = std::time::Duration::from_secs(3600);
        let end = self.calm_at + LIMIT;
        let held_end = self.calm_at + std::time::Duration::from_secs(300);
        while let Some(next) = self.next() {
            if next > end {
                return Err(format!("did not converge: {:?}", self.disk.record.phase));
            }
            if next > held_end && matches!(self.disk.record.phase, Phase::Held { .. }) {
                // What failed goes on to be started again, by its policy, for ever.
                return self.check.counts(&self.world);
            }
            if next > held_end && self.check.is_hopeless(&self.disk) {
                // The same for what fails with no release to go back to.
                return self.check.counts(&self.world);
            }
            self.world.now = self.world.now.max(next);
            self.step()?;
            if let Some(what) = self.check.broken.take() {
                return Err(what);
            }
        }
        self.check.at_rest(&self.world, &self.disk)?;
        self.check.counts(&self.world)
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        let mut next = [
            self.world.next().map(|(at, _)| at),
            self.acts.iter().map(|act| act.due).min(),
            self.look.as_ref().map(|look| look.due),
            self.wake_at,
            self.back_at,
        ]
        .into_iter()
        .flatten()
        .min();
        if let Some(wish) = self.wishes.last() {
            next = Some(next.map_or(*wish, |next| next.min(*wish)));
        }
        next
    }

    /// Makes one thing happen that is due.
    fn step(&mut self) -> Result<(), String> {
        let now = self.world.now;
        if let Some((_, at)) = self.world.next().filter(|(due, _)| *due <= now) {
            self.world.happen(at);
            let body = &self.world.bodies[at];
            let line = format!("      {}-{} is {:?}", body.service, body.number, body.state);
            self.say(|| line);
            self.nudge();
        } else if let Some(at) = self.acts.iter().position(|act| act.due <= now) {
            self.go_on(at)?;
            self.nudge();
        } else if self.look.as_ref().is_some_and(|look| look.due <= now) {
            self.round()?;
        } else if self.back_at.is_some_and(|at| at <= now) {
            self.back_at = None;
            self.helm = Some(Helm::new(self.disk.clone(), now));
            self.say(|| "daemon is back".into());
            self.nudge();
        } else if self.wishes.last().is_some_and(|at| *at <= now) {
            self.wish();
        } else if self.wake_at.is_some_and(|at| at <= now) {
            self.wake_at = None;
            self.nudge();
        }
        Ok(())
    }

    /// Makes the loop look.
    fn nudge(&mut self) {
        if self.helm.is_none() {
            return;
        }
        if let Some(look) = &mut self.look {
            look.again = true;
            return;
        }
        let due = self.world.now + ms(&mut self.world.rng, 0, 20);
        let stale = self.world.rng.chance(0.3).then(|| (self.world.seen(), self.traffic()));
        self.look = Some(Look { due, again: false, stale });
    }

    fn traffic(&mut self) -> Option<TrafficSeen> {
        let deaf = !self.world.calm && self.world.rng.chance(0.02);
        (!deaf).then(|| self.world.traffic())
    }

    fn round(&mut self) -> Result<(), String> {
        let Some(look) = self.look.take() else { return Ok(()) };
        let (seen, traffic) = match look.stale {
            Some(stale) => stale,
            None => (self.world.seen(), self.traffic()),
        };
        let now = self.world.now;
        let wall = wall(now);
        let Some(helm) = &mut self.helm else { return Ok(()) };
        let round = helm.round(&seen, traffic.as_ref(), now, wall);
        let ledger = helm.ledger.clone();
        self.wake_at = round.wake.map(|wake| now + wake);
        if !self.write(ledger, &round.changes) {
            return Ok(());
        }
        self.check.round(&self.disk, &round.act, &self.world)?;
        for step in round.act {
            if self.crash() {
                return Ok(());
            }
            self.begin(step);
        }
        if look.again {
            self.nudge();
        }
        let ended = std::mem::take(&mut self.ended);
        for (step, result) in ended {
            self.tell(&step, result);
            self.nudge();
        }
        Ok(())
    }

    /// Tells the helm what ended, or keeps it until the round of the look under way.
    fn end(&mut self, step: Step, result: Result<(), Report>) {
        if self.look.is_some() {
            self.ended.push((step, result));
        } else {
            self.tell(&step, result);
        }
    }

    fn tell(&mut self, step: &Step, result: Result<(), Report>) {
        let now = self.world.now;
        let Some(helm) = &mut self.helm else { return };
        if let Some(change) = helm.ended(step, result, now) {
            let ledger = helm.ledger.clone();
            self.write(ledger, &[change]);
        }
    }

    /// Writes to the disk; false when the daemon crashed before or after.
    fn write(&mut self, ledger: Ledger, changes: &[Change]) -> bool {
        if changes.is_empty() {
            return true;
        }
        if self.crash() {
            return false;
        }
        for event in changes.iter().flat_map(|change| &change.events) {
            self.say(|| format!("  *** {}", event.message));
        }
        self.check.settled(&self.disk, &ledger);
        self.disk = ledger;
        !self.crash()
    }

    /// Perhaps ends the daemon here.
    fn crash(&mut self) -> bool {
        if self.world.calm || !self.world.rng.chance(self.crashes) {
            return false;
        }
        self.say(|| "daemon CRASHES".into());
        self.helm = None;
        self.look = None;
        self.wake_at = None;
        self.ended.clear();
        self.cut_off();
        self.back_at = Some(self.world.now + ms(&mut self.world.rng, 1, 3000));
        self.check.crashes += 1;
        true
    }

    /// A user wants something.
    fn wish(&mut self) {
        let now = self.world.now;
        if self.helm.is_none() || self.look.is_some() {
            // The daemon answers in a moment.
            if let Some(at) = self.wishes.last_mut() {
                *at = now + std::time::Duration::from_millis(5);
            }
            return;
        }
        self.wishes.pop();
        let last = self.wishes.is_empty();
        if last {
            self.world.calm = true;
            self.calm_at = now;
        }
        let Some(helm) = &self.helm else { return };
        let mut ledger = helm.ledger.clone();
        let kind = if self.check.wishes == 0 { 0 } else { self.world.rng.below(20) };
        match self.change(&mut ledger, last, kind) {
            Ok(change) => {
                if self.write(ledger.clone(), &[change])
                    && let Some(helm) = &mut self.helm
                {
                    helm.ledger = ledger;
                }
                self.check.wishes += 1;
            }
            Err(error) => self.say(|| format!("refused: {error}")),
        }
        self.nudge();
    }

    fn change(&mut self, ledger: &mut Ledger, last: bool, kind: u64) -> Result<Change, RequestError> {
        let now = wall(self.world.now);
        let rng = &mut self.world.rng;
        let changes = match kind {
            // The last wish is something that a healthy world can give, or an end.
            19 if last => ledger.down(rng.chance(0.5)),
            // A version with images that fail must lead back to one that ran, or stay for a person to see.
            0..=5 if last => deploy(ledger, self.author.draft(rng, false), now),
            _ if last => deploy(ledger, self.author.draft(rng, true), now),
            0..=9 => deploy(ledger, self.author.draft(rng, false), now),
            10 | 11 => {
                let counts = [(name("web"), 1 + rng.below(4) as u32)].into();
                ledger.scale(&counts, now).map(|(_, change)| change)
            }
            12 => ledger.restart(&[name("web")], now).map(|(_, change)| change),
            13 => ledger.restart(&[], now).map(|(_, change)| change),
            14 | 15 => ledger.rollback(None, now).map(|(_, change)| change),
            16 => ledger.stop(&[]),
            17 => ledger.stop(&[name("web")]),
            18 => ledger.start(&[]),
            _ => ledger.down(rng.chance(0.5)),
        };
        changes.inspect(|_| self.say(|| format!("wish {kind}")))
    }
}

/// Deploys, without a share for the new release where that cannot be, or where what runs is what fails.
fn deploy(ledger: &mut Ledger, mut draft: Draft, now: Timestamp) -> Result<Change, RequestError> {
    let live = ledger.releases.values().rev().filter(|release| release.settled_at.is_some());
    let fails = |release: &Arc<Release>| {
        release.made.values().any(|made| files::Nature::of(&made.image) != files::Nature::Good)
    };
    if live.take(1).any(fails) {
        draft.app.services.values_mut().for_each(|service| service.edge.release = None);
    }
    let mut result = ledger.deploy(draft.clone(), now);
    if matches!(result, Err(RequestError::Beside(_))) {
        draft.app.services.values_mut().for_each(|service| service.edge.release = None);
        result = ledger.deploy(draft, now);
    }
    result.map(|(_, change)| change)
}

fn wall(now: Instant) -> Timestamp {
    Timestamp(i64::try_from(now.0).unwrap_or(i64::MAX))
}
