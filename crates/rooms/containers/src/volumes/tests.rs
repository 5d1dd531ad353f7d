//! Volumes on a disk of their own.

use super::*;

use base::SystemClock;

fn volumes() -> (tempfile::TempDir, Volumes) {
    let folder = tempfile::tempdir().expect("a folder");
    let volumes = Volumes::open(folder.path().join("volumes"), SystemClock::shared()).expect("opened");
    (folder, volumes)
}

fn named(name: &str) -> VolumeOrder {
    VolumeOrder::named(VolumeName::new(name).expect("a name"))
}

#[test]
fn a_volume_asked_for_twice_is_made_once_and_keeps_its_files() {
    let (_folder, volumes) = volumes();
    let first = volumes.ensure(&named("data")).expect("made");
    fs::write(first.mountpoint.join("row"), "1").expect("written");
    let second = volumes.ensure(&named("data")).expect("found");
    assert_eq!(first, second);
    assert_eq!(fs::read_to_string(second.mountpoint.join("row")).expect("read"), "1");
    assert_eq!(volumes.list().expect("listed"), [first]);
}

#[test]
fn a_removed_volume_is_gone_with_its_files() {
    let (folder, volumes) = volumes();
    let volume = volumes.ensure(&named("data")).expect("made");
    volumes.remove(&volume.name).expect("removed");
    assert_eq!(volumes.find(&volume.name).expect("asked"), None);
    assert_eq!(fs::read_dir(folder.path().join("volumes")).expect("read").count(), 0);
    assert!(matches!(volumes.remove(&volume.name), Err(VolumeError::Missing(_))));
}

#[test]
fn what_a_crash_left_half_made_is_no_volume_and_is_taken_over() {
    let (folder, volumes) = volumes();
    fs::create_dir_all(folder.path().join("volumes/data/_data")).expect("half made");
    assert_eq!(volumes.list().expect("listed"), []);
    assert!(volumes.ensure(&named("data")).is_ok());
}

#[test]
fn what_a_crash_left_of_a_removed_volume_never_comes_back() {
    let (folder, volumes) = volumes();
    let home = folder.path().join("volumes");
    let volume = volumes.ensure(&named("data")).expect("made");
    fs::write(volume.mountpoint.join("row"), "1").expect("written");
    // A daemon dies between the two: the record is gone, or the folder has its other name.
    fs::remove_file(home.join("data/volume.json")).expect("removed");
    fs::create_dir_all(home.join(".going-old/_data")).expect("made");
    let volumes = Volumes::open(home.clone(), SystemClock::shared()).expect("opened again");
    assert_eq!(fs::read_dir(&home).expect("read").count(), 0, "nothing is left");
    let volume = volumes.ensure(&named("data")).expect("made");
    assert_eq!(fs::read_dir(&volume.mountpoint).expect("read").count(), 0, "it is empty");
}

#[test]
fn other_drivers_and_file_systems_are_refused_by_name() {
    let (_folder, volumes) = volumes();
    let driver = VolumeOrder { driver: Some("nfs-plugin".into()), ..named("data") };
    let error = volumes.ensure(&driver).expect_err("refused").to_string();
    assert!(error.contains("`nfs-plugin`"), "{error}");
    let options = BTreeMap::from([("type".to_owned(), "nfs".to_owned())]);
    let error = volumes.ensure(&VolumeOrder { options, ..named("data") }).expect_err("refused").to_string();
    assert!(error.contains("`nfs`"), "{error}");
}

#[test]
fn a_bound_volume_is_the_folder_that_it_names() {
    let (folder, volumes) = volumes();
    let device = folder.path().join("mine");
    let text = device.to_str().expect("text").to_owned();
    let options = BTreeMap::from([("o".to_owned(), "bind".to_owned()), ("device".to_owned(), text)]);
    let order = VolumeOrder { options, ..named("data") };
    assert!(matches!(volumes.ensure(&order), Err(VolumeError::Failed { .. })));
    fs::create_dir(&device).expect("made");
    assert_eq!(volumes.ensure(&order).expect("made").mountpoint, device);
    volumes.remove(&order.name).expect("removed");
    assert!(device.is_dir());
}
