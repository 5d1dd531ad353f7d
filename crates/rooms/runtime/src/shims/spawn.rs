//! Starting a shim and hearing whether it made its container.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use rustix::fs::{FlockOperation, MemfdFlags, SealFlags, flock, memfd_create};
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
        rustix::fs::fcntl_add_seals(
            &fd,
            SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
        )?;
        Ok(fd)
    };
    copy().map_err(|source| ShimsError { program: program.to_owned(), source })
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
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(CreateError::Busy { dir: dir.to_owned() }),
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
