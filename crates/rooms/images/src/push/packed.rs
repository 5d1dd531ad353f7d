//! What layers that are kept as plain tars come to when they are packed: so that a registry can be asked for them.
//!
//! Losing this costs time only: `packed.json` is not brought to the disk by force, and one that does not read is empty.

use std::collections::BTreeMap;
use std::fs;

use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::store::Inner;

/// Layers that are remembered.
const MOST: usize = 5_000;

const VERSION: u32 = 1;

/// A packed layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Packed {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Book {
    version: u32,
    layers: BTreeMap<Digest, Packed>,
}

impl Inner {
    fn packed_book(&self) -> Book {
        let read = fs::read(self.dir.join("packed.json")).ok();
        let book = read.and_then(|bytes| serde_json::from_slice::<Book>(&bytes).ok());
        book.filter(|book| book.version == VERSION)
            .unwrap_or(Book { version: VERSION, layers: BTreeMap::new() })
    }

    /// What a layer comes to when it is packed.
    pub(super) fn packed(&self, diff_id: &Digest) -> Option<Packed> {
        self.packed_book().layers.remove(diff_id)
    }

    /// Remembers it.
    pub(super) fn remember_packed(&self, diff_id: &Digest, packed: Packed) {
        // One at a time, as the file is replaced as a whole.
        let _state = self.state();
        let mut book = self.packed_book();
        if book.layers.len() >= MOST {
            book.layers.clear();
        }
        book.layers.insert(diff_id.clone(), packed);
        let beside = self.fresh_path();
        let written = serde_json::to_vec(&book)
            .map_err(std::io::Error::other)
            .and_then(|text| fs::write(&beside, text))
            .and_then(|()| fs::rename(&beside, self.dir.join("packed.json")));
        if let Err(error) = written {
            tracing::warn!("what layers come to when packed is not remembered: {error}");
        }
    }
}
