//! `/containers/{id}/archive`: files out of a container and into it, as `docker cp` has them.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use containers::{CopyError, Extraction, FileStat, Packed, UnpackError};
use futures_util::StreamExt as _;
use rustix::fs::FileType;
use serde_json::json;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::Shared;
use crate::answer::{Pieces, Refusal};
use crate::params::Params;

/// So much of an archive travels at once.
const PIECE_BYTES: usize = 128 << 10;
/// A client may think for so long in the middle of an archive.
const SILENCE: Duration = Duration::from_secs(300);
const STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// A problem in docker's words, which name the container as the client did.
pub(super) fn refusal(error: CopyError, id: &str) -> Refusal {
    let missing = |path: &str| Refusal::missing(format!("Could not find the file {path} in container {id}"));
    match error {
        CopyError::Container(error) => error.into(),
        CopyError::Missing(path) => missing(&path),
        CopyError::NotAFolder => Refusal::invalid(CopyError::NotAFolder.to_string()),
        CopyError::SealedRoot | CopyError::SealedVolume => {
            Refusal::new(StatusCode::FORBIDDEN, error.to_string())
        }
        CopyError::Unpack(UnpackError::Write { doing, path, source }) => {
            Refusal::failed(format!("{doing} {path}: {}", containers::plain_words(&source)))
        }
        CopyError::Unpack(UnpackError::Read(source)) => match source.kind() {
            io::ErrorKind::Unsupported => Refusal::invalid(source.to_string()),
            _ => Refusal::failed(format!("the archive could not be read: {source}")),
        },
        CopyError::Path { .. } | CopyError::Unpack(_) => Refusal::failed(error.to_string()),
    }
}

fn path_of(params: &Params) -> Result<&str, Refusal> {
    // The missing space is docker's.
    params.text("path").ok_or_else(|| Refusal::invalid("bad parameter: pathcannot be empty"))
}

/// `HEAD`: what a path leads to, in a header.
pub(super) async fn head(
    State(docker): Shared,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, Refusal> {
    let path = path_of(&params)?;
    let id = docker.containers.find(&name)?;
    let told = docker.containers.path_stat(&id, path).await.map_err(|error| refusal(error, &name))?;
    Ok((StatusCode::OK, [(STAT, stat_header(&told)?)]).into_response())
}

/// `GET`: a file or folder as an archive.
pub(super) async fn get(
    State(docker): Shared,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, Refusal> {
    let path = path_of(&params)?;
    let id = docker.containers.find(&name)?;
    let (told, packed) = docker.containers.archive(&id, path).await.map_err(|error| refusal(error, &name))?;
    let header = stat_header(&told)?;
    let mut response = streamed(packed, "application/x-tar");
    response.headers_mut().insert(STAT, header);
    Ok(response)
}

/// An archive that is made while it is read.
pub(super) fn streamed(packed: Packed, content_type: &'static str) -> Response {
    let (pieces, response) = Pieces::begin(content_type);
    // A client that goes away ends it: writing fails then.
    tokio::task::spawn_blocking(move || {
        let out = io::BufWriter::with_capacity(PIECE_BYTES, pieces.clone());
        if let Err(error) = packed.write(out) {
            pieces.break_off(format!("the archive could not be made: {error}"));
        }
    });
    response
}

/// `PUT`: an archive into a folder.
pub(super) async fn put(
    State(docker): Shared,
    Path(name): Path<String>,
    params: Params,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let path = path_of(&params)?;
    let id = docker.containers.find(&name)?;
    let how =
        Extraction { keep_kinds: params.truth("noOverwriteDirNonDir"), own: params.truth("copyUIDGID") };
    let archive = reader(request.into_body());
    docker.containers.extract(&id, path, how, archive).await.map_err(|error| refusal(error, &name))?;
    Ok(StatusCode::OK)
}

/// A body for a thread that may wait. It holds a container up, so a client that says nothing any more is given up.
fn reader(body: Body) -> impl io::Read + Send + 'static {
    let stream = futures_util::stream::unfold(body.into_data_stream(), |mut data| async move {
        match tokio::time::timeout(SILENCE, data.next()).await {
            Ok(piece) => Some((piece?.map_err(io::Error::other), data)),
            Err(_) => Some((Err(io::Error::from(io::ErrorKind::TimedOut)), data)),
        }
    });
    SyncIoBridge::new(StreamReader::new(Box::pin(stream)))
}

fn stat_header(told: &FileStat) -> Result<HeaderValue, Refusal> {
    let document = json!({
        "name": told.name,
        "size": told.size,
        "mode": go_mode(told.mode),
        "mtime": told.modified.to_string(),
        "linkTarget": told.link_target,
    });
    HeaderValue::from_str(&base64(document.to_string().as_bytes()))
        .map_err(|error| Refusal::failed(error.to_string()))
}

/// A mode as Go has it: the kind in its upper bits, in an order of its own.
fn go_mode(mode: u32) -> u32 {
    const DIR: u32 = 1 << 31;
    const LINK: u32 = 1 << 27;
    const DEVICE: u32 = 1 << 26;
    const PIPE: u32 = 1 << 25;
    const SOCKET: u32 = 1 << 24;
    const CHARACTERS: u32 = 1 << 21;
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => DIR,
        FileType::Symlink => LINK,
        FileType::BlockDevice => DEVICE,
        FileType::CharacterDevice => DEVICE | CHARACTERS,
        FileType::Fifo => PIPE,
        FileType::Socket => SOCKET,
        FileType::RegularFile | FileType::Unknown => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| mode & bit != 0).fold(0, |all, (_, go)| all | go);
    kind | special | (mode & 0o777)
}

/// Bytes in base 64, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let number =
            chunk.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests;
