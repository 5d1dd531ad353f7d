//! Tests of what counts as an archive.

use super::*;

#[test]
fn archives_are_known_by_their_first_block() {
    let archive = testkit::tar(&[testkit::Entry::file("name", "text")]);
    assert!(is_tar(&archive[..BLOCK]));
    assert!(!is_tar(&archive[..BLOCK - 1]));
    assert!(!is_tar(&[0; BLOCK]));
    assert!(!is_tar(&[b'F'; BLOCK]));
    let mut damaged = archive[..BLOCK].to_vec();
    damaged[0] ^= 1;
    assert!(!is_tar(&damaged));
}
