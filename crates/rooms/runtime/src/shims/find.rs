//! Finding a container again after the daemon was away, and clearing up after a shim that was lost.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, SystemClock};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{PidfdFlags, pidfd_open};

use super::error::{FindError, ReapError};
use super::{Found, Inner, Shim, call};
use crate::cgroup::{Cgroup, Hierarchies};
use crate::exit::Exit;
use crate::order::Order;
use crate::protocol::{LOCK, Reply, Request, SOCKET};
use crate::sys;

/// A shim makes its container before it answers; that takes milliseconds, on a machine under load more.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a dead shim was just making holds its lock until it has heard of that.
const LETTING_GO: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn find(dir: &Path) -> Result<Found, FindError> {
    let unreadable = |source| FindError::Unreadable { dir: dir.to_owned(), source };
    let give_up = SystemClock.now() + PATIENCE;
    loop {
        if !is_held(dir).map_err(unreadable)? {
            return Ok(Exit::read(dir).map_err(unreadable)?.map_or(Found::Lost, Found::Exited));
        }
        let left = give_up.since(SystemClock.now());
        if left.is_zero() {
            return Err(FindError::Silent { dir: dir.to_owned() });
        }
        if let Ok(Ok(shim)) = tokio::time::timeout(left, meet(dir)).await {
            return Ok(Found::Running(shim));
        }
        // It is about to listen, or about to end: the lock tells which.
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a shim, or a daemon that is starting one, holds the folder.
fn is_held(dir: &Path) -> io::Result<bool> {
    let lock = match File::open(dir.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Connects and asks how it is.
async fn meet(dir: &Path) -> io::Result<Shim> {
    let mut stream = call::connect(dir).await?;
    call::send(&mut stream, &Request::State).await?;
    let (kind, body) = call::read_frame(&mut stream, &mut Vec::new()).await?;
    let seen = match call::reply(kind, &body) {
        Ok(Reply::State(seen)) => seen,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let process = match sys::peer_pidfd(stream.as_fd()) {
        Some(process) => process,
        // The number is the shim's as long as it keeps this connection, which it does: it has just answered.
        None => {
            let credentials = rustix::net::sockopt::socket_peercred(&stream)?;
            pidfd_open(credentials.pid, PidfdFlags::empty())?
        }
    };
    let process = sys::watch_end(process)?;
    let inner = Inner { dir: dir.to_owned(), pid: seen.pid, notes: seen.notes, process, _creator: None };
    Ok(Shim { inner: Arc::new(inner) })
}

pub(super) async fn reap_lost(dir: &Path, order: &Order) -> Result<(), ReapError> {
    let failed = |reason: String| ReapError { dir: dir.to_owned(), reason };
    let give_up = SystemClock.now() + LETTING_GO;
    while is_held(dir).map_err(|error| failed(error.to_string()))? {
        if SystemClock.now() >= give_up {
            return Err(failed("its shim lives".into()));
        }
        tokio::time::sleep(PAUSE).await;
    }
    let path = order.cgroup.clone();
    let clear = move || -> Result<(), String> {
        let hierarchies = Hierarchies::find().map_err(|error| error.to_string())?;
        let cgroup = Cgroup::at(&path, &hierarchies).map_err(|failure| failure.line())?;
        cgroup.kill();
        base::crash::point("reaping: processes killed");
        cgroup.remove().map_err(|error| error.to_string())?;
        base::crash::point("reaping: cgroup removed");
        Ok(())
    };
    match tokio::task::spawn_blocking(clear).await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => return Err(failed(reason)),
        Err(error) => return Err(failed(error.to_string())),
    }
    match std::fs::remove_file(dir.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error.to_string())),
        _ => Ok(()),
    }
}
