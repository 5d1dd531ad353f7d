//! A container's log: written by its shim, read by anybody, never larger than its policy says.
//!
//! Owns `log`, `log.1`, … in the container's folder; `log` is the newest. Each line is as Kubernetes' runtimes
//! write it: time, stream, `F` for a whole line or `P` for a part of one, text.

mod follow;
mod line;
mod read;
mod write;

use std::path::{Path, PathBuf};

pub use follow::{FollowError, Follower};
pub use line::{Line, Stream};
pub use read::{LogError, Query, read};
pub(crate) use write::Writer;

/// The n-th file, 0 being the newest.
fn file(dir: &Path, number: u32) -> PathBuf {
    if number == 0 { dir.join("log") } else { dir.join(format!("log.{number}")) }
}
