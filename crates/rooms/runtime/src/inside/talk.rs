//! What a process that is about to become a container's program says to its shim, and the shim to it.
//!
//! One message a packet. The socket closes by itself when the program takes over, which is how the shim sees that
//! it did.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use crate::failure::{Doing, Failure};

/// The longest message.
const LIMIT: usize = 16 << 10;

/// A message to the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// The terminal's other end comes along.
    Terminal,
    /// All is made; only the program is missing.
    Ready {
        /// What was asked and could not be had in full.
        notes: Vec<String>,
    },
    /// It will not be.
    Failed(Failure),
}

/// A message from the shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cue {
    /// Become the program.
    Start = 1,
}

/// A connected pair: ours, and the child's.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Failure> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .doing(|| "make a socket pair")
}

/// Says a word. A shim that is gone hears nothing, and that is as well.
pub(crate) fn say(socket: BorrowedFd<'_>, word: &Word, with: Option<BorrowedFd<'_>>) {
    let Ok(mut text) = serde_json::to_vec(word) else { return };
    if text.len() > LIMIT {
        let short = Failure::invalid("the reason is too long to tell");
        text = serde_json::to_vec(&Word::Failed(short)).unwrap_or_default();
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    let fds = with.map(|fd| [fd]);
    if let Some(fds) = &fds {
        along.push(SendAncillaryMessage::ScmRights(fds));
    }
    let _ = sendmsg(socket, &[IoSlice::new(&text)], &mut along, SendFlags::NOSIGNAL);
}

/// Waits for a word; none when the other end is closed, which means that the program has taken over.
pub(crate) fn hear(socket: BorrowedFd<'_>) -> Result<Option<(Word, Option<OwnedFd>)>, Failure> {
    let mut text = vec![0; LIMIT];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut along, RecvFlags::CMSG_CLOEXEC)
    })
    .doing(|| "hear from the new process")?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let fd = along.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let word = serde_json::from_slice(&text[..got.bytes])
        .map_err(|error| Failure::invalid(format!("the new process spoke unclearly: {error}")))?;
    Ok(Some((word, fd)))
}

/// Gives a cue; whether anybody was there to get it.
pub(crate) fn cue(socket: impl AsFd, cue: Cue) -> bool {
    rustix::net::send(socket, &[cue as u8], SendFlags::NOSIGNAL).is_ok()
}

/// Waits for this cue; false when the shim is gone.
pub(crate) fn await_cue(socket: impl AsFd, cue: Cue) -> bool {
    let mut byte = [0; 1];
    let got = rustix::io::retry_on_intr(|| rustix::net::recv(&socket, &mut byte[..], RecvFlags::empty()));
    got.is_ok_and(|(_, n)| n == 1) && byte[0] == cue as u8
}
