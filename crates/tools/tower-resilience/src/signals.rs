//! What a queue or a limit tells the load shedding in front of it.

use std::sync::{Arc, Mutex};

use base::{Instant, Rng};
use resilience::shed::{Shed, Waited};

use crate::world::lock;

/// The machine of a [`ShedLayer`](crate::shed::ShedLayer), and when its ranks are dealt anew.
pub(crate) struct Machine {
    pub(crate) shed: Shed,
    pub(crate) rng: Rng,
    pub(crate) deal_at: Instant,
}

/// Where to tell a [`ShedLayer`](crate::shed::ShedLayer) how long requests waited behind it, and how much of a limit
/// is in use. Without a word of these it admits everything.
#[derive(Clone)]
pub struct Signals {
    pub(crate) machine: Arc<Mutex<Machine>>,
}

impl Signals {
    /// What became of a request in the queue behind.
    pub fn waited(&self, waited: Waited) {
        lock(&self.machine).shed.observe(waited);
    }

    /// How much of a limit is in use, 1 being all; what waits for it counts too.
    pub fn used(&self, used: f64) {
        lock(&self.machine).shed.observe_use(used);
    }
}
