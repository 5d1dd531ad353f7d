//! Builds from Dockerfile to image, on a real store, with commands in a real overlay.

mod cache;
mod copying;
mod fetching;
mod lending;
mod repositories;
mod running;
mod settings;
mod together;
mod world;
