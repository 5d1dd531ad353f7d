//! The image store: blobs, layers, snapshots, and the collection of garbage.
