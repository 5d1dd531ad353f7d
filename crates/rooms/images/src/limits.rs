//! The bounds that the store keeps, whatever an archive says.

use std::time::Duration;

/// The written bounds; one more is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one layer may unpack to.
    pub layer_bytes: u64,
    /// How many times its packed size a layer may unpack to, beyond `free_bytes`.
    pub ratio: u64,
    /// What a layer may unpack to whatever its packed size.
    pub free_bytes: u64,
    /// Entries in one layer or archive.
    pub entries: u64,
    /// Bytes of one entry's extended headers (long names, attributes).
    pub header_bytes: u64,
    /// Bytes of one JSON document.
    pub json_bytes: u64,
    /// Bytes of downloads that were not finished; the oldest go first.
    pub download_bytes: u64,
    /// How long such a download is kept.
    pub download_age: Duration,
    /// Layers of one image; an overlay takes 500.
    pub layers: usize,
    /// Images, and names, that the record holds.
    pub images: usize,
    /// Steps that the build cache remembers.
    pub cached_steps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layer_bytes: 64 << 30,
            ratio: 200,
            free_bytes: 1 << 30,
            entries: 2_000_000,
            header_bytes: 1 << 20,
            json_bytes: 8 << 20,
            download_bytes: 20 << 30,
            download_age: Duration::from_secs(24 * 3600),
            layers: 499,
            images: 10_000,
            cached_steps: 5_000,
        }
    }
}
