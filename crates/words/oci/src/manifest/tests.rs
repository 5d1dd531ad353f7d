//! Tests of manifests and indexes: nothing is lost on the way through, and ours is chosen.

use serde_json::{Value, json};

use super::*;

fn entry(os: &str, architecture: &str, content: &str) -> Descriptor {
    let digest = Digest::sha256(content.as_bytes());
    Descriptor {
        platform: Some(Platform::new(os, architecture)),
        ..Descriptor::new(MediaType::OciManifest, digest, 1)
    }
}

#[test]
fn a_document_read_and_written_again_loses_nothing() {
    let digest = Digest::sha256(b"").to_string();
    let text = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest, "size": 7, "urls": ["x"]},
        "layers": [{"mediaType": "application/vnd.new", "digest": digest, "size": 0, "annotations": {"a": "b"}}],
        "subject": {"mediaType": "x"},
    });
    let document: Document = serde_json::from_value(text.clone()).unwrap();
    let Document::Manifest(manifest) = document else { panic!("not read as a manifest") };
    assert_eq!(manifest.layers[0].media_type, MediaType::Other("application/vnd.new".into()));
    assert_eq!(serde_json::to_value::<&Manifest>(&manifest).unwrap(), text);
}

#[test]
fn the_manifest_of_this_machine_is_chosen_among_others() {
    let ours = Platform::new("linux", "arm64");
    let unnamed = Descriptor::new(MediaType::OciManifest, Digest::sha256(b"any"), 1);
    let index = Index::new(vec![
        entry("unknown", "unknown", "attestation"),
        unnamed.clone(),
        entry("linux", "amd64", "amd"),
        entry("linux", "arm64", "arm"),
    ]);
    assert_eq!(index.choose(&ours).unwrap().digest, Digest::sha256(b"arm"));
    assert_eq!(index.choose(&Platform::new("linux", "s390x")), Some(&unnamed));
    assert_eq!(Index::new(vec![entry("linux", "amd64", "amd")]).choose(&ours), None);
}

#[test]
fn every_known_media_type_reads_back_as_itself() {
    for text in
        ["application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.docker.image.rootfs.diff.tar.gzip"]
    {
        let media: MediaType = serde_json::from_value(Value::from(text)).unwrap();
        assert!(!matches!(media, MediaType::Other(_)), "{text}");
        assert_eq!(media.as_str(), text);
    }
}
