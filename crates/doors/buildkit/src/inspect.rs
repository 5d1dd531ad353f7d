//! A look into the files of a result, for clients that conduct their build.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use build::tree::{Node, Tree, kind};
use rustix::fs::FileType;

use crate::engine::Engine;
use crate::export;
use crate::grpc::{Answer, Call, Code, Status};
use crate::job::Job;
use crate::proto::files::{Stat, mode};
use crate::proto::gateway::{
    ReadDirRequest, ReadDirResponse, ReadFileRequest, ReadFileResponse, StatFileRequest, StatFileResponse,
};

/// The most bytes of a file that are read at once; a message takes no more.
const FILE_BYTES: u64 = 8 << 20;
/// The most names of a folder.
const NAMES: usize = 20_000;

/// Answers one of the three calls.
pub(crate) async fn call(
    engine: &Arc<Engine>,
    job: &Arc<Job>,
    method: &str,
    mut call: Call,
) -> Result<Answer, Status> {
    match method {
        "ReadFile" => {
            let request: ReadFileRequest = call.message().await?;
            let tree = tree(engine, job, &request.reference).await?;
            let data = blocking(move || file(&tree, &request)).await?;
            Ok(Answer::one(&ReadFileResponse { data }))
        }
        "ReadDir" => {
            let request: ReadDirRequest = call.message().await?;
            let tree = tree(engine, job, &request.reference).await?;
            let entries = blocking(move || folder(&tree, &request)).await?;
            Ok(Answer::one(&ReadDirResponse { entries }))
        }
        _ => {
            let request: StatFileRequest = call.message().await?;
            let tree = tree(engine, job, &request.reference).await?;
            let stat = blocking(move || {
                let node = find(&tree, &request.path)?;
                Ok(stat(base_name(&request.path), &node))
            });
            Ok(Answer::one(&StatFileResponse { stat: Some(stat.await?) }))
        }
    }
}

async fn tree(engine: &Arc<Engine>, job: &Arc<Job>, reference: &str) -> Result<Tree, Status> {
    let outcome = job.result(reference)?.image(engine, job).await?;
    export::open(engine, &outcome)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::new(Code::Internal, error.to_string()))?
}

fn find(tree: &Tree, path: &str) -> Result<Node, Status> {
    let none = || Status::new(Code::NotFound, format!("open {path}: no such file or directory"));
    tree.find(Path::new(path), true).map_err(|_| none())?.node.ok_or_else(none)
}

fn file(tree: &Tree, request: &ReadFileRequest) -> Result<Vec<u8>, Status> {
    let fail = |error: std::io::Error| Status::failed(format!("read {}: {error}", request.path));
    let node = find(tree, &request.path)?;
    if kind(node.stat()) != FileType::RegularFile {
        return Err(Status::failed(format!("read {}: is not a file", request.path)));
    }
    let mut open = node.open().map_err(fail)?;
    let range = request.range.unwrap_or_default();
    open.seek(SeekFrom::Start(u64::try_from(range.offset).unwrap_or(0))).map_err(fail)?;
    let wanted = u64::try_from(range.length).ok().filter(|length| *length > 0).unwrap_or(u64::MAX);
    let most = wanted.min(FILE_BYTES);
    let mut data = Vec::new();
    open.take(most + u64::from(wanted > FILE_BYTES)).read_to_end(&mut data).map_err(fail)?;
    if data.len() as u64 > FILE_BYTES {
        let message = format!("{} has more than {FILE_BYTES} bytes; ask for a part of it", request.path);
        return Err(Status::new(Code::ResourceExhausted, message));
    }
    Ok(data)
}

fn folder(tree: &Tree, request: &ReadDirRequest) -> Result<Vec<Stat>, Status> {
    let fail = |error: std::io::Error| Status::failed(format!("open {}: {error}", request.path));
    let Node::Folder(folder, _) = find(tree, &request.path)? else {
        return Err(Status::failed(format!("open {}: is not a folder", request.path)));
    };
    let pattern = build::ignore::Ignore::parse(&request.include)
        .map_err(|error| Status::new(Code::InvalidArgument, error.to_string()))?;
    let mut entries = Vec::new();
    for name in folder.names().map_err(fail)?.into_iter().take(NAMES) {
        let Some(text) = name.to_str() else { continue };
        if (request.include.is_empty() || pattern.takes(text))
            && let Some(node) = folder.get(&name).map_err(fail)?
        {
            entries.push(stat(text, &node));
        }
    }
    Ok(entries)
}

fn stat(name: &str, node: &Node) -> Stat {
    let found = node.stat();
    let (bits, linkname) = match node {
        Node::Folder(..) => (mode::FOLDER, String::new()),
        Node::Link(target, _) => (mode::LINK, target.to_string_lossy().into_owned()),
        Node::Other(..) => match kind(found) {
            FileType::RegularFile => (0, String::new()),
            _ => (mode::IRREGULAR, String::new()),
        },
    };
    Stat {
        path: name.to_owned(),
        mode: bits | mode::from_permissions(found.st_mode),
        uid: found.st_uid,
        gid: found.st_gid,
        size: found.st_size,
        mod_time: found.st_mtime.saturating_mul(1_000_000_000).saturating_add(found.st_mtime_nsec as i64),
        linkname,
        ..Stat::default()
    }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}
