//! What a queue or a limit tells the load shedding in front of it.

use std::sync::{Arc, Mutex};

use base::{Instant, Rng};
use resilience::shed::Shed;

use crate::world::lock;

/// The machine of a [`ShedLayer`](crate::shed::ShedLayer), and when its ranks are dealt anew.
pub(crate) struct Machine {
    pub(crate) shed: Shed,
    pub(crate) rng: Rng,
    pub(crate) deal_at: Instant,
}

/// Where to tell a [`ShedLayer`](crate::shed::ShedLayer) how much of a limit behind it is in use, and what is dropped
/// there. Without a word of these it admits everything.
#[derive(Clone)]
pub struct Signals {
    pub(crate) machine: Arc<Mutex<Machine>>,
}

impl Signals {
    /// A request was dropped in the queue behind, or found it full.
    pub fn dropped(&self) {
        lock(&self.machine).shed.observe_drop();
    }

    /// How much of a limit is in use, 1 being all, as each request finds it that comes; what waits for it counts too.
    pub fn used(&self, used: f64) {
        lock(&self.machine).shed.observe_use(used);
    }
}
