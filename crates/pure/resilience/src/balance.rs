//! Which endpoint gets the next request.
//!
//! MEASURED

mod alias;
mod candidates;
pub mod consistent;
pub mod least_requests;
pub mod peak_ewma;
pub mod prequal;
mod roster;
pub mod round_robin;
pub mod slow_start;
pub mod sticky;
pub mod two_choices;
mod weight;

pub use candidates::Candidates;
pub use consistent::{Ring, RingPolicy};
pub use peak_ewma::PeakEwma;
pub use roster::{Mode, Roster, Rules, Seat, Standing};
pub use round_robin::RoundRobin;
pub use slow_start::SlowStart;
pub use weight::Weight;
