//! Tests of the registry, by the letter of the distribution specification.

mod auth;
mod collecting;
mod conformance;
mod mirroring;
mod uploading;
