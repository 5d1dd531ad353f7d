//! All compartments of a set, and those who wait outside: the lock around the machine, and the doorbells.
//!
//! Invariant: a ticket has a doorbell here exactly while it waits in the machine. Both are made, and both removed,
//! under one hold of the lock. Bells are rung after it is let go, because one who has gone away gives back its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Instant;
use resilience::bulkhead::{Answer, Bulkheads, Full, Limits, Part, Path, Permit, Ticket, Woken};
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::World;
use crate::world::lock;

/// Beyond its time a call looks so often whether it has been told.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

type Told = Result<Place, Full>;
/// Who is to be told, and what.
type Call = (Option<Sender<Told>>, Result<Permit, Full>);

pub(super) struct Hall {
    world: World,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bulkheads: Bulkheads,
    bells: HashMap<Ticket, Sender<Told>>,
    /// How long calls may wait, by compartment.
    waits: HashMap<Part, Duration>,
}

impl State {
    /// Those who waited, with what they are told.
    fn heed(&mut self, woken: Vec<Woken>) -> Vec<Call> {
        woken.into_iter().map(|woken| (self.bells.remove(&woken.ticket), woken.end)).collect()
    }
}

impl Hall {
    pub(super) fn new(world: &World) -> Self {
        Self { world: world.clone(), state: Mutex::default() }
    }

    pub(super) fn now(&self) -> Instant {
        self.world.now()
    }

    pub(super) fn add(&self, limits: Limits) -> Part {
        let mut state = lock(&self.state);
        let part = state.bulkheads.add(limits);
        state.waits.insert(part, limits.wait);
        part
    }

    pub(super) fn set(self: &Arc<Self>, part: Part, limits: Limits) {
        {
            let mut state = lock(&self.state);
            state.waits.insert(part, limits.wait);
            state.bulkheads.set(part, limits);
        }
        self.tick();
    }

    pub(super) fn load(&self, part: Part) -> (u32, u32) {
        lock(&self.state).bulkheads.load(part)
    }

    /// How much of the fullest of these compartments is in use, with what waits for it.
    pub(super) fn used(&self, parts: &[Part]) -> f64 {
        let state = lock(&self.state);
        parts.iter().map(|part| state.bulkheads.used(*part)).fold(0.0, f64::max)
    }

    /// Waits for a place in each of these compartments.
    pub(super) async fn enter(self: &Arc<Self>, parts: &[Part], client: u64) -> Result<Place, Full> {
        let (mut waiting, mut waits) = {
            let now = self.now();
            let state = &mut *lock(&self.state);
            match state.bulkheads.ask(Path::new(parts), client, now)? {
                Answer::Go(permit) => return Ok(Place::new(self, permit)),
                Answer::Wait(ticket) => {
                    let (bell, told) = oneshot::channel();
                    state.bells.insert(ticket, bell);
                    let waits: Vec<_> =
                        parts.iter().filter_map(|part| state.waits.get(part)).copied().collect();
                    (Waiting { hall: Arc::clone(self), ticket, told }, waits)
                }
            }
        };
        // Which compartment it waits for is the machine's matter; it looks when the time of each is up.
        waits.sort_unstable();
        let mut waited = Duration::ZERO;
        let mut waits = waits.into_iter();
        loop {
            let pause = waits.next().map_or(LOOK_AGAIN, |wait| wait.saturating_sub(waited));
            waited += pause;
            tokio::select! {
                biased;
                told = &mut waiting.told => {
                    return told.expect("a bell is kept until it is rung, or its owner has gone");
                }
                () = tokio::time::sleep(pause) => self.tick(),
            }
        }
    }

    /// Takes a place back, and lets in who waits for it.
    fn settle(self: &Arc<Self>, permit: Permit) {
        let mut woken = Vec::new();
        let now = self.now();
        let told = {
            let state = &mut *lock(&self.state);
            state.bulkheads.settle(permit, now, &mut woken);
            state.heed(woken)
        };
        self.tell(told);
    }

    fn tick(self: &Arc<Self>) {
        let mut woken = Vec::new();
        let now = self.now();
        let told = {
            let state = &mut *lock(&self.state);
            state.bulkheads.tick(now, &mut woken);
            state.heed(woken)
        };
        self.tell(told);
    }

    /// Rings, and gives the places of those who have gone to the next, one after another and not one within another.
    fn tell(self: &Arc<Self>, mut queue: Vec<Call>) {
        while let Some((bell, end)) = queue.pop() {
            let end = end.map(|permit| Place::new(self, permit));
            let unheard = match bell {
                Some(bell) => bell.send(end).err(),
                None => Some(end),
            };
            let Some(Ok(mut place)) = unheard else { continue };
            let Some(permit) = place.permit.take() else { continue };
            let mut woken = Vec::new();
            let now = self.now();
            let state = &mut *lock(&self.state);
            state.bulkheads.settle(permit, now, &mut woken);
            queue.extend(state.heed(woken));
        }
    }

    fn leave(&self, ticket: Ticket) {
        let state = &mut *lock(&self.state);
        state.bulkheads.give_up(ticket);
        state.bells.remove(&ticket);
    }
}

/// A call's places; they go back when it is dropped.
pub(super) struct Place {
    hall: Arc<Hall>,
    permit: Option<Permit>,
}

impl Place {
    fn new(hall: &Arc<Hall>, permit: Permit) -> Self {
        Self { hall: Arc::clone(hall), permit: Some(permit) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.hall.settle(permit);
        }
    }
}

/// A call in the queue; it leaves when it is dropped.
struct Waiting {
    hall: Arc<Hall>,
    ticket: Ticket,
    told: Receiver<Told>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.hall.leave(self.ticket);
    }
}

#[cfg(test)]
mod tests;
