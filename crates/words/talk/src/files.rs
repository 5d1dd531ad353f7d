//! Files that the edge serves itself, on their way to the daemon.

use serde::{Deserialize, Serialize};

/// How a folder is called whose list was sent, and what is still to be sent of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeView {
    /// What services name it by.
    pub tree: String,
    /// The SHA-256 of files that are not there yet; the folder is kept when the list is sent with none missing.
    pub missing: Vec<String>,
}
