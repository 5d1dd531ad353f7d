//! The shim: a small process a container that makes it, owns its output, and tells how it ended.
//!
//! One thread, no waiting but in one place, no timer while nothing happens. It outlives the daemon: what it owns
//! lies in the container's folder (`shim.sock`, `shim.lock`, `log…`, `exit.json`).
//!
//! It is started with its lock as standard input, its creator's pipe as standard output, and `shim.err` as
//! standard error.

mod answer;
mod boot;
mod client;
mod processes;
mod session;
mod watch;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::failure::{Doing, Failure};
use crate::order::{Order, VERSION};
use crate::protocol::{ORDER, SOCKET};
use crate::sys;

/// What the shim tells its creator, once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Birth {
    /// The container is made; its process 1 waits.
    Created { pid: i32, notes: Vec<String> },
    /// It could not be made, and nothing is left of it.
    Failed(Failure),
}

/// What the shim inherits.
struct Inherited {
    /// Held locked as long as this process lives.
    _lock: OwnedFd,
    /// The creator's pipe.
    creator: OwnedFd,
}

/// The shim's role: makes the container ordered in `dir` and stays with it until it is over.
pub fn shim_main(dir: &Path) -> ExitCode {
    sys::ignore_signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE]);
    // Its own session: what ends the daemon's terminal or group does not end it. A leader already is as good.
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"sea-shim");
    base::crash::arm("shim");
    let Ok(inherited) = inherit() else { return ExitCode::from(125) };
    base::crash::point("shim: begun");
    let made = make(dir).and_then(|order| boot::boot(dir, order));
    let told = match &made {
        Ok(watch) => Birth::Created { pid: watch.main().pid, notes: watch.notes().to_vec() },
        Err(failure) => Birth::Failed(failure.clone()),
    };
    let text = serde_json::to_vec(&told).unwrap_or_default();
    // A creator that is gone is found out by the watch.
    let _ = rustix::io::write(&inherited.creator, &text);
    let _ = rustix::io::write(&inherited.creator, b"\n");
    base::crash::point("shim: birth told");
    let Ok(watch) = made else { return ExitCode::from(125) };
    watch.run(inherited.creator);
    ExitCode::SUCCESS
}

/// Moves what it was given out of the way of what it will open.
fn inherit() -> rustix::io::Result<Inherited> {
    let lock = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let creator = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    sys::close_from_on_exec(3);
    Ok(Inherited { _lock: lock, creator })
}

fn make(dir: &Path) -> Result<Order, Failure> {
    let path: PathBuf = dir.join(ORDER);
    let text = std::fs::read(&path).doing(|| format!("read `{}`", path.display()))?;
    let order: Order = serde_json::from_slice(&text)
        .map_err(|error| Failure::invalid(format!("`{}` is not an order: {error}", path.display())))?;
    if order.version != VERSION {
        return Err(Failure::invalid(format!(
            "`{}` has version {}, this program knows version {VERSION}",
            path.display(),
            order.version
        )));
    }
    // Its folder is where it works from; nothing else of the host's is kept busy.
    rustix::process::chdir(dir).doing(|| format!("enter `{}`", dir.display()))?;
    Ok(order)
}

/// Listens in the current folder; only the owner may connect.
fn listen() -> Result<OwnedFd, Failure> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
    let doing = || "listen on the shim's socket";
    // One of an earlier run is nobody's: we hold the lock.
    let _ = std::fs::remove_file(SOCKET);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).doing(doing)?;
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    // A relative name, so that the folder's path may be longer than a socket's name.
    let bound = SocketAddrUnix::new(SOCKET).and_then(|name| bind(&socket, &name));
    rustix::process::umask(before);
    bound.doing(doing)?;
    base::crash::point("shim: socket bound");
    listen(&socket, 16).doing(doing)?;
    Ok(socket)
}
