//! Takes a tree of files in: the receiving end of the protocol in which BuildKit's clients send contexts.
//!
//! The sender lists everything in order, folders before what they hold; the receiver asks for the content of the files
//! that it lacks, by their place in the list, while the list still comes. What comes is not trusted: names are checked
//! ([`order`]), everything is made below the target without following any link ([`folder`]), and there are bounds.
//!
//! A file whose size, time and permissions are those of the same path in an earlier tree is shared with it and not asked
//! for. Trees are never written to once they are whole, so sharing is safe.

mod folder;
mod order;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use base::{Kind, Problem};
use bytes::Bytes;

use crate::grpc::{ClientStream, Code, Status};
use crate::proto::files::{Packet, PacketKind, Stat, mode};

pub(crate) use folder::Folder;
pub(crate) use order::Order;

/// So many files are asked for at once. A sender queues 128 before it stops listening, which must not happen: it would
/// wait for us to read while we wait for it to listen.
const ASKED: usize = 64;

/// The bounds of a tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of all its files, asked for or shared.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all their names, which are kept in memory meanwhile.
    pub names: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let build::context::Limits { bytes, entries } = build::context::Limits::default();
        Self { bytes, entries, names: 256 << 20 }
    }
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Received {
    /// Bytes of all packets.
    pub transferred: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files that were sent.
    pub sent: u64,
    /// Files that were shared with the earlier tree.
    pub shared: u64,
    /// Sockets, pipes and devices that were left out.
    pub skipped: u64,
}

/// Why a tree did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// The sender said so.
    #[error("error from sender: {0}")]
    Sender(String),
    /// The connection failed.
    #[error(transparent)]
    Call(#[from] Status),
    /// A path that no honest sender has.
    #[error("the sender's path `{path}` is refused: {why}")]
    Path {
        /// The path.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// A packet that no honest sender sends.
    #[error("the sender broke the protocol: {0}")]
    Protocol(&'static str),
    /// Too much.
    #[error("the context has more than {0}")]
    TooLarge(String),
    /// It cannot be written.
    #[error("could not write `{path}` of the context")]
    Write {
        /// The path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Problem for ReceiveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Sender(_) | Self::Path { .. } | Self::Protocol(_) => Kind::Invalid,
            Self::Call(_) => Kind::Unavailable,
            Self::TooLarge(_) => Kind::Exhausted,
            Self::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Kind::Exhausted,
            Self::Write { .. } => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::TooLarge(_))
            .then(|| "list what the build does not need in `.dockerignore`".into())
    }
}

impl From<ReceiveError> for Status {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Call(status) => status,
            ReceiveError::Write { ref source, .. } => Self::failed(format!("{error}: {source}")),
            other => Self::failed(other.to_string()),
        }
    }
}

/// Takes a tree into the empty folder `target`. `earlier` is a tree that the same files may be in. `told` hears how many
/// bytes came so far.
///
/// Writes files as they come: call it where blocking is fine.
pub(crate) async fn receive(
    mut stream: ClientStream,
    target: &Path,
    earlier: Option<PathBuf>,
    limits: Limits,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<Received, ReceiveError> {
    let mut taking = Taking {
        folder: Folder::open(target, earlier.as_deref())?,
        order: Order::default(),
        files: HashMap::new(),
        names: HashSet::new(),
        waiting: VecDeque::new(),
        links: Vec::new(),
        listed: false,
        next: 0,
        name_bytes: 0,
        limits,
        received: Received::default(),
    };
    match take(&mut stream, &mut taking, told).await {
        Ok(()) => {}
        Err(error) => {
            let data = Bytes::from(error.to_string());
            let _ = stream.send(&Packet { kind: PacketKind::Err as i32, data, ..Packet::default() }).await;
            return Err(error);
        }
    }
    taking.folder.finish(&taking.links)?;
    stream.send(&Packet { kind: PacketKind::Fin as i32, ..Packet::default() }).await?;
    // The sender answers so, or ends at once.
    while let Some(packet) = stream.next::<Packet>().await? {
        if packet.kind == PacketKind::Err as i32 {
            return Err(sender_error(&packet));
        }
    }
    stream.finish().await?;
    Ok(taking.received)
}

async fn take(
    stream: &mut ClientStream,
    taking: &mut Taking,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<(), ReceiveError> {
    while !taking.is_done() {
        for id in taking.ask()? {
            stream.send(&Packet { kind: PacketKind::Req as i32, id, ..Packet::default() }).await?;
        }
        if taking.is_done() {
            break;
        }
        let Some(packet) = stream.next::<Packet>().await? else {
            return Err(ReceiveError::Call(Status::new(Code::Unavailable, "the sender ended too early")));
        };
        taking.received.transferred += prost::Message::encoded_len(&packet) as u64;
        told(taking.received.transferred);
        taking.packet(packet)?;
    }
    Ok(())
}

fn sender_error(packet: &Packet) -> ReceiveError {
    ReceiveError::Sender(String::from_utf8_lossy(&packet.data).into_owned())
}

/// A tree that is being taken in.
struct Taking {
    folder: Folder,
    order: Order,
    /// The files that were asked for, by number; none where the file is not there yet.
    files: HashMap<u32, Option<(std::fs::File, Stat)>>,
    /// All files so far, for links to them.
    names: HashSet<String>,
    /// Files that are to be asked for.
    waiting: VecDeque<(u32, Stat)>,
    /// Links to files, made when those are whole.
    links: Vec<(String, String)>,
    listed: bool,
    next: u32,
    name_bytes: u64,
    limits: Limits,
    received: Received,
}

impl Taking {
    fn is_done(&self) -> bool {
        self.listed && self.waiting.is_empty() && self.files.is_empty()
    }

    /// The numbers of the files to ask for now.
    fn ask(&mut self) -> Result<Vec<u32>, ReceiveError> {
        let mut ids = Vec::new();
        while self.files.len() < ASKED {
            let Some((id, stat)) = self.waiting.pop_front() else { break };
            let file = self.folder.create(&stat.path)?;
            self.files.insert(id, Some((file, stat)));
            ids.push(id);
        }
        Ok(ids)
    }

    fn packet(&mut self, packet: Packet) -> Result<(), ReceiveError> {
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Stat) => match packet.stat {
                Some(_) if self.listed => {
                    Err(ReceiveError::Protocol("it lists more after the end of its list"))
                }
                Some(stat) => self.entry(stat),
                None => {
                    self.listed = true;
                    Ok(())
                }
            },
            Ok(PacketKind::Data) => self.data(packet.id, &packet.data),
            Ok(PacketKind::Err) => Err(sender_error(&packet)),
            Ok(PacketKind::Fin) => Err(ReceiveError::Protocol("it ends before the receiver does")),
            Ok(PacketKind::Req) => Err(ReceiveError::Protocol("it asks for a file")),
            Err(_) => Err(ReceiveError::Protocol("a packet of no known kind")),
        }
    }

    fn entry(&mut self, mut stat: Stat) -> Result<(), ReceiveError> {
        // Attributes beyond these count for nothing in a build.
        stat.xattrs.clear();
        self.name_bytes += (stat.path.len() + stat.linkname.len()) as u64;
        if self.name_bytes > self.limits.names {
            return Err(ReceiveError::TooLarge(format!("{} of names", base::Bytes(self.limits.names))));
        }
        let id = self.next;
        if u64::from(id) >= self.limits.entries {
            return Err(ReceiveError::TooLarge(format!("{} files and folders", self.limits.entries)));
        }
        self.next += 1;
        let kind = stat.mode & mode::KINDS;
        self.order.admit(&stat.path, kind == mode::FOLDER)?;
        match kind {
            mode::FOLDER => self.folder.make(&stat),
            mode::LINK => self.folder.link(&stat),
            0 => self.file(id, stat),
            _ => {
                self.received.skipped += 1;
                Ok(())
            }
        }
    }

    fn file(&mut self, id: u32, stat: Stat) -> Result<(), ReceiveError> {
        if !stat.linkname.is_empty() {
            if !self.names.contains(&stat.linkname) {
                return Err(ReceiveError::Path { path: stat.path, why: "it is a link to no earlier file" });
            }
            self.links.push((stat.linkname, stat.path));
            return Ok(());
        }
        self.names.insert(stat.path.clone());
        if let Some(bytes) = self.folder.share(&stat)? {
            self.received.shared += 1;
            return self.count(bytes);
        }
        self.waiting.push_back((id, stat));
        Ok(())
    }

    fn data(&mut self, id: u32, data: &[u8]) -> Result<(), ReceiveError> {
        const UNASKED: ReceiveError = ReceiveError::Protocol("it sends a file that nobody asked for");
        if data.is_empty() {
            let (file, stat) = self.files.remove(&id).flatten().ok_or(UNASKED)?;
            self.received.sent += 1;
            return self.folder.close(&file, &stat);
        }
        let (file, stat) = self.files.get_mut(&id).and_then(Option::as_mut).ok_or(UNASKED)?;
        std::io::Write::write_all(file, data)
            .map_err(|source| ReceiveError::Write { path: stat.path.clone(), source })?;
        self.count(data.len() as u64)
    }

    fn count(&mut self, bytes: u64) -> Result<(), ReceiveError> {
        self.received.bytes = self.received.bytes.saturating_add(bytes);
        if self.received.bytes > self.limits.bytes {
            return Err(ReceiveError::TooLarge(format!("{} of files", base::Bytes(self.limits.bytes))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
