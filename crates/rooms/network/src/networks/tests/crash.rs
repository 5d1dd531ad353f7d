//! A daemon that dies in the middle of things, and the next one that settles them.

use crate::Tag;
use crate::order::Settled;
use crate::pool::default_pools;
use crate::realm::{CrashPoint, Realm};
use crate::testbed::{Place, container, ip, joins, network, order};
use base::Timestamp;

const POINTS: [CrashPoint; 3] = [CrashPoint::Recorded, CrashPoint::LinkMade, CrashPoint::Finished];

/// The realm of a root as a new daemon finds it; with a point at which it will die.
fn realm(root: &std::path::Path, crash: Option<CrashPoint>) -> Realm {
    let mut realm = Realm::open(Tag::of_root(root), &root.join("network"), default_pools()).unwrap();
    realm.crash = crash;
    realm
}

/// The links of this root.
fn links(host: &Place) -> Vec<String> {
    let all = host.shell("ip -o link | cut -d: -f2 | cut -d@ -f1");
    all.split_whitespace()
        .filter(|l| l.starts_with("sea") || l.starts_with("sev"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_network_whose_making_was_cut_short_is_whole_after_settling() {
    for point in POINTS {
        let (host, root, place) = (Place::new(), tempfile::tempdir().unwrap(), Place::new());
        host.inside(|| {
            let made = realm(root.path(), Some(point)).create(&order("shop"), Timestamp(0)).unwrap();
            let mut next = realm(root.path(), None);
            next.settle(&[]).unwrap();
            assert_eq!(
                next.settle(&[]).unwrap(),
                Settled::default(),
                "{point:?}: a second time finds nothing to do"
            );
            assert_eq!(links(&host), std::slice::from_ref(&made.bridge), "{point:?}");
            let joined = next.attach(&network("shop"), &joins(1, &place)).unwrap();
            assert!(host.reaches(ip(joined.ipv4), place.greets()), "{point:?}");
            assert!(host.shell("nft list ruleset").contains(&made.bridge), "{point:?}");
        });
    }
}

#[test]
fn a_network_whose_removal_was_cut_short_is_gone_after_settling() {
    for point in POINTS {
        let (host, root) = (Place::new(), tempfile::tempdir().unwrap());
        let before = host.state();
        host.inside(|| {
            realm(root.path(), None).create(&order("shop"), Timestamp(0)).unwrap();
            realm(root.path(), Some(point)).remove(&network("shop")).unwrap();
            let mut next = realm(root.path(), None);
            next.settle(&[]).unwrap();
            assert!(next.list().is_empty());
        });
        assert_eq!(host.state(), before, "{point:?}");
    }
}

#[test]
fn a_joining_that_was_cut_short_is_undone_and_can_be_done_again() {
    for point in POINTS {
        let (host, root, place) = (Place::new(), tempfile::tempdir().unwrap(), Place::new());
        host.inside(|| {
            let bridge = realm(root.path(), None).create(&order("shop"), Timestamp(0)).unwrap().bridge;
            let order = joins(1, &place);
            realm(root.path(), Some(point)).attach(&network("shop"), &order).unwrap();
            let mut next = realm(root.path(), None);
            let settled = next.settle(&[container(1)]).unwrap();
            // At `LinkMade` the crash spares the record's last word: it is then as a link that somebody broke.
            if point != CrashPoint::LinkMade {
                assert_eq!(settled.lost, [(container(1), network("shop"))], "{point:?}");
                assert_eq!(links(&host), [bridge], "{point:?}");
            }
            next.detach_all(&container(1)).unwrap();
            let joined = next.attach(&network("shop"), &order).unwrap();
            assert!(host.reaches(ip(joined.ipv4), place.greets()), "{point:?}");
            assert_eq!(next.settle(&[container(1)]).unwrap(), Settled::default(), "{point:?}");
        });
    }
}

#[test]
fn settling_keeps_the_living_and_releases_the_dead() {
    let (host, root) = (Place::new(), tempfile::tempdir().unwrap());
    let (one, two) = (Place::new(), Place::new());
    host.inside(|| {
        let mut first = realm(root.path(), None);
        first.create(&order("shop"), Timestamp(0)).unwrap();
        let lives = first.attach(&network("shop"), &joins(1, &one)).unwrap();
        let dies = first.attach(&network("shop"), &joins(2, &two)).unwrap();
        let port = one.greets();
        drop(first);
        let mut next = realm(root.path(), None);
        let settled = next.settle(&[container(1)]).unwrap();
        assert_eq!(settled.released, [(container(2), network("shop"))]);
        assert_eq!(settled.links_removed, [dies.host_interface]);
        assert!(host.reaches(ip(lives.ipv4), port));
        assert_eq!(next.attachments(&container(1)), std::slice::from_ref(&lives));

        // Somebody takes the bridge away, and then the container's link: both come back.
        host.shell(&format!("ip link delete {}", next.list()[0].bridge));
        let settled = next.settle(&[container(1)]).unwrap();
        assert_eq!(settled.bridges_restored, [network("shop")]);
        assert_eq!(settled.attachments_restored, [(container(1), network("shop"))]);
        assert!(host.reaches(ip(lives.ipv4), port));
        host.shell(&format!("ip link delete {}", lives.host_interface));
        let settled = next.settle(&[container(1)]).unwrap();
        assert_eq!(settled.attachments_restored, [(container(1), network("shop"))]);
        assert!(host.reaches(ip(lives.ipv4), port));
        next.destroy().unwrap();
        assert!(links(&host).is_empty());
    });
}

#[test]
fn after_a_reboot_networks_come_back_and_attachments_do_not() {
    let (before, after, root) = (Place::new(), Place::new(), tempfile::tempdir().unwrap());
    let place = Place::new();
    let bridge = before.inside(|| {
        let mut realm = realm(root.path(), None);
        let view = realm.create(&order("shop"), Timestamp(0)).unwrap();
        realm.attach(&network("shop"), &joins(1, &place)).unwrap();
        view.bridge
    });
    after.inside(|| {
        let mut realm = realm(root.path(), None);
        let settled = realm.settle(&[]).unwrap();
        assert_eq!(settled.bridges_restored, [network("shop")]);
        assert_eq!(settled.released, [(container(1), network("shop"))]);
        assert_eq!(links(&after), [bridge]);
    });
}
