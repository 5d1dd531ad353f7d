//! Manifests and indexes: looked at, put after a look at all that they name, and taken away.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use oci::{Descriptor, Digest, Index, Manifest, MediaType, Verifier};

use super::Registry;
use super::answer::{Answer, Refusal, empty, with};
use super::files::Files;
use super::index::{Changing, ManifestRow, Repositories};
use crate::words::{Code, MANIFEST_BYTES};

impl Registry {
    /// `GET` and `HEAD /v2/<name>/manifests/<tag or digest>`.
    pub(super) async fn get_manifest(&self, name: &str, which: &str, request: Request) -> Answer {
        check_which(which)?;
        let head = *request.method() == Method::HEAD;
        let (digest, row) = match self.0.options.mirror.is_some() {
            true => self.mirrored_manifest(name, which).await?,
            false => self.0.index.manifest(name, which).ok_or_else(|| unknown(name, which))?,
        };
        let text = digest.to_string();
        let etag = format!("\"{digest}\"");
        let headers = [
            ("docker-content-digest", text.as_str()),
            ("content-type", row.media_type.as_str()),
            ("etag", etag.as_str()),
        ];
        let known = request.headers().get("if-none-match").and_then(|known| known.to_str().ok());
        if known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_matches('"') == text)) {
            return Ok(empty(StatusCode::NOT_MODIFIED, &headers));
        }
        let body = if head {
            Body::empty()
        } else {
            let path = self.0.files.blob(&digest);
            let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
            let bytes = read.map_err(std::io::Error::other).and_then(|read| read);
            bytes.map_err(|_| unknown(name, which))?.into()
        };
        let mut response = with(StatusCode::OK, &headers, body);
        response.headers_mut().insert("content-length", row.size.into());
        Ok(response)
    }

    /// `PUT /v2/<name>/manifests/<tag or digest>`.
    pub(super) async fn put_manifest(&self, name: &str, which: &str, request: Request) -> Answer {
        if self.0.options.mirror.is_some() {
            return Err(Refusal::mirror());
        }
        check_which(which)?;
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, MANIFEST_BYTES).await.map_err(|error| {
            let text = format!("a manifest may have {}: {error}", base::Bytes(MANIFEST_BYTES as u64));
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, text)
        })?;
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim().to_owned());
        let row = read_manifest(&bytes, kind, self.now())?;
        let (digest, tag) = match which.parse::<Digest>() {
            Ok(digest) => (held_to(&bytes, digest)?, None),
            Err(_) => (Digest::sha256(&bytes), Some(which)),
        };
        // Written before the others are made to wait.
        let fresh = self.0.files.write(&bytes)?;
        let subject = row.subject.clone();
        let put = self.enter(name, &digest, row, tag, &fresh).await;
        super::files::remove(&fresh)?;
        put?;
        let (location, digest) = (format!("/v2/{name}/manifests/{digest}"), digest.to_string());
        let mut headers = vec![
            ("location", location.as_str()),
            ("docker-content-digest", &digest),
            ("content-length", "0"),
        ];
        let subject = subject.map(|subject| subject.to_string());
        headers.extend(subject.as_ref().map(|subject| ("oci-subject", subject.as_str())));
        Ok(empty(StatusCode::CREATED, &headers))
    }

    async fn enter(
        &self,
        name: &str,
        digest: &Digest,
        row: ManifestRow,
        tag: Option<&str>,
        fresh: &std::path::Path,
    ) -> Result<(), Refusal> {
        let changing = self.0.index.changing().await;
        present(&changing, &self.0.files, name, &row)?;
        self.0.files.place(fresh, digest)?;
        changing.put(name, digest, row, tag).await?;
        Ok(())
    }

    /// `DELETE /v2/<name>/manifests/<tag or digest>`.
    pub(super) async fn delete_manifest(&self, name: &str, which: &str) -> Answer {
        self.may_delete()?;
        check_which(which)?;
        let gone = match which.parse::<Digest>() {
            Ok(digest) => self.0.index.remove_manifests(name, vec![digest]).await?,
            Err(_) => self.0.index.remove_tags(name, vec![which.to_owned()]).await?,
        };
        match gone {
            true => Ok(empty(StatusCode::ACCEPTED, &[("content-length", "0")])),
            false => Err(unknown(name, which)),
        }
    }
}

pub(super) fn unknown(name: &str, which: &str) -> Refusal {
    let text = format!("there is no manifest `{which}` in `{name}`");
    Refusal::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, text)
}

/// A tag or a digest, and nothing else.
fn check_which(which: &str) -> Result<(), Refusal> {
    if which.contains(':') {
        return which.parse::<Digest>().map(drop).map_err(|_| Refusal::bad_digest(which));
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let fits = which.len() <= 128
        && which.bytes().next().is_some_and(word)
        && which.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
    if fits {
        return Ok(());
    }
    let shown: String = which.chars().take(140).collect();
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        Code::ManifestInvalid,
        format!("`{shown}` is neither tag nor digest"),
    ))
}

/// The digest, if the bytes are what it says.
fn held_to(bytes: &[u8], digest: Digest) -> Result<Digest, Refusal> {
    let mut verifier = Verifier::new(std::io::sink(), digest.clone());
    let hashed = std::io::Write::write_all(&mut verifier, bytes);
    debug_assert!(hashed.is_ok(), "a sink takes everything");
    match verifier.finish() {
        Ok(_) => Ok(digest),
        Err(mismatch) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, mismatch.to_string()))
        }
    }
}

/// What a manifest names, once it is one.
pub(super) fn read_manifest(
    bytes: &[u8],
    header: Option<String>,
    pushed: base::Timestamp,
) -> Result<ManifestRow, Refusal> {
    let invalid = |why: String| Refusal::new(StatusCode::BAD_REQUEST, Code::ManifestInvalid, why);
    let document: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| invalid(format!("it is not JSON: {error}")))?;
    let own = document.get("mediaType").and_then(|kind| kind.as_str());
    let media_type = match (own, header) {
        (Some(own), Some(header)) if own != header => {
            return Err(invalid(format!("its `mediaType` is {own}, and it was sent as {header}")));
        }
        (Some(own), _) => MediaType::from(own.to_owned()),
        (None, Some(header)) => MediaType::from(header),
        (None, None) => return Err(invalid("neither it nor the request says what it is".into())),
    };
    if document.get("schemaVersion").and_then(serde_json::Value::as_u64) != Some(2) {
        return Err(invalid("its `schemaVersion` is not 2".into()));
    }
    let broken = |error: serde_json::Error| invalid(format!("it is no {}: {error}", media_type.as_str()));
    let text = |key: &str| document.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    let subject = match document.get("subject").filter(|subject| !subject.is_null()) {
        None => None,
        Some(subject) => Some(serde_json::from_value::<Descriptor>(subject.clone()).map_err(broken)?.digest),
    };
    let mut row = ManifestRow {
        media_type: media_type.clone(),
        size: bytes.len() as u64,
        pushed,
        blobs: BTreeMap::new(),
        config: None,
        manifests: BTreeSet::new(),
        subject,
        artifact_type: text("artifactType").filter(|kind| !kind.is_empty()),
        annotations: BTreeMap::new(),
    };
    let annotations = if media_type.is_index() {
        let index: Index = serde_json::from_value(document).map_err(broken)?;
        row.manifests = index.manifests.into_iter().map(|entry| entry.digest).collect();
        index.annotations
    } else if media_type.is_manifest() {
        let manifest: Manifest = serde_json::from_value(document).map_err(broken)?;
        // What must not be copied lies where its addresses say.
        let ours = manifest.layers.iter().filter(|layer| !layer.extra.contains_key("urls"));
        row.blobs = ours.chain([&manifest.config]).map(|blob| (blob.digest.clone(), blob.size)).collect();
        row.artifact_type = row.artifact_type.or(Some(manifest.config.media_type.as_str().to_owned()));
        row.config = Some(manifest.config.digest);
        manifest.annotations
    } else {
        return Err(invalid(format!("manifests of type {} are not taken", media_type.as_str())));
    };
    if row.subject.is_some() {
        row.annotations = annotations;
    }
    Ok(row)
}

/// Whether everything that a manifest names is in its repository, as long as it says. A subject may come later.
fn present(changing: &Changing<'_>, files: &Files, name: &str, row: &ManifestRow) -> Result<(), Refusal> {
    let state = changing.read();
    for (digest, size) in &row.blobs {
        let here = blob_of(&state, name, digest).filter(|size| files.length(digest) == Some(*size));
        match here {
            None => {
                let text = format!("it names the blob {digest}, which this repository does not have");
                return Err(Refusal::new(StatusCode::NOT_FOUND, Code::ManifestBlobUnknown, text));
            }
            Some(here) if here != *size => {
                let text = format!("it says that {digest} has {size} bytes; it has {here}");
                return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::ManifestInvalid, text));
            }
            Some(_) => {}
        }
    }
    let known = |digest: &&Digest| state.get(name).is_some_and(|one| one.manifests.contains_key(*digest));
    match row.manifests.iter().find(|digest| !known(digest)) {
        Some(digest) => {
            let text = format!("it lists the manifest {digest}, which this repository does not have");
            Err(Refusal::new(StatusCode::NOT_FOUND, Code::ManifestBlobUnknown, text))
        }
        None => Ok(()),
    }
}

fn blob_of(state: &Repositories, name: &str, digest: &Digest) -> Option<u64> {
    state.get(name)?.blobs.get(digest).map(|blob| blob.size)
}
