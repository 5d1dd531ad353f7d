//! `fsutil.types`: the packets in which trees of files travel.

use std::collections::HashMap;

/// One packet.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Packet {
    /// One of [`PacketKind`].
    #[prost(enumeration = "PacketKind", tag = "1")]
    pub kind: i32,
    /// A file, folder or link; none ends the list of them.
    #[prost(message, optional, tag = "2")]
    pub stat: Option<Stat>,
    /// The file's number: its place in the list.
    #[prost(uint32, tag = "3")]
    pub id: u32,
    /// Content, or an error's message; no content ends the file.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: bytes::Bytes,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum PacketKind {
    /// From the sender: there is this.
    Stat = 0,
    /// From the receiver: send that file's content.
    Req = 1,
    /// From the sender: content.
    Data = 2,
    /// From the receiver: that was all; and the sender's answer to it.
    Fin = 3,
    /// From either: it failed.
    Err = 4,
}

/// A file, folder or link.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Stat {
    /// Its path, without a slash in front.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Permissions and kind, in the bits that [`mode`] names.
    #[prost(uint32, tag = "2")]
    pub mode: u32,
    /// Its owner.
    #[prost(uint32, tag = "3")]
    pub uid: u32,
    /// Its group.
    #[prost(uint32, tag = "4")]
    pub gid: u32,
    /// Its bytes.
    #[prost(int64, tag = "5")]
    pub size: i64,
    /// When it changed, in nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub mod_time: i64,
    /// Where a symbolic link leads, or the earlier path that a hard link shares its file with.
    #[prost(string, tag = "7")]
    pub linkname: String,
    /// A device's numbers.
    #[prost(int64, tag = "8")]
    pub devmajor: i64,
    /// A device's numbers.
    #[prost(int64, tag = "9")]
    pub devminor: i64,
    /// Extended attributes.
    #[prost(map = "string, bytes", tag = "10")]
    pub xattrs: HashMap<String, Vec<u8>>,
}

/// The bits of a mode on this wire, which are those of Go's `fs.FileMode` and not the kernel's.
pub(crate) mod mode {
    /// A folder.
    pub(crate) const FOLDER: u32 = 1 << 31;
    /// A symbolic link.
    pub(crate) const LINK: u32 = 1 << 27;
    /// A device.
    pub(crate) const DEVICE: u32 = 1 << 26;
    /// A pipe with a name.
    pub(crate) const PIPE: u32 = 1 << 25;
    /// A socket.
    pub(crate) const SOCKET: u32 = 1 << 24;
    /// The user is set.
    pub(crate) const SETUID: u32 = 1 << 23;
    /// The group is set.
    pub(crate) const SETGID: u32 = 1 << 22;
    /// A device of characters.
    pub(crate) const CHARACTERS: u32 = 1 << 21;
    /// Only owners remove.
    pub(crate) const STICKY: u32 = 1 << 20;
    /// Something else.
    pub(crate) const IRREGULAR: u32 = 1 << 19;
    /// All the kinds; none of them is a file.
    pub(crate) const KINDS: u32 = FOLDER | LINK | DEVICE | PIPE | SOCKET | CHARACTERS | IRREGULAR;

    /// The kernel's permission bits.
    pub(crate) fn permissions(mode: u32) -> u32 {
        let special = [(SETUID, 0o4000), (SETGID, 0o2000), (STICKY, 0o1000)];
        special.iter().filter(|(bit, _)| mode & bit != 0).fold(mode & 0o777, |sum, (_, bit)| sum | bit)
    }

    /// The wire's bits of the kernel's permission bits.
    pub(crate) fn from_permissions(bits: u32) -> u32 {
        let special = [(SETUID, 0o4000), (SETGID, 0o2000), (STICKY, 0o1000)];
        special.iter().filter(|(_, bit)| bits & bit != 0).fold(bits & 0o777, |sum, (bit, _)| sum | bit)
    }
}
