//! Tests of the tape: what GNU tar writes is read, in each of its formats.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use super::*;

#[test]
fn what_gnu_tar_writes_is_read_in_each_format() {
    testkit::require_root();
    for (format, sparse) in
        [("gnu", true), ("posix", true), ("gnu", false), ("posix", false), ("ustar", false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        let long = "folder-with-a-long-name/".repeat(6);
        let long = if format == "ustar" { "folder/" } else { &long };
        fs::create_dir_all(source.join(long)).unwrap();
        fs::write(source.join(long).join("file"), "content").unwrap();
        let holes = File::create(source.join("holes")).unwrap();
        // Six runs and a hole at the end: more than fit into one header.
        for run in 0..6 {
            holes.write_all_at(b"data", run * (1 << 20)).unwrap();
        }
        holes.set_len(9 << 20).unwrap();
        let archive = dir.path().join("a.tar");
        let mut command = Command::new("tar");
        command.arg(format!("--format={format}")).args(sparse.then_some("--sparse"));
        let done = command.arg("-cf").arg(&archive).arg("-C").arg(&source).arg(".").status().unwrap();
        assert!(done.success());
        let made = dir.path().join("made");
        fs::create_dir(&made).unwrap();
        let limits = Limits::default();
        crate::apply::apply(File::open(&archive).unwrap(), &made, &[], &limits).unwrap();
        let difference = crate::compare::first_difference(&source, &made).unwrap();
        assert_eq!(difference, None, "{format}, sparse: {sparse}");
    }
}

#[test]
fn numbers_read_in_octal_and_in_base_256() {
    for (field, value) in [
        (&b"0000644\0"[..], Some(0o644)),
        (b"   644 \0", Some(0o644)),
        (b"\0\0\0", None),
        (b"9", None),
        (b"\x80\0\0\0\0\0\0\x01\0", Some(256)),
        (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
        (b"", None),
    ] {
        assert_eq!(number::signed(field), value, "{field:?}");
    }
}
