//! Stability patterns as small state machines: each decides, and whoever holds it acts.
//!
//! A machine here does no I/O, asks for no time and draws no chance of its own: it is told `now` as a
//! [`base::Instant`] and, where it jitters, is lent a seeded [`base::Rng`]. So a test lives through an hour in a
//! millisecond, and any program can use one alone, behind whatever lock or thread it likes. What a machine can hold is
//! bounded, and the bound is written in its policy. Admitting and settling a call allocates nothing.
//!
//! Each module opens with its model (what it assumes), its source, and its defaults with their reasons. What is lent
//! out, such as a permit, is neither `Clone` nor `Copy`, and is given back by value, so it cannot be given back twice.
//!
//! | what fails or grows | modules |
//! | --- | --- |
//! | one endpoint of many | [`balance`], [`health`] |
//! | a dependency | [`breaker`], [`retry`], [`hedge`], [`deadline`] |
//! | the load | [`bulkhead`], [`limit`], [`codel`], [`shed`], [`rate`] |
//! | many ask the same | [`flights`], [`freshness`] |
//! | a new version | [`split`], [`mirror`] |
//! | automation itself | [`governor`] |

pub mod balance;
pub mod breaker;
pub mod bulkhead;
pub mod codel;
pub mod deadline;
pub mod flights;
pub mod freshness;
pub mod governor;
mod hash;
pub mod health;
pub mod hedge;
pub mod http_date;
pub mod limit;
pub mod mirror;
pub mod quantile;
pub mod rate;
mod refusal;
pub mod retry;
pub mod shed;
pub mod split;
mod window;
