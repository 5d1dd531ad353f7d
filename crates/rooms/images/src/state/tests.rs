//! Tests of the record: its form on disk is fixed, and a damaged or newer one is told, never overwritten.

use std::fs;

use base::Problem as _;
use expect_test::expect;
use oci::Digest;

use super::*;
use crate::{Images, OpenError};

fn sample() -> Record {
    let digest = |text: &str| Digest::sha256(text.as_bytes());
    let layer = LayerRecord {
        chain_id: digest("chain"),
        diff_id: digest("diff"),
        blob: digest("blob"),
        packing: Packing::Gzip,
        blob_size: 10,
        tar_size: 2048,
        size: 7,
    };
    let id = ImageId(digest("image"));
    Record {
        version: VERSION,
        images: BTreeMap::from([(
            id.clone(),
            ImageRecord { layers: vec![layer], ..ImageRecord::new(Timestamp(1_700_000_000)) },
        )]),
        names: BTreeMap::from([("web:1".parse().unwrap(), id)]),
    }
}

#[test]
fn the_record_on_disk_keeps_its_form() {
    let golden = expect![[r#"
        {
          "version": 1,
          "images": {
            "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d": {
              "added": 1700000000,
              "layers": [
                {
                  "chain_id": "sha256:9414886b1ebf025db067a4cbd13a0903fbd9733a5372bba1b58bd72c1699b798",
                  "diff_id": "sha256:df087996d45b03e7eb8c133c0298fd98d35113fca26aaba58612fef3cc212cad",
                  "blob": "sha256:fa2c8cc4f28176bbeed4b736df569a34c79cd3723e9ec42f9674b4d46ac6b8b8",
                  "packing": "gzip",
                  "blob_size": 10,
                  "tar_size": 2048,
                  "size": 7
                }
              ]
            }
          },
          "names": {
            "docker.io/library/web:1": "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"
          }
        }"#]];
    let text = serde_json::to_string_pretty(&sample()).unwrap();
    golden.assert_eq(&text);
    assert_eq!(serde_json::from_str::<Record>(golden.data()).unwrap(), sample());
}

#[test]
fn what_registries_call_an_image_is_kept_too() {
    let golden = expect![[r#"
        {
          "added": 1700000000,
          "layers": [],
          "digests": [
            "docker.io/library/web@sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"
          ],
          "manifest": "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d",
          "pulled": 1700000001
        }"#]];
    let digest = Digest::sha256(b"image");
    let record = ImageRecord {
        digests: BTreeSet::from([format!("web@{digest}").parse().unwrap()]),
        manifest: Some(digest),
        pulled: Some(Timestamp(1_700_000_001)),
        ..ImageRecord::new(Timestamp(1_700_000_000))
    };
    golden.assert_eq(&serde_json::to_string_pretty(&record).unwrap());
    assert_eq!(serde_json::from_str::<ImageRecord>(golden.data()).unwrap(), record);
}

#[test]
fn a_damaged_or_newer_record_is_told_and_stays_as_it_is() {
    for (text, message) in
        [("{\"version\": 1, \"ima", "is damaged"), ("", "is damaged"), ("{\"version\": 99}", "version 99")]
    {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("images.json"), text).unwrap();
        let Err(error) = Images::open(dir.path()) else { panic!("`{text}` opened") };
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().is_some());
        assert_eq!(fs::read_to_string(dir.path().join("images.json")).unwrap(), text);
    }
}

#[test]
fn a_folder_is_open_in_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = Images::open(dir.path()).unwrap();
    assert!(matches!(Images::open(dir.path()), Err(OpenError::InUse { .. })));
    drop(first);
    Images::open(dir.path()).unwrap();
}
