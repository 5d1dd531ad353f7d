//! What differs between layers.

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use tempfile::TempDir;

use super::*;

fn layers() -> (TempDir, Rootfs) {
    let home = tempfile::tempdir().unwrap();
    let of = |name: &str| home.path().join(name);
    for folder in
        ["low/etc", "low/kept", "low/gone", "low/wiped", "up/etc", "up/kept", "up/wiped", "up/new", "up/proc"]
    {
        fs::create_dir_all(of(folder)).unwrap();
    }
    for file in [
        "low/etc/passwd",
        "low/gone/x",
        "low/wiped/a",
        "low/wiped/b",
        "up/etc/passwd",
        "up/etc/hosts",
        "up/new/file",
        "up/wiped/b",
    ] {
        fs::write(of(file), if file == "up/new/file" { "12345" } else { "" }).unwrap();
    }
    let node =
        |name: &str| rustix::fs::mknodat(CWD, of(name), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    node("up/gone");
    rustix::fs::setxattr(of("up/wiped"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    // A folder that only lies on the way to something looks as below.
    let time = fs::metadata(of("low/kept")).unwrap().modified().unwrap();
    fs::File::open(of("up/kept")).unwrap().set_modified(time).unwrap();
    let rootfs = Rootfs { lower: vec![of("low")], upper: of("up"), work: of("work"), volatile: false };
    (home, rootfs)
}

#[test]
fn changes_are_told_with_their_parents_and_without_places_to_mount_at() {
    let (_home, rootfs) = layers();
    let told: Vec<String> =
        look(&rootfs).unwrap().iter().map(|one| format!("{:?} {}", one.kind, one.path.display())).collect();
    let wanted = [
        "Modified /etc",
        "Modified /etc/passwd",
        "Deleted /gone",
        "Added /new",
        "Added /new/file",
        "Modified /wiped",
        "Deleted /wiped/a",
        "Modified /wiped/b",
    ];
    assert_eq!(told, wanted);
    let mut places = places(&rootfs).unwrap();
    places.sort();
    assert_eq!(places, [Path::new("etc/hosts"), Path::new("proc")]);
}

#[test]
fn a_place_that_holds_something_counts() {
    let (_home, rootfs) = layers();
    fs::write(rootfs.upper.join("etc/hosts"), "mine").unwrap();
    let paths: Vec<PathBuf> = look(&rootfs).unwrap().into_iter().map(|one| one.path).collect();
    assert!(paths.contains(&PathBuf::from("/etc/hosts")), "{paths:?}");
}

#[test]
fn a_folder_that_holds_places_alone_did_not_change() {
    let (_home, rootfs) = layers();
    fs::remove_file(rootfs.upper.join("etc/passwd")).unwrap();
    let told = look(&rootfs).unwrap();
    assert!(told.iter().all(|one| one.path != Path::new("/etc")), "{told:?}");
}

#[test]
fn the_size_is_that_of_what_was_written() {
    let (_home, rootfs) = layers();
    assert_eq!(written(&rootfs.upper).unwrap(), 5);
}
