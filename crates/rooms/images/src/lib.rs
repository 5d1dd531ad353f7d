//! The image store: blobs, layers, snapshots, and the collection of garbage.
//!
//! Owns the `images/` data folder. Synchronous but for what goes over the network: callers in async code use
//! `spawn_blocking`. [`Images`] is a handle: cloning it is cheap, and all clones share one lock. One process at a time
//! has a folder open. Fetches through `registry`.
//!
//! ```text
//! images/
//!   lock                     held while the folder is open
//!   images.json              names, images and the build cache: one versioned record, replaced as a whole
//!   blobs/sha256/<hex>       configurations, and layers as they came (tar, gzip or zstd), named by content
//!   layers/<chain id>/diff   a layer unpacked, ready to be an overlay's lower folder
//!   snapshots/<key>/         upper, work and the image's id, for one container
//!   downloads/<hex>          blobs that arrive from registries, to be gone on with after a crash
//!   incoming/                what is under way, and what is on its way out
//!   unpacking/               layers under way, each far from the others on the disk
//!   empty/                   the lower folder of an image without layers
//! ```
//!
//! Invariant: what has its final name is whole. It is written under `incoming/` or `unpacking/`, brought to the disk and
//! renamed; a crash leaves at most strays there, which [`Images::open`] clears, and content that nobody names, which
//! [`Images::collect`] takes.
//!
//! | to | call |
//! | --- | --- |
//! | open the folder | [`Images::open`], [`Images::open_with`] |
//! | take in and give out archives | [`Images::load`], [`Images::save`] |
//! | fetch from registries and send to them | [`Images::pull`], [`Images::push`] |
//! | look | [`Images::find`], [`Images::list`], [`Images::history`], [`Images::usage`] |
//! | name, forget | [`Images::tag`], [`Images::remove`] |
//! | give a container its root | [`Images::snapshot`], [`Images::drop_snapshot`] |
//! | build | [`Images::commit`], [`Images::cache_get`], [`Images::cache_put`] |
//! | stay small and sound | [`Images::collect`], [`Images::prune`], [`Images::fsck`] |

mod apply;
mod archive;
mod cache;
mod collect;
mod commit;
mod compare;
mod compression;
mod disk;
mod events;
mod fault;
mod find;
mod fsck;
mod image;
mod journal;
mod limits;
mod load;
mod pack;
mod parents;
mod pipeline;
mod pull;
mod push;
mod save;
mod snapshot;
mod state;
mod store;
mod tape;
mod tree;

pub use apply::{LayerError, Refusal};
pub use collect::{Collected, Keep, Prune};
pub use commit::{CommitError, LayerSource, PackOptions};
pub use compression::unpacked;
pub use disk::DiskError;
pub use find::{FindError, RemoveError, Removed, TagError};
pub use fsck::{Damage, Fsck};
pub use image::{Image, ImageId, Usage};
pub use journal::Happening;
pub use limits::Limits;
pub use load::{LoadError, Loaded, Progress};
pub use pack::{Out, TarWriter};
pub use pull::{LayerState, PullError, PullOrder, PullStep, Pulled};
pub use push::{PushError, PushOrder, PushState, PushStep, Pushed};
pub use save::SaveError;
pub use snapshot::{Snapshot, SnapshotError, Trash};
pub use store::{Hold, Images, OpenError, Options};
pub use tape::{Entry, EntryKind, Extent, Tape, TapeError};
pub use tar::EntryType;

#[cfg(test)]
mod tests;
