//! Image, manifest, reference and digest vocabulary of the Open Container Initiative.
//!
//! Wire words only: what an image is called, how its parts are named by digest, and the documents that tie them
//! together, in the forms of OCI and of docker's schema 2. Fields that we do not know are kept, so that a document
//! which is read and written again loses nothing.

mod config;
mod digest;
mod manifest;
mod media;
mod platform;
mod reference;

pub use config::{Health, History, ImageConfig, RootFs, RunConfig};
pub use digest::{Algorithm, Digest, InvalidDigest, Mismatch, Sha256Hasher, Verifier, chain_ids};
pub use manifest::{Descriptor, Document, Index, Manifest};
pub use media::{Compression, MediaType};
pub use platform::{InvalidPlatform, Platform};
pub use reference::{InvalidReference, Reference};

/// Fields of a document that this program does not know; kept for whoever reads it next.
pub type Extra = serde_json::Map<String, serde_json::Value>;
