//! Builds from Dockerfile to image, on a real store, with commands in a real overlay.

mod cache;
mod copying;
mod running;
mod settings;
mod world;
