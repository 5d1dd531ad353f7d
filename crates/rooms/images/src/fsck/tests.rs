//! Tests of the check: damage is named, and a load mends it.

use std::fs;

use crate::tests::{Fixture, archive, small};

/// Something bad that happens to a store.
type Harm<'a> = Box<dyn Fn(&Fixture) + 'a>;

#[test]
fn every_damage_is_named_and_mended_by_a_load() {
    let image = small("web");
    let blob = format!("blobs/sha256/{}", oci::Digest::sha256(&image.layers[1]).hex());
    let config = format!("blobs/sha256/{}", image.id().hex());
    let damages: [(&str, Harm<'_>); 7] = [
        ("is missing", Box::new(|fixture| fs::remove_file(fixture.path(&blob)).unwrap())),
        ("is missing", Box::new(|fixture| fs::remove_file(fixture.path(&config)).unwrap())),
        (
            "is damaged: content is",
            Box::new(|fixture| {
                let mut bytes = fs::read(fixture.path(&blob)).unwrap();
                bytes[600] ^= 1;
                fs::write(fixture.path(&blob), bytes).unwrap();
            }),
        ),
        (
            "is damaged at `name`",
            Box::new(|fixture| {
                let diff = &fixture.images.find("web").unwrap().lower[0];
                fs::write(diff.join("name"), "bew").unwrap();
            }),
        ),
        (
            "is damaged at `added`",
            Box::new(|fixture| {
                let diff = &fixture.images.find("web").unwrap().lower[0];
                fs::write(diff.join("added"), "").unwrap();
            }),
        ),
        (
            "is damaged at `etc/os`",
            Box::new(|fixture| {
                let diff = &fixture.images.find("web").unwrap().lower[1];
                fs::remove_file(diff.join("etc/os")).unwrap();
            }),
        ),
        (
            "is missing",
            Box::new(|fixture| {
                let diff = &fixture.images.find("web").unwrap().lower[0];
                fs::remove_dir_all(diff).unwrap();
            }),
        ),
    ];
    for (number, (message, damage)) in damages.iter().enumerate() {
        let fixture = Fixture::new();
        fixture.load(&archive(&["web"]));
        damage(&fixture);
        let found = fixture.images.fsck().unwrap();
        assert_eq!(found.damage.len(), 1, "{number}: {found:?}");
        assert!(found.damage[0].what.contains(message), "{number}: {found:?}");
        assert_eq!(found.damage[0].images, ["web:latest"]);
        fixture.load(&archive(&["web"]));
        assert_eq!(fixture.images.fsck().unwrap().damage, [], "{number}");
        assert!(fixture.images.find("web").is_ok());
    }
}
