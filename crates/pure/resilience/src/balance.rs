//! Which endpoint gets the next request.
//!
//! A [`Roster`] says who may be picked and with which weight; a policy picks from its [`Candidates`]. Places are indices
//! that roster, loads and latencies share. Picks take no memory.
//!
//! | policy | looks at | good for |
//! | --- | --- | --- |
//! | [`choices`] with [`Ewma`] | load and latency of up to five | HTTP: **the default** |
//! | [`least_requests`] | the loads of all | long connections, whose latency says nothing |
//! | [`round_robin`] | weights alone | an even spread, whatever happens |
//! | [`consistent`] | a key, and a bound on loads | caches |
//! | [`sticky`] | a cookie | sessions in memory |
//! | [`prequal`] | probes of loads and latencies | several edges in front of the same endpoints |
//!
//! # Why five choices by mean latency are the default
//!
//! Measured by `tests/balance_sim.rs` with six seeds: the 99th percentile in milliseconds, of requests that take 20 ms on
//! average. Columns: 10 and 3 replicas at 90 % of what they can do; 10 and 3 of which each is four times as slow for a
//! fifth of the time; 10 of which three are half and two a quarter as fast; 3 of which one is a third as fast; and 3 with
//! little to do of which one is a tenth as fast. The last column is the geometric mean of the row.
//!
//! | policy | 10 full | 3 full | 10 disturbed | 3 disturbed | 10 uneven | 3 uneven | one slow | all |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | round robin | 92 | 113 | 1,544 | 1,333 | 7,807 | 13,952 | 586 | 1,045 |
//! | least requests | 70 | 88 | 168 | 240 | 146 | 133 | 377 | 151 |
//! | two choices by peak EWMA (Finagle) | 77 | 89 | 259 | 278 | 139 | 111 | 185 | 146 |
//! | **five choices by mean EWMA** | 74 | 89 | 169 | 221 | 112 | 97 | 96 | **114** |
//! | Prequal without probes | 76 | 91 | 188 | 252 | 93 | 91 | 164 | 124 |
//! | Prequal | 96 | 93 | 198 | 264 | 88 | 91 | 92 | 119 |
//!
//! It is first in median and 90th percentile over all too, and never far behind the best. Prequal is ahead by a fifth
//! where replicas differ much in speed, and behind by a quarter under full load. It needs something in each endpoint
//! that answers probes, which an edge cannot ask of every program, and two to eight times the time of a pick.

mod alias;
mod candidates;
pub mod choices;
pub mod consistent;
pub mod ewma;
#[cfg(test)]
mod fixtures;
pub mod least_requests;
pub mod prequal;
mod roster;
pub mod round_robin;
pub mod slow_start;
pub mod sticky;
mod weight;

pub use candidates::Candidates;
pub use consistent::{Ring, RingPolicy};
pub use ewma::{Ewma, EwmaPolicy, Rise};
pub use roster::{Mode, Roster, Rules, Seat, Standing};
pub use round_robin::RoundRobin;
pub use slow_start::SlowStart;
pub use weight::Weight;
