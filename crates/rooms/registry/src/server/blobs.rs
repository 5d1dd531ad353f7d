//! Blobs: looked at, read in parts, and taken away.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_RANGE, RANGE};
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use oci::Digest;

use super::Registry;
use super::answer::{Answer, Refusal, empty, with};
use crate::ranges::{self, Asked};
use crate::words::Code;

/// What is read at once from the disk.
const PIECE: u64 = 256 << 10;

impl Registry {
    /// `GET` and `HEAD /v2/<name>/blobs/<digest>`.
    pub(super) async fn get_blob(&self, name: &str, digest: &Digest, request: Request) -> Answer {
        let head = *request.method() == Method::HEAD;
        let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
        let range = range.as_deref();
        let here = self.0.index.blob(name, digest).filter(|size| self.0.files.length(digest) == Some(*size));
        let size = match here {
            Some(size) => size,
            None if self.0.options.mirror.is_some() => {
                return self.mirrored_blob(name, digest, head, range).await;
            }
            None => return Err(Refusal::no_blob(digest)),
        };
        self.serve_blob(digest, size, head, range)
    }

    /// A blob that is here.
    pub(super) fn serve_blob(&self, digest: &Digest, size: u64, head: bool, range: Option<&str>) -> Answer {
        let text = digest.to_string();
        let etag = format!("\"{digest}\"");
        let common = [
            ("docker-content-digest", text.as_str()),
            ("content-type", "application/octet-stream"),
            ("accept-ranges", "bytes"),
            ("etag", etag.as_str()),
            ("cache-control", "max-age=31536000"),
        ];
        let (status, first, length, part) = match ranges::asked(range, size) {
            Asked::Whole => (StatusCode::OK, 0, size, None),
            Asked::Part(part) => {
                let text = format!("bytes {}-{}/{size}", part.start(), part.end());
                (StatusCode::PARTIAL_CONTENT, *part.start(), part.end() - part.start() + 1, Some(text))
            }
            Asked::Beyond => {
                let text = "the blob has no such bytes";
                let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::SizeInvalid, text);
                return Err(refusal.header(CONTENT_RANGE, &format!("bytes */{size}")));
            }
        };
        let body = if head {
            Body::empty()
        } else {
            let file = File::open(self.0.files.blob(digest)).map_err(|_| Refusal::no_blob(digest))?;
            Body::from_stream(pieces(file, first, length))
        };
        let mut response = with(status, &common, body);
        let headers = response.headers_mut();
        headers.insert("content-length", length.into());
        if let Some(part) = part.and_then(|part| part.parse().ok()) {
            headers.insert(CONTENT_RANGE, part);
        }
        Ok(response)
    }

    /// `DELETE /v2/<name>/blobs/<digest>`: this repository has it no more; its bytes go with a collection.
    pub(super) async fn delete_blob(&self, name: &str, digest: &Digest) -> Answer {
        self.may_delete()?;
        let changing = self.0.index.changing().await;
        if self.0.index.blob(name, digest).is_none() {
            return Err(Refusal::no_blob(digest));
        }
        changing.unlink(name, vec![digest.clone()]).await?;
        Ok(empty(StatusCode::ACCEPTED, &[("content-length", "0")]))
    }

    pub(super) fn may_delete(&self) -> Result<(), Refusal> {
        if self.0.options.deletes && self.0.options.mirror.is_none() {
            return Ok(());
        }
        Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, "this registry deletes nothing"))
    }
}

/// A part of a file as the pieces of a body.
fn pieces(
    file: File,
    first: u64,
    length: u64,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let file = std::sync::Arc::new(file);
    futures_util::stream::try_unfold((file, first, length), |(file, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let reader = file.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(left.min(PIECE)).unwrap_or(0)];
            let read = reader.read_at(&mut piece, at)?;
            piece.truncate(read);
            Ok::<_, std::io::Error>(piece)
        });
        let piece = read.await.map_err(std::io::Error::other)??;
        if piece.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let read = piece.len() as u64;
        Ok(Some((Bytes::from(piece), (file, at + read, left - read))))
    })
}
