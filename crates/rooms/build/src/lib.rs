//! Dockerfiles to a graph of steps, to layers.

pub mod dockerfile;
