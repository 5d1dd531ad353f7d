//! Manifests and indexes: by tag or digest, held to their digest, and chosen by platform.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use oci::{Algorithm, Digest, Document, Index, Manifest, MediaType, Platform, Verifier};

use super::answer::{Answer, looks_like_html};
use super::repository::{Action, Repository};
use super::transport::{Call, Content};
use super::{CallError, ImageError, ManifestError, PushError};
use crate::words::MANIFEST_BYTES;

/// The kinds that we read, the most telling first.
const KINDS: [MediaType; 4] =
    [MediaType::OciIndex, MediaType::DockerIndex, MediaType::OciManifest, MediaType::DockerManifest];

/// Indexes within indexes go no deeper.
const DEPTH: usize = 4;

/// What a registry says the digest of an answer is.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A manifest or index to the byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Of these bytes.
    pub digest: Digest,
    /// What it is.
    pub media_type: MediaType,
    /// As it came.
    pub bytes: Bytes,
}

/// The manifest for a platform, and how it was found.
#[derive(Debug, Clone)]
pub struct Image {
    /// What the tag means: the index if there is one. It names the image at its registry.
    pub digest: Digest,
    /// The manifest to the byte.
    pub raw: Raw,
    /// The manifest.
    pub manifest: Manifest,
}

impl Repository {
    /// The manifest or index of a tag or digest.
    pub async fn manifest(&self, which: &str) -> Result<Raw, ManifestError> {
        let target = format!("/v2/{}/manifests/{which}", self.path);
        let mut answer = self
            .read(|| accepting(Call::new(Method::GET, &target)))
            .await
            .map_err(|e| self.missing(which, e))?;
        let announced = answer.named(CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok());
        let kind = answer.content_type().map(str::to_owned);
        let bytes = answer.collect(MANIFEST_BYTES, "a manifest").await?;
        if looks_like_html(&bytes) {
            let (registry, status) = (self.registry().to_owned(), answer.status.as_u16());
            return Err(CallError::NotARegistry { registry, status, found: "a page of HTML".into() }.into());
        }
        let want = which.parse::<Digest>().ok().or(announced);
        let digest = held_to(&bytes, want).map_err(|(want, got)| ManifestError::Damaged {
            image: self.called(which),
            want,
            got,
        })?;
        Ok(Raw { digest, media_type: media_type(kind, &bytes), bytes })
    }

    /// The digest of a tag's manifest or index, without its bytes where the registry can do that; none if there is none.
    pub async fn digest(&self, which: &str) -> Result<Option<Digest>, ManifestError> {
        let target = format!("/v2/{}/manifests/{which}", self.path);
        let answer = match self.read(|| accepting(Call::new(Method::HEAD, &target))).await {
            Err(error) if error.is_missing() => return Ok(None),
            answer => answer?,
        };
        let announced = answer.named(CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok());
        answer.done().await?;
        match announced {
            Some(digest) => Ok(Some(digest)),
            None => self.manifest(which).await.map(|raw| Some(raw.digest)),
        }
    }

    /// The image of a tag or digest that runs best on a platform.
    pub async fn image(&self, which: &str, platform: &Platform) -> Result<Image, ImageError> {
        let top = self.manifest(which).await?;
        let digest = top.digest.clone();
        let mut raw = top;
        for _ in 0..DEPTH {
            match self.document(which, &raw)? {
                Document::Manifest(manifest) => {
                    return Ok(Image { digest, raw, manifest: *manifest });
                }
                Document::Index(index) => {
                    let chosen =
                        index.choose(platform).ok_or_else(|| self.other_machine(which, platform, &index))?;
                    raw = self.manifest(&chosen.digest.to_string()).await?;
                }
            }
        }
        Err(ImageError::NoImage { image: self.called(which), media_type: raw.media_type })
    }

    fn document(&self, which: &str, raw: &Raw) -> Result<Document, ImageError> {
        if !raw.media_type.is_index() && !raw.media_type.is_manifest() {
            return Err(ImageError::NoImage {
                image: self.called(which),
                media_type: raw.media_type.clone(),
            });
        }
        let broken = |source| ImageError::NotADocument { image: self.called(which), source };
        if raw.media_type.is_index() {
            return serde_json::from_slice::<Index>(&raw.bytes).map(Document::Index).map_err(broken);
        }
        serde_json::from_slice::<Manifest>(&raw.bytes)
            .map(|manifest| Document::Manifest(Box::new(manifest)))
            .map_err(broken)
    }

    fn other_machine(&self, which: &str, wanted: &Platform, index: &Index) -> ImageError {
        let platforms = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
        let theirs = platforms.filter(|platform| platform.os != "unknown").map(ToString::to_string).collect();
        ImageError::OtherMachine { image: self.called(which), wanted: wanted.to_string(), theirs }
    }

    /// Puts a manifest or index under a tag, or under its digest.
    pub async fn put_manifest(
        &self,
        which: &str,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<Digest, PushError> {
        let target = format!("/v2/{}/manifests/{which}", self.path);
        let (want, patience) = (Digest::sha256(&bytes), self.client.settings().timeouts.commit);
        let call = || {
            Call::new(Method::PUT, &target)
                .header(CONTENT_TYPE, media_type.as_str())
                .body(Content::Bytes(bytes.clone()))
                .patience(patience)
        };
        let answer = self.write(Action::Push, call).await?;
        let got = answer.named(CONTENT_DIGEST).map(str::to_owned);
        answer.done().await?;
        match got {
            Some(got) if got != want.to_string() && got.starts_with("sha256:") => {
                Err(PushError::Changed { registry: self.registry().to_owned(), want, got })
            }
            Some(_) | None => Ok(want),
        }
    }

    /// Takes a tag or, by digest, a manifest with all its tags away; false if there was none.
    pub async fn delete_manifest(&self, which: &str) -> Result<bool, CallError> {
        let target = format!("/v2/{}/manifests/{which}", self.path);
        match self.write(Action::Delete, || Call::new(Method::DELETE, &target)).await {
            Err(error) if error.is_missing() => Ok(false),
            answer => answer?.done().await.map(|()| true),
        }
    }

    fn missing(&self, which: &str, error: CallError) -> ManifestError {
        if error.is_missing() {
            return ManifestError::Missing {
                image: self.called(which),
                registry: self.registry().to_owned(),
            };
        }
        ManifestError::Call(error)
    }

    /// The image as people write it.
    pub(super) fn called(&self, which: &str) -> String {
        let joint = if which.contains(':') { '@' } else { ':' };
        format!("{}{joint}{which}", self.path)
    }
}

fn accepting(mut call: Call) -> Call {
    for kind in &KINDS {
        call = call.header(ACCEPT, kind.as_str());
    }
    call.header(ACCEPT, "*/*;q=0.1")
}

/// The digest of the bytes, if it is the one that is wanted.
fn held_to(bytes: &Bytes, want: Option<Digest>) -> Result<Digest, (Digest, Digest)> {
    let got = Digest::sha256(bytes);
    let Some(want) = want else { return Ok(got) };
    match want.algorithm() {
        Algorithm::Sha256 if want == got => Ok(got),
        Algorithm::Sha256 => Err((want, got)),
        Algorithm::Sha512 => {
            let mut verifier = Verifier::new(std::io::sink(), want.clone());
            let taken = std::io::Write::write_all(&mut verifier, bytes);
            match taken.is_ok() && verifier.finish().is_ok() {
                true => Ok(want),
                false => Err((want, got)),
            }
        }
    }
}

/// What a document says it is; only one that says nothing is what the answer's header says.
fn media_type(header: Option<String>, bytes: &[u8]) -> MediaType {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        #[serde(default)]
        media_type: Option<MediaType>,
        #[serde(default)]
        manifests: Option<serde::de::IgnoredAny>,
    }
    let own = serde_json::from_slice::<Own>(bytes).ok();
    let header = header.map(MediaType::from).filter(|kind| kind.is_index() || kind.is_manifest());
    match own {
        Some(Own { media_type: Some(kind), .. }) => kind,
        Some(Own { manifests: Some(_), .. }) => header.unwrap_or(MediaType::OciIndex),
        Some(_) | None => header.unwrap_or(MediaType::OciManifest),
    }
}

impl Answer {
    /// The digest that the registry gives what it took or has.
    pub(super) fn content_digest(&self) -> Option<Digest> {
        self.named(CONTENT_DIGEST)?.parse().ok()
    }
}
