//! Tests of commits: a snapshot's changes become a layer, the same for the same changes.

use std::fs;
use std::os::unix::fs::symlink;

use oci::ImageConfig;
use testkit::{Entry, tar};

use super::*;
use crate::compare;
use crate::tests::{Fixture, archive, names};

fn change(upper: &Path) {
    fs::create_dir(upper.join("app")).unwrap();
    fs::write(upper.join("app/run"), "#!").unwrap();
    fs::hard_link(upper.join("app/run"), upper.join("app/walk")).unwrap();
    symlink("/app/run", upper.join("go")).unwrap();
    fs::write(upper.join("app").join("n".repeat(150)), "long").unwrap();
    xattr::set(upper.join("app/run"), "user.note", b"kept").unwrap();
    let root = crate::tree::open_root(upper).unwrap();
    crate::tree::make_whiteout(std::os::fd::AsFd::as_fd(&root), b"name").unwrap();
    xattr::set(upper.join("app"), "trusted.overlay.opaque", b"y").unwrap();
}

#[test]
fn a_snapshot_becomes_a_layer_that_unpacks_as_itself_everywhere() {
    let fixture = Fixture::new();
    let parent = fixture.load(&archive(&["web"]))[0].id.clone();
    let options = PackOptions { latest_mtime: Some(1_700_000_000) };
    let mut hold = fixture.images.hold();
    let ids: Vec<ImageId> = (0..2)
        .map(|number| {
            let key = format!("build{number}");
            change(&fixture.images.snapshot(&parent, &key).unwrap().upper);
            let layer = LayerSource::Snapshot(&key, options);
            fixture.images.commit(&mut hold, Some(&parent), layer, ImageConfig::scratch()).unwrap()
        })
        .collect();
    assert_eq!(ids[0], ids[1], "the same changes make the same image");
    assert!(fixture.images.snapshots().is_empty() && names(&fixture.path("snapshots")).is_empty());
    let image = fixture.images.find(&ids[0].to_string()).unwrap();
    assert_eq!(image.chain.len(), 3);
    assert_eq!(fs::read_to_string(image.lower[0].join("app/walk")).unwrap(), "#!");
    assert_eq!(fixture.images.fsck().unwrap().damage, [], "the layer taken is what its tar unpacks to");
    fixture.images.tag(&ids[0].to_string(), &"built:1".parse().unwrap()).unwrap();
    let mut saved = Vec::new();
    fixture.images.save(["built:1"], &mut saved).unwrap();
    let other = Fixture::new();
    assert_eq!(other.load(&saved)[0].id, ids[0]);
    let lower = &other.images.find("built:1").unwrap().lower[0];
    assert_eq!(compare::first_difference(lower, &image.lower[0]).unwrap(), None);
    assert_eq!(xattr::get(lower.join("app/run"), "user.note").unwrap().unwrap(), b"kept");
    assert_eq!(xattr::get(lower.join("app"), "trusted.overlay.opaque").unwrap().unwrap(), b"y");
}

#[test]
fn the_last_layer_of_an_image_is_laid_upon_another() {
    let fixture = Fixture::new();
    let parent = fixture.load(&archive(&["web"]))[0].id.clone();
    let mut hold = fixture.images.hold();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("app")).unwrap();
    fs::write(dir.path().join("app/run"), "#!").unwrap();
    let layer = LayerSource::Dir(dir.path(), PackOptions::default());
    let alone = fixture.images.commit(&mut hold, None, layer, ImageConfig::scratch()).unwrap();
    let lay = |hold: &mut Hold, parent| {
        fixture.images.commit(hold, parent, LayerSource::LastOf(&alone), ImageConfig::scratch()).unwrap()
    };
    let laid = lay(&mut hold, Some(&parent));
    assert_eq!(lay(&mut hold, Some(&parent)), laid);
    assert_eq!(lay(&mut hold, None), alone, "upon nothing it is itself");
    drop(hold);
    fixture.images.tag(&laid.to_string(), &"laid:1".parse().unwrap()).unwrap();
    fixture.images.collect(&crate::Keep::default(), false).unwrap();
    assert!(fixture.images.find(&alone.to_string()).is_err(), "nobody keeps it");
    let image = fixture.images.find("laid:1").unwrap();
    assert_eq!(image.chain.len(), fixture.images.find("web").map_or(3, |web| web.chain.len() + 1));
    assert_eq!(fs::read_to_string(image.lower[0].join("app/run")).unwrap(), "#!");
    assert_eq!(fixture.images.fsck().unwrap().damage, []);
}

#[test]
fn a_folder_and_a_tar_become_layers_above_nothing() {
    let fixture = Fixture::new();
    let mut hold = fixture.images.hold();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "content").unwrap();
    let layer = LayerSource::Dir(dir.path(), PackOptions { latest_mtime: Some(0) });
    let one = fixture.images.commit(&mut hold, None, layer, ImageConfig::scratch()).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "content", "the folder stays");
    let packed = zstd::encode_all(&tar(&[Entry::file("file", "newer")])[..], 1).unwrap();
    let layer = LayerSource::Tar(&mut &packed[..]);
    let two = fixture.images.commit(&mut hold, Some(&one), layer, ImageConfig::scratch()).unwrap();
    let mut config = ImageConfig::scratch();
    config.config.cmd = Some(vec!["/file".into()]);
    let three = fixture.images.commit(&mut hold, Some(&two), LayerSource::None, config).unwrap();
    let image = fixture.images.find(&three.to_string()).unwrap();
    assert_eq!((image.lower.len(), image.config.rootfs.diff_ids.len()), (2, 2));
    assert_eq!(fs::read_to_string(image.lower[0].join("file")).unwrap(), "newer");
    assert_eq!(fixture.images.fsck().unwrap().damage, []);
    let hostile = tar(&[Entry::file("../x", "")]);
    let layer = LayerSource::Tar(&mut &hostile[..]);
    assert!(fixture.images.commit(&mut hold, None, layer, ImageConfig::scratch()).is_err());
    let missing = LayerSource::Snapshot("nowhere", PackOptions::default());
    assert!(matches!(
        fixture.images.commit(&mut hold, None, missing, ImageConfig::scratch()),
        Err(CommitError::NoSnapshot(_))
    ));
}

#[test]
fn a_build_step_is_remembered_and_what_it_made_is_held() {
    let fixture = Fixture::new();
    let mut hold = fixture.images.hold();
    let mut step = |name: &str| {
        let layer = tar(&[Entry::file(name, "")]);
        let layer = LayerSource::Tar(&mut &layer[..]);
        fixture.images.commit(&mut hold, None, layer, ImageConfig::scratch()).unwrap()
    };
    let (cached, loose) = (step("cached"), step("loose"));
    fixture.images.cache_put("key", &cached).unwrap();
    let keep = crate::Keep::default();
    assert_eq!(fixture.images.collect(&keep, false).unwrap().images, [], "the build holds both");
    drop(hold);
    assert_eq!(fixture.images.collect(&keep, false).unwrap().images, [loose]);
    let fixture = fixture.reopened();
    assert_eq!(fixture.images.cache_get("key"), Some(cached.clone()));
    assert!(fixture.images.find(&cached.to_string()).unwrap().intermediate);
    assert_eq!(fixture.images.prune(crate::Prune::All, &keep, false).unwrap().cached_steps, 1);
    assert_eq!(fixture.images.cache_get("key"), None);
    assert!(names(&fixture.path("layers")).is_empty());
}

#[test]
fn the_build_cache_forgets_what_was_used_longest_ago() {
    let fixture = Fixture::with(crate::Limits { cached_steps: 2, ..crate::Limits::default() });
    let id = fixture.load(&archive(&["x"]))[0].id.clone();
    for key in ["a", "b"] {
        fixture.images.cache_put(key, &id).unwrap();
    }
    assert!(fixture.images.cache_get("a").is_some());
    fixture.images.cache_put("c", &id).unwrap();
    let left = ["a", "b", "c"].map(|key| fixture.images.cache_get(key).is_some());
    assert_eq!(left, [true, false, true]);
}

#[test]
fn devices_that_a_container_made_stay_out_of_its_image_and_out_of_no_other() {
    let fixture = Fixture::new();
    let parent = fixture.load(&archive(&["web"]))[0].id.clone();
    let dir = tempfile::tempdir().unwrap();
    change(dir.path());
    let root = crate::tree::open_root(dir.path()).unwrap();
    let (null, mode) = (rustix::fs::makedev(1, 3), rustix::fs::Mode::from_raw_mode(0o666));
    rustix::fs::mknodat(&root, "app/null", rustix::fs::FileType::CharacterDevice, mode, null).unwrap();
    let mut hold = fixture.images.hold();
    let layer = LayerSource::Upper(dir.path(), &[]);
    let made = fixture.images.commit(&mut hold, Some(&parent), layer, ImageConfig::scratch()).unwrap();
    let image = fixture.images.find(&made.to_string()).unwrap();
    assert!(image.lower[0].join("app/run").exists() && !image.lower[0].join("app/null").exists());
    assert!(dir.path().join("app/null").exists(), "the container keeps it");
    let layer = LayerSource::Dir(dir.path(), PackOptions::default());
    let refused = fixture.images.commit(&mut hold, Some(&parent), layer, ImageConfig::scratch()).unwrap_err();
    let refused = base::Report::of(&refused).to_string();
    assert!(refused.contains("app/null") && refused.contains("is a device node"), "{refused}");
}

#[test]
fn a_crash_at_any_point_of_a_commit_leaves_the_store_whole() {
    let mut finished = false;
    for crash in 0..60 {
        let fixture = Fixture::new();
        let parent = fixture.load(&archive(&["web"]))[0].id.clone();
        change(&fixture.images.snapshot(&parent, "build").unwrap().upper);
        fixture.images.0.faults.crash_at(crash);
        let mut hold = fixture.images.hold();
        let layer = LayerSource::Snapshot("build", PackOptions::default());
        finished = fixture.images.commit(&mut hold, Some(&parent), layer, ImageConfig::scratch()).is_ok();
        drop(hold);
        let fixture = fixture.reopened();
        assert_eq!(fixture.images.fsck().unwrap().damage, [], "crash at {crash}");
        assert!(fixture.images.find("web").is_ok());
        fixture.images.drop_snapshot("build").unwrap();
        fixture.images.collect(&crate::Keep::default(), false).unwrap();
        assert_eq!(names(&fixture.path("layers")).len(), 2, "crash at {crash}");
        if finished {
            break;
        }
    }
    assert!(finished, "the points never ran out");
}
