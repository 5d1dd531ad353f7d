//! Tests of snapshots: they are quick, whole or absent, and mount as what the image says.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::tests::{Fixture, archive, names};
use crate::{ImageId, SnapshotError};

fn loaded() -> (Fixture, ImageId) {
    let fixture = Fixture::new();
    let id = fixture.load(&archive(&["web"]))[0].id.clone();
    (fixture, id)
}

#[test]
fn a_mounted_snapshot_shows_the_image_and_keeps_what_is_written() {
    let (fixture, id) = loaded();
    let snapshot = fixture.images.snapshot(&id, "c1").unwrap();
    let merged = fixture.path("merged");
    fs::create_dir(&merged).unwrap();
    let lower: Vec<String> = snapshot.lower.iter().map(|path| path.display().to_string()).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        snapshot.upper.display(),
        snapshot.work.display()
    );
    let options = std::ffi::CString::new(options).unwrap();
    mount("overlay", &merged, "overlay", MountFlags::empty(), options.as_c_str()).unwrap();
    let seen = (names(&merged), names(&merged.join("etc")));
    fs::write(merged.join("name"), "changed").unwrap();
    unmount(&merged, UnmountFlags::empty()).unwrap();
    assert_eq!(seen, (vec!["etc".into(), "name".into(), "tmp".into()], Vec::<String>::new()));
    assert_eq!(fs::read_to_string(snapshot.upper.join("name")).unwrap(), "changed");
    assert_eq!(fs::read_to_string(snapshot.lower[0].join("name")).unwrap(), "web");
    assert_eq!(fixture.images.snapshot(&id, "c1").unwrap(), snapshot, "the same call answers the same");
    assert!(fixture.images.snapshot_size("c1").unwrap() >= 7);
    fixture.images.drop_snapshot("c1").unwrap();
    fixture.images.drop_snapshot("c1").unwrap();
    assert!(names(&fixture.path("snapshots")).is_empty() && fixture.strays().is_empty());
}

#[test]
fn the_root_of_a_snapshot_looks_as_the_images() {
    let fixture = Fixture::new();
    let image = testkit::TestImage::new(
        "x",
        vec![testkit::tar(&[testkit::Entry::dir("./").mode(0o701).owner(3, 4)])],
    );
    let id = fixture.load(&testkit::docker_save(&[image]))[0].id.clone();
    let meta = fs::metadata(fixture.images.snapshot(&id, "c1").unwrap().upper).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o701, 3, 4));
}

#[test]
fn keys_and_images_that_make_no_sense_are_refused() {
    let (fixture, id) = loaded();
    for key in ["", "..", "a/b", ".x", "-x", &"x".repeat(300)] {
        assert!(matches!(fixture.images.snapshot(&id, key), Err(SnapshotError::BadKey(_))), "{key}");
        assert!(matches!(fixture.images.drop_snapshot(key), Err(SnapshotError::BadKey(_))), "{key}");
    }
    let other = fixture.load(&archive(&["other"]))[0].id.clone();
    fixture.images.snapshot(&id, "c1").unwrap();
    assert!(matches!(fixture.images.snapshot(&other, "c1"), Err(SnapshotError::Taken { .. })));
}

#[test]
fn a_crash_while_a_snapshot_is_made_leaves_none() {
    let (fixture, id) = loaded();
    fixture.images.0.faults.crash_at(0);
    fixture.images.snapshot(&id, "c1").unwrap_err();
    let fixture = fixture.reopened();
    assert!(fixture.images.snapshots().is_empty() && fixture.strays().is_empty());
    fixture.images.snapshot(&id, "c1").unwrap();
    let fixture = fixture.reopened();
    assert_eq!(fixture.images.snapshots(), [("c1".into(), id)]);
}
