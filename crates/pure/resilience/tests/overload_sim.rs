//! What the patterns are for, proven in simulations: each against the same run without the pattern.
//!
//! Every run is bounded by simulated time, prints its seed, and is replayed with `SEED=N`.

#[path = "overload_sim/chain.rs"]
mod chain;
#[path = "overload_sim/dead.rs"]
mod dead;
#[path = "overload_sim/dogpile.rs"]
mod dogpile;
#[path = "overload_sim/engine.rs"]
mod engine;
#[path = "overload_sim/metastable.rs"]
mod metastable;
#[path = "overload_sim/overload.rs"]
mod overload;
#[path = "overload_sim/shapes.rs"]
mod shapes;
#[path = "overload_sim/tail.rs"]
mod tail;
