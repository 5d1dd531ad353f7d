//! The distribution protocol, both sides: a client of registries, and a registry of our own.
//!
//! | to | call |
//! | --- | --- |
//! | reach a repository | [`Client::new`], [`Client::repository`] |
//! | read | [`Repository::manifest`], [`Repository::image`], [`Repository::fetch`], [`Repository::tags`], [`Repository::referrers`] |
//! | write | [`Repository::has_blob`], [`Repository::mount`], [`Repository::upload`], [`Repository::put_manifest`], [`Repository::delete_manifest`] |
//! | search | [`Client::search`] |
//! | sign in | [`Client::login`], and [`docker::DockerConfig`] for what docker keeps of it |
//! | serve | [`Registry::open`], [`Registry::router`], [`serve`] |
//! | stay small | [`Registry::collect`], [`Registry::retain`] |
//!
//! The client owns no data: whoever calls gives credentials with each repository, and says where bytes go. It sends
//! credentials to the host that they are for and to no other, checks lengths and digests while bytes pass, goes on
//! where a broken connection stopped, and waits for nobody without a bound.
//!
//! The registry owns the folder that it is opened with:
//!
//! ```text
//! ROOT/
//!   lock                  held while the folder is open
//!   registry.db           repositories, manifests, tags, and which repository has which blob
//!   token.key             what its tokens are signed with
//!   blobs/sha256/ab/<hex> content, manifests too, named by digest
//!   uploads/<id>/         an upload under way
//!   incoming/             what is under way, and what is on its way out
//! ```
//!
//! Invariant: a file under `blobs/` is whole and matches its name. It is brought to the disk before it is renamed
//! there, and a row names it only afterwards, so a crash leaves at most files that no row names; a collection takes
//! them once they are old enough that nobody can be about to name them.

mod challenge;
mod client;
pub mod docker;
mod endpoint;
mod growing;
mod link;
mod login;
mod ranges;
mod server;
#[cfg(test)]
mod testing;
mod words;

pub use client::{
    BlobError, CallError, Client, Fetched, Found, Image, ImageError, Listing, ManifestError, PushError, Raw,
    Repository, Search, SearchError, Settings, SettingsError, Source, Timeouts, Uploaded,
};
pub use endpoint::Endpoint;
pub use growing::{Follower, Growing};
pub use login::{Keyring, Login};
pub use server::{
    Access, Collected, GuardError, Mirror, OpenError, Options, Protected, Registry, RegistryError, Retained,
    Retention, ServeError, Serving, TagView, Tls, serve,
};
pub use words::MANIFEST_BYTES;
