//! Archives of images in memory, as `docker save` and OCI tools write them.

use oci::{Compression, Descriptor, Digest, ImageConfig, Index, Manifest, MediaType, Platform};
use serde_json::json;

use crate::tar::{Entry, tar};

/// An image for a test.
#[derive(Debug, Clone)]
pub struct TestImage {
    /// Its names, as people write them.
    pub names: Vec<String>,
    /// Its layers as plain tars, the lowest first.
    pub layers: Vec<Vec<u8>>,
    /// Its configuration; the layers are filled in.
    pub config: ImageConfig,
}

impl TestImage {
    /// An image of these layers under one name.
    pub fn new(name: &str, layers: Vec<Vec<u8>>) -> Self {
        Self { names: vec![name.into()], layers, config: ImageConfig::scratch() }
    }

    /// The configuration to the byte; its digest is the image's id.
    pub fn config_bytes(&self) -> Vec<u8> {
        let mut config = self.config.clone();
        config.rootfs.diff_ids = self.layers.iter().map(|layer| Digest::sha256(layer)).collect();
        serde_json::to_vec(&config).expect("a configuration serialises")
    }

    /// Its id.
    pub fn id(&self) -> Digest {
        Digest::sha256(&self.config_bytes())
    }
}

/// What `docker save` of old wrote: `<id>/layer.tar`, `<id>.json` and `manifest.json`.
pub fn docker_save(images: &[TestImage]) -> Vec<u8> {
    let (mut entries, mut manifest) = (Vec::new(), Vec::new());
    for image in images {
        let config = format!("{}.json", image.id().hex());
        let names: Vec<String> =
            image.layers.iter().map(|layer| format!("{}/layer.tar", Digest::sha256(layer).hex())).collect();
        entries.push(Entry::file(&config, image.config_bytes()));
        entries.extend(names.iter().zip(&image.layers).map(|(name, layer)| Entry::file(name, layer)));
        manifest.push(json!({"Config": config, "RepoTags": image.names, "Layers": names}));
    }
    entries.push(Entry::file("manifest.json", json!(manifest).to_string()));
    tar(&entries)
}

/// An OCI layout with one index entry a platform; each layer is packed by `pack`.
pub fn oci_layout(
    name: &str,
    images: &[(Platform, TestImage)],
    compression: Compression,
    pack: fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let mut entries =
        vec![Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#), Entry::dir("blobs/")];
    let mut put = |media: MediaType, bytes: Vec<u8>| {
        let descriptor = Descriptor::new(media, Digest::sha256(&bytes), bytes.len() as u64);
        entries.push(Entry::file(&format!("blobs/sha256/{}", descriptor.digest.hex()), bytes));
        descriptor
    };
    let mut manifests = Vec::new();
    for (platform, image) in images {
        let layers =
            image.layers.iter().map(|layer| put(MediaType::OciLayer(compression), pack(layer))).collect();
        let config = put(MediaType::OciConfig, image.config_bytes());
        let manifest = serde_json::to_vec(&Manifest::new(config, layers)).expect("a manifest serialises");
        let entry = put(MediaType::OciManifest, manifest);
        manifests.push(Descriptor { platform: Some(platform.clone()), ..entry });
    }
    let inner = serde_json::to_vec(&Index::new(manifests)).expect("an index serialises");
    let mut top = put(MediaType::OciIndex, inner);
    top.annotations.insert("org.opencontainers.image.ref.name".into(), name.into());
    let index = serde_json::to_vec(&Index::new(vec![top])).expect("an index serialises");
    entries.push(Entry::file("index.json", index));
    tar(&entries)
}

/// A gzip stream that stores its content as it is.
pub fn gzip_stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut chunks = bytes.chunks(0xffff).peekable();
    if chunks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(chunk) = chunks.next() {
        let len = u16::try_from(chunk.len()).expect("a chunk is no longer than this");
        out.push(u8::from(chunks.peek().is_none()));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    let crc = bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    });
    out.extend_from_slice(&(!crc).to_le_bytes());
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out
}
