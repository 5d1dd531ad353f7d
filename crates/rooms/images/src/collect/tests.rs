//! Tests of the collection: what is needed stays, what is not goes, and a dry run only says so.

use crate::tests::{Fixture, archive, names};
use crate::{ImageId, Keep, Prune};

fn loaded(names: &[&str]) -> (Fixture, Vec<ImageId>) {
    let fixture = Fixture::new();
    let ids = fixture.load(&archive(names)).into_iter().map(|image| image.id).collect();
    (fixture, ids)
}

#[test]
fn what_a_container_or_a_kept_release_needs_stays() {
    let (fixture, ids) = loaded(&["named", "container", "release", "nobody"]);
    for name in ["container", "release", "nobody"] {
        fixture.images.tag("named", &name.parse().unwrap()).unwrap();
    }
    fixture.images.snapshot(&ids[1], "c1").unwrap();
    let keep = Keep { images: [ids[2].clone()].into(), snapshots: None };
    let dry = fixture.images.collect(&keep, true).unwrap();
    assert_eq!(fixture.images.list().len(), 4, "a dry run takes nothing");
    let collected = fixture.images.collect(&keep, false).unwrap();
    assert_eq!(collected.images, [ids[3].clone()]);
    assert!(collected.freed > 0);
    assert_eq!(dry, collected);
    assert_eq!(names(&fixture.path("layers")).len(), 4);
    assert_eq!(fixture.images.fsck().unwrap().damage, []);
    let all = fixture.images.prune(Prune::All, &keep, false).unwrap();
    assert_eq!(all.images, [ids[0].clone()]);
    assert_eq!(fixture.images.usage().images, 2);
}

#[test]
fn snapshots_of_an_earlier_process_go_when_no_container_has_them() {
    let (fixture, ids) = loaded(&["web"]);
    for key in ["kept", "stray"] {
        fixture.images.snapshot(&ids[0], key).unwrap();
    }
    let keep = Keep { images: [].into(), snapshots: Some(["kept".to_owned()].into()) };
    assert!(fixture.images.collect(&keep, false).unwrap().snapshots.is_empty(), "this process made them");
    let fixture = fixture.reopened();
    fixture.images.snapshot(&ids[0], "fresh").unwrap();
    assert!(fixture.images.collect(&Keep::default(), false).unwrap().snapshots.is_empty());
    assert_eq!(fixture.images.collect(&keep, false).unwrap().snapshots, ["stray"]);
    assert_eq!(names(&fixture.path("snapshots")), ["fresh", "kept"]);
}

#[test]
fn a_crash_at_any_point_of_a_collection_leaves_the_store_whole() {
    let mut finished = false;
    for crash in 0..60 {
        let (fixture, _) = loaded(&["a", "b"]);
        fixture.images.tag("a", &"b".parse().unwrap()).unwrap();
        fixture.images.0.faults.crash_at(crash);
        finished = fixture.images.collect(&Keep::default(), false).is_ok();
        let fixture = fixture.reopened();
        assert_eq!(fixture.images.fsck().unwrap().damage, [], "crash at {crash}");
        fixture.images.collect(&Keep::default(), false).unwrap();
        assert_eq!(names(&fixture.path("layers")).len(), 2, "crash at {crash}");
        if finished {
            break;
        }
    }
    assert!(finished, "the points never ran out");
}
