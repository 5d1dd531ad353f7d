//! The address on a disk of its own, whole and cut off.

use super::*;

#[test]
fn what_was_kept_last_is_read() {
    let root = tempfile::tempdir().expect("a folder");
    assert_eq!(read(root.path()), None);
    for text in ["127.0.0.1:8080", "[::1]:80"] {
        let address = text.parse().expect("an address");
        write(root.path(), address).expect("kept");
        assert_eq!(read(root.path()), Some(address));
    }
}

#[test]
fn a_file_that_was_cut_off_keeps_nobody_from_starting() {
    let root = tempfile::tempdir().expect("a folder");
    for text in ["", "127.0."] {
        fs::write(root.path().join(FILE), text).expect("written");
        assert_eq!(read(root.path()), None, "{text}");
    }
}
