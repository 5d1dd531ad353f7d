//! The daemon's root folder: where it is by default, and its lock.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Clock, Kind, Report, SystemClock};
use cli::args::Global;
use rustix::fs::{FlockOperation, flock};

/// Where a daemon of the whole machine keeps its things.
const SYSTEM: &str = "/var/lib/sea";

/// So long a daemon that was killed may have the lock: a process that it was just making has it until it is another program.
const LOCKED: Duration = Duration::from_secs(1);
/// Between two looks whether the lock is free.
const LOOK: Duration = Duration::from_millis(5);

/// Where a daemon is.
pub(crate) struct Place {
    /// Its root folder.
    pub(crate) root: PathBuf,
    /// The socket that it answers on.
    pub(crate) socket: PathBuf,
}

/// Where the daemon is that the flags and the surroundings name.
pub(crate) fn of(global: &Global) -> Result<Place, Report> {
    if let Some(host) = &global.host {
        let path = host.strip_prefix("unix://").ok_or_else(|| {
            Report::new(Kind::Unsupported, format!("`{host}` cannot be reached"))
                .hint("there is `unix://PATH/sea.sock`; other machines come later")
        })?;
        let socket = absolute(Path::new(path))?;
        let root = socket.parent().unwrap_or(Path::new("/")).to_owned();
        return Ok(Place { root, socket });
    }
    let root = folder(global)?;
    Ok(Place { socket: root.join("sea.sock"), root })
}

fn folder(global: &Global) -> Result<PathBuf, Report> {
    match &global.root {
        Some(root) => absolute(root),
        None if rustix::process::geteuid().is_root() => Ok(SYSTEM.into()),
        None => {
            let home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
            let home =
                home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")));
            let none =
                || Report::new(Kind::Invalid, "no root folder is named").hint("give one with `--root`");
            home.map(|home| home.join("sea")).ok_or_else(none)
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Report> {
    std::path::absolute(path).map_err(|error| {
        Report::new(Kind::Invalid, format!("`{}` is not a path", path.display())).because(error)
    })
}

/// This program's own file.
pub(crate) fn program() -> Result<PathBuf, Report> {
    std::env::current_exe()
        .map_err(|error| Report::new(Kind::Internal, "this program cannot find its own file").because(error))
}

/// The root, made if need be and locked for this daemon as long as the lock is held.
pub(crate) fn open(root: &Path) -> Result<(PathBuf, File), Report> {
    let failed = |error: std::io::Error| {
        Report::new(Kind::Unavailable, format!("could not open the root folder `{}`", root.display()))
            .because(error)
            .hint("see that its disk has room and is not read-only, or name another folder with `--root`")
    };
    DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
    // One root has one tag, however its path is written.
    let root = fs::canonicalize(root).map_err(failed)?;
    // It holds secrets, whoever made it.
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    let lock =
        File::options().create(true).truncate(false).write(true).open(root.join("lock")).map_err(failed)?;
    let began = SystemClock.now();
    while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        if SystemClock.now().since(began) >= LOCKED {
            let text = format!("a daemon runs already on the root folder `{}`", root.display());
            return Err(Report::new(Kind::Conflict, text)
                .hint("use that one, or start another with a folder of its own: `--root`"));
        }
        std::thread::sleep(LOOK);
    }
    base::crash::point("daemon: root locked");
    Ok((root, lock))
}
