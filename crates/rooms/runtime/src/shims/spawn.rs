//! Starting a shim and hearing whether it made its container.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use rustix::fs::{FlockOperation, MemfdFlags, SealFlags, fcntl_add_seals, flock, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;

use super::error::{CreateError, ShimsError};
use super::{Inner, Shim};
use crate::order::Order;
use crate::protocol::{COMPLAINTS, LOCK, ORDER};
use crate::shim::Birth;

/// A shim's first and only message.
const BIRTH_LIMIT: u64 = 64 << 10;
/// Nobody may change the program, nor its size, nor take this back.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);
const SEAL_TRIES: u32 = 20;

/// Copies a program into memory that can no longer be changed by anybody.
pub(super) fn seal(program: &Path) -> Result<OwnedFd, ShimsError> {
    let copy = || -> io::Result<OwnedFd> {
        let mut from = File::open(program)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Older kernels do not know the flag, and need none to run what is in there.
        let fd = memfd_create("sea", flags | MemfdFlags::EXEC).or_else(|_| memfd_create("sea", flags))?;
        let mut into = File::from(fd);
        io::copy(&mut from, &mut into)?;
        into.flush()?;
        let fd = OwnedFd::from(into);
        patiently(|| fcntl_add_seals(&fd, SEALS))?;
        Ok(fd)
    };
    copy().map_err(|source| ShimsError { program: program.to_owned(), source })
}

/// Seals again while the kernel holds one of the pages for purposes of its own, such as moving it to join free memory.
/// It waits some 75 ms by itself each time before it says so (`memfd_wait_for_pins`).
fn patiently(mut seal: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 1..SEAL_TRIES {
        match seal() {
            Err(Errno::BUSY) => (),
            done => return done,
        }
    }
    seal()
}

/// A shim that was started and has not spoken yet.
struct Started {
    process: OwnedFd,
    creator: OwnedFd,
}

pub(super) async fn create(program: &Arc<OwnedFd>, dir: &Path, order: &Order) -> Result<Shim, CreateError> {
    let failed = |source: io::Error| CreateError::Spawn { dir: dir.to_owned(), source };
    let started = start(program, dir, order)?;
    let mut creator = Receiver::from_owned_fd(started.creator).map_err(failed)?;
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while text.last() != Some(&b'\n') && (text.len() as u64) < BIRTH_LIMIT {
        match creator.read(&mut chunk).await.map_err(failed)? {
            0 => break,
            count => text.extend_from_slice(&chunk[..count]),
        }
    }
    base::crash::point("runtime: shim heard");
    let process = crate::sys::watch_end(started.process).map_err(failed)?;
    match serde_json::from_slice(&text) {
        Ok(Birth::Created { pid, notes }) => {
            let inner = Inner { dir: dir.to_owned(), pid, notes, process, _creator: Some(creator) };
            Ok(Shim { inner: Arc::new(inner) })
        }
        Ok(Birth::Failed(failure)) => Err(CreateError::Failed(failure)),
        Err(_) => Err(CreateError::Died { dir: dir.to_owned(), complaint: complaint(dir) }),
    }
}

fn complaint(dir: &Path) -> String {
    let text = std::fs::read(dir.join(COMPLAINTS)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it left no word");
    line.chars().take(200).collect()
}

fn start(program: &Arc<OwnedFd>, dir: &Path, order: &Order) -> Result<Started, CreateError> {
    let failed = |source: io::Error| CreateError::Spawn { dir: dir.to_owned(), source };
    let private = |truncate: bool| {
        let mut options = File::options();
        options.write(true).create(true).truncate(truncate).mode(0o600);
        options
    };
    let lock = private(false).open(dir.join(LOCK)).map_err(failed)?;
    // Held by whoever has this file open: us now, the shim until its end.
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(CreateError::Busy { dir: dir.to_owned() }),
        Err(error) => return Err(failed(error.into())),
    }
    base::crash::point("runtime: lock taken");
    match std::fs::remove_file(dir.join(crate::exit::FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    base::crash::point("runtime: last exit removed");
    let text = serde_json::to_vec(order).map_err(|error| failed(error.into()))?;
    private(true).open(dir.join(ORDER)).and_then(|mut file| file.write_all(&text)).map_err(failed)?;
    base::crash::point("runtime: order written");
    let complaints = private(true).open(dir.join(COMPLAINTS)).map_err(failed)?;
    let (creator, theirs) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    rustix::io::ioctl_fionbio(&creator, true).map_err(|error| failed(error.into()))?;
    let child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg0("sea")
        .arg("shim")
        .arg(dir)
        .env_clear()
        .envs(base::crash::surroundings())
        .stdin(Stdio::from(lock))
        .stdout(Stdio::from(theirs))
        .stderr(Stdio::from(complaints))
        .spawn()
        .map_err(failed)?;
    base::crash::point("runtime: shim started");
    // The runtime waits for it when it ends, also after `child` is dropped.
    let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
    let pid = pid.ok_or_else(|| failed(io::Error::from(io::ErrorKind::NotFound)))?;
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| failed(error.into()))?;
    Ok(Started { process, creator })
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

    use super::*;

    #[test]
    fn a_page_that_is_held_for_a_while_does_not_spoil_the_seal() {
        let fd = memfd_create("sea", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let mut file = File::from(fd);
        file.write_all(b"a program").unwrap();
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        // The pipe holds the page itself, not a copy.
        let held = splice(&file, Some(&mut 0), &writer, None, 9, SpliceFlags::empty());
        assert_eq!(held, Ok(9));
        let mut pipe = Some((reader, writer));
        let mut tried = Vec::new();
        let sealed = patiently(|| {
            let done = fcntl_add_seals(&file, SEALS);
            tried.push(done);
            pipe.take();
            done
        });
        assert_eq!((sealed, tried), (Ok(()), vec![Err(Errno::BUSY), Ok(())]));
        assert!(file.write(b"another").is_err());
    }

    #[test]
    fn other_faults_of_sealing_are_told_at_once() {
        let file = tempfile::tempfile().unwrap();
        let mut tries = 0;
        let sealed = patiently(|| {
            tries += 1;
            fcntl_add_seals(&file, SEALS)
        });
        assert_eq!((sealed, tries), (Err(Errno::INVAL), 1));
    }
}
