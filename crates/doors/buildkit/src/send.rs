//! Sends a tree of files to a client: the other end of [`crate::receive`]'s protocol.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use build::tree::{Node, Tree, kind};
use bytes::Bytes;
use rustix::fs::FileType;

use crate::export::{Links, Walk};
use crate::grpc::{ClientStream, Code, Sender, Status};
use crate::proto::files::{Packet, PacketKind, Stat, mode};

/// So many bytes of a file go in one packet; the other end takes 4 MiB.
const PIECE: usize = 256 << 10;

/// Sends all of it. `told` hears how many bytes went so far, and whether that was all.
///
/// Reads files as it goes: call it where blocking is fine.
pub(crate) async fn send(
    mut stream: ClientStream,
    tree: &Tree,
    told: &(dyn Fn(u64, bool) + Sync),
) -> Result<(), Status> {
    let gone = || Status::new(Code::Unavailable, "the client ended the transfer");
    let sender = stream.sender().ok_or_else(gone)?;
    let files = Mutex::new(HashMap::new());
    let (listed, served) =
        tokio::join!(list(&sender, tree, &files), serve(&mut stream, &sender, tree, &files, told));
    // The client's own word says most, if it failed.
    served?;
    listed?;
    drop(sender);
    stream.finish().await
}

type Files = Mutex<HashMap<u32, PathBuf>>;

/// Lists everything, and remembers what can be asked for.
async fn list(sender: &Sender, tree: &Tree, files: &Files) -> Result<(), Status> {
    let mut walk = Walk::new(tree).map_err(|error| unreadable(Path::new("."), &error))?;
    let mut links = Links::default();
    let mut id = 0;
    loop {
        let Some((path, node)) = walk.next().map_err(|error| unreadable(Path::new("."), &error))? else {
            break;
        };
        let Some(stat) = stat(&path, &node, &mut links)? else { continue };
        if stat.mode & mode::KINDS == 0 {
            files.lock().unwrap_or_else(PoisonError::into_inner).insert(id, path);
        }
        id += 1;
        let packet = Packet { kind: PacketKind::Stat as i32, stat: Some(stat), ..Packet::default() };
        if !sender.send(&packet).await {
            return Ok(());
        }
    }
    sender.send(&Packet { kind: PacketKind::Stat as i32, ..Packet::default() }).await;
    Ok(())
}

/// Sends what is asked for.
async fn serve(
    stream: &mut ClientStream,
    sender: &Sender,
    tree: &Tree,
    files: &Files,
    told: &(dyn Fn(u64, bool) + Sync),
) -> Result<(), Status> {
    let mut sent = 0;
    while let Some(packet) = stream.next::<Packet>().await? {
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Req) => {
                let path = files.lock().unwrap_or_else(PoisonError::into_inner).remove(&packet.id);
                let unknown = || {
                    Status::failed(format!(
                        "the client asks for a file {} that it was not told of",
                        packet.id
                    ))
                };
                file(sender, tree, packet.id, &path.ok_or_else(unknown)?, &mut sent, told).await?;
            }
            Ok(PacketKind::Fin) => {
                told(sent, true);
                sender.send(&Packet { kind: PacketKind::Fin as i32, ..Packet::default() }).await;
                return Ok(());
            }
            Ok(PacketKind::Err) => {
                let message = String::from_utf8_lossy(&packet.data).into_owned();
                return Err(Status::failed(format!("error from receiver: {message}")));
            }
            Ok(PacketKind::Stat | PacketKind::Data) | Err(_) => {
                return Err(Status::failed("the client broke the protocol: it sends files"));
            }
        }
    }
    Err(Status::new(Code::Unavailable, "the client ended the transfer too early"))
}

async fn file(
    sender: &Sender,
    tree: &Tree,
    id: u32,
    path: &Path,
    sent: &mut u64,
    told: &(dyn Fn(u64, bool) + Sync),
) -> Result<(), Status> {
    let fail = |error: io::Error| unreadable(path, &error);
    let node = tree.find(path, false).map_err(fail)?.node;
    let mut open = match node {
        Some(node) => node.open().map_err(fail)?,
        None => return Err(fail(io::ErrorKind::NotFound.into())),
    };
    let mut buffer = vec![0; PIECE];
    loop {
        let length = open.read(&mut buffer).map_err(fail)?;
        let data = Bytes::copy_from_slice(&buffer[..length]);
        let gone = || Status::new(Code::Unavailable, "the client ended the transfer");
        let packet = Packet { kind: PacketKind::Data as i32, id, data, ..Packet::default() };
        if !sender.send(&packet).await {
            return Err(gone());
        }
        if length == 0 {
            return Ok(());
        }
        *sent += length as u64;
        told(*sent, false);
    }
}

/// As it travels; none for what means nothing elsewhere.
fn stat(path: &Path, node: &Node, links: &mut Links) -> Result<Option<Stat>, Status> {
    let found = node.stat();
    let kind = kind(found);
    let bits = match kind {
        FileType::Directory => mode::FOLDER,
        FileType::Symlink => mode::LINK,
        FileType::RegularFile => 0,
        FileType::Fifo => mode::PIPE,
        FileType::CharacterDevice => mode::DEVICE | mode::CHARACTERS,
        FileType::BlockDevice => mode::DEVICE,
        FileType::Socket | FileType::Unknown => return Ok(None),
    };
    let text = |bytes: &[u8]| {
        let not_text =
            || Status::failed(format!("`{}` is not a name in UTF-8, and cannot be sent", path.display()));
        String::from_utf8(bytes.to_vec()).map_err(|_| not_text())
    };
    let linkname = match node {
        Node::Link(target, _) => text(target.as_bytes())?,
        Node::Other(..) if kind == FileType::RegularFile => match links.earlier(found, path) {
            Some(first) => text(first.as_os_str().as_bytes())?,
            None => String::new(),
        },
        Node::Other(..) | Node::Folder(..) => String::new(),
    };
    let is_device = bits & mode::DEVICE != 0;
    let number = |number: u32| if is_device { i64::from(number) } else { 0 };
    Ok(Some(Stat {
        path: text(path.as_os_str().as_bytes())?,
        mode: bits | mode::from_permissions(found.st_mode),
        uid: found.st_uid,
        gid: found.st_gid,
        size: if kind == FileType::RegularFile { found.st_size } else { 0 },
        mod_time: found.st_mtime.saturating_mul(1_000_000_000).saturating_add(found.st_mtime_nsec as i64),
        linkname,
        devmajor: number(rustix::fs::major(found.st_rdev)),
        devminor: number(rustix::fs::minor(found.st_rdev)),
        ..Stat::default()
    }))
}

fn unreadable(path: &Path, error: &io::Error) -> Status {
    Status::failed(format!("`{}` of the image cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests;
