//! The tower of an airfield: who leads, who follows, and the word that goes out when one has landed.
//!
//! Invariant: whoever follows in the machine has a radio here, and the other way round. Both are made, and both removed,
//! under one hold of the lock. Word goes out after it is let go, because a leader who has gone away lands by that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use resilience::flights::{Flight, Flights, Landing, Next, Policy, Role, Who};
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::World;
use crate::world::lock;

/// After the patience with a leader is over, a follower looks so often whether another one leads.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who is to be told, and what.
type Call<T> = (Option<Sender<Told<T>>>, Next);

pub(super) struct Tower<T> {
    world: World,
    patience: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    flights: Flights,
    radios: HashMap<u64, Sender<Told<T>>>,
    next_who: u64,
}

impl<T> State<T> {
    fn heed(&mut self, next: Vec<(Who, Next)>) -> Vec<Call<T>> {
        next.into_iter().map(|(who, next)| (self.radios.remove(&who.0), next)).collect()
    }
}

/// What a request is to do.
pub(super) enum Joined<T> {
    /// Make the call for all.
    Lead(Aloft<T>),
    /// Wait for another's.
    Follow(Following<T>),
    /// Make the call for itself.
    Alone,
}

/// What a follower is told.
pub(super) enum Told<T> {
    /// The answer for all.
    Answer(T),
    /// To make the call for all.
    Lead(Aloft<T>),
    /// To make the call for itself.
    Alone,
}

impl<T> Tower<T> {
    pub(super) fn new(policy: Policy, world: &World) -> Self {
        let state = State { flights: Flights::new(policy), radios: HashMap::new(), next_who: 0 };
        Self { world: world.clone(), patience: policy.patience, state: Mutex::new(state) }
    }

    pub(super) fn load(&self) -> (usize, usize) {
        lock(&self.state).flights.load()
    }

    pub(super) fn join(self: &Arc<Self>, key: u64) -> Joined<T> {
        let now = self.world.now();
        let state = &mut *lock(&self.state);
        let who = Who(state.next_who);
        match state.flights.join(key, who, now) {
            Role::Alone => Joined::Alone,
            Role::Lead(flight) => Joined::Lead(Aloft::new(self, flight)),
            Role::Follow => {
                state.next_who += 1;
                let (radio, told) = oneshot::channel();
                state.radios.insert(who.0, radio);
                Joined::Follow(Following { tower: Arc::clone(self), key, who, told })
            }
        }
    }

    /// Sends the word out; one who is told to lead and has gone lands at once, and the next leads.
    fn tell(self: &Arc<Self>, mut queue: Vec<Call<T>>, answer: impl Fn() -> Option<T>) {
        while let Some((radio, next)) = queue.pop() {
            let told = match next {
                Next::Take => answer().map_or(Told::Alone, Told::Answer),
                Next::Lead(flight) => Told::Lead(Aloft::new(self, flight)),
                Next::Alone => Told::Alone,
            };
            let unheard = match radio {
                Some(radio) => radio.send(told).err(),
                None => Some(told),
            };
            let Some(Told::Lead(mut aloft)) = unheard else { continue };
            let Some(flight) = aloft.flight.take() else { continue };
            let now = self.world.now();
            let mut next = Vec::new();
            let state = &mut *lock(&self.state);
            state.flights.land(flight, Landing::Failed, now, &mut next);
            queue.extend(state.heed(next));
        }
    }

    /// Lets others lead in place of those who are lost.
    fn tick(self: &Arc<Self>) {
        let now = self.world.now();
        let mut next = Vec::new();
        let told = {
            let state = &mut *lock(&self.state);
            state.flights.tick(now, &mut next);
            state.heed(next)
        };
        self.tell(told, || None);
    }
}

/// A call that others wait for. Dropped, it has failed, and one of them makes it.
pub(super) struct Aloft<T> {
    tower: Arc<Tower<T>>,
    flight: Option<Flight>,
}

impl<T> Aloft<T> {
    fn new(tower: &Arc<Tower<T>>, flight: Flight) -> Self {
        Self { tower: Arc::clone(tower), flight: Some(flight) }
    }

    /// The call has ended; all who take the answer get a copy.
    pub(super) fn land(mut self, landing: Landing, answer: Option<&T>)
    where
        T: Clone,
    {
        self.end(landing, || answer.cloned());
    }

    fn end(&mut self, landing: Landing, answer: impl Fn() -> Option<T>) {
        let Some(flight) = self.flight.take() else { return };
        let now = self.tower.world.now();
        let mut next = Vec::new();
        let told = {
            let state = &mut *lock(&self.tower.state);
            state.flights.land(flight, landing, now, &mut next);
            state.heed(next)
        };
        self.tower.tell(told, answer);
    }
}

impl<T> Drop for Aloft<T> {
    fn drop(&mut self) {
        self.end(Landing::Failed, || None);
    }
}

/// A request that waits for another's answer; it leaves when it is dropped.
pub(super) struct Following<T> {
    tower: Arc<Tower<T>>,
    key: u64,
    who: Who,
    told: Receiver<Told<T>>,
}

impl<T> Following<T> {
    /// Waits for the word.
    pub(super) async fn told(mut self) -> Told<T> {
        let mut pause = self.tower.patience.max(Duration::from_millis(1));
        loop {
            tokio::select! {
                biased;
                // Silence is a leader that panicked while it copied its answer.
                told = &mut self.told => return told.unwrap_or(Told::Alone),
                () = tokio::time::sleep(pause) => self.tower.tick(),
            }
            pause = pause.min(LOOK_AGAIN);
        }
    }
}

impl<T> Drop for Following<T> {
    fn drop(&mut self) {
        let state = &mut *lock(&self.tower.state);
        state.flights.leave(self.key, self.who);
        state.radios.remove(&self.who.0);
    }
}

#[cfg(test)]
mod tests;
