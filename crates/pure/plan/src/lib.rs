//! What to do next: from what is wanted and what is seen to a list of steps.

pub mod backoff;
pub mod beside;
pub mod decide;
#[cfg(test)]
mod fixtures;
pub mod ledger;
pub mod order;
pub mod ports;
pub mod preview;
pub mod release;
pub mod renewal;
pub mod revision;
mod routes;
pub mod seen;
pub mod step;
pub mod tls;
pub mod traffic;

pub use decide::{Course, Memory, Plan, Sight, Standing, Wanted, plan, standing};
pub use ledger::{Change, Draft, Event, Ledger, Outcome, RequestError};
pub use preview::{Preview, preview};
pub use release::{Cause, Made, Receipt, Release, Status};
pub use step::{Slot, Step, Who};
