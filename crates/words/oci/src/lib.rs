//! Image, manifest, reference and digest vocabulary of the Open Container Initiative.
