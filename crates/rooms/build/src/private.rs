//! What a command is lent and nothing keeps: secrets as files in memory, and sockets that lead to ssh agents.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use base::kernel_bytes;

use crate::mounts::Access;
use crate::ports::Agents;

/// Connections that one command has to one agent at once.
const MAX_CONNECTIONS: usize = 16;

/// A folder of root's own that goes with the command.
pub(crate) struct Private(PathBuf);

impl Private {
    /// Makes it in this folder, which should be in memory.
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        let name: String = kernel_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let made = Self(parent.join(format!("lent-{name}")));
        fs::create_dir(&made.0)?;
        fs::set_permissions(&made.0, Permissions::from_mode(0o700))?;
        Ok(made)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8], access: Access) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(bytes)?;
        chown(&path, Some(access.uid), Some(access.gid))?;
        fs::set_permissions(&path, Permissions::from_mode(access.mode & 0o7777))?;
        Ok(path)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            let path = self.0.display();
            tracing::error!(path = %path, error = %error, "could not remove the secrets of a build at `{path}`; remove them");
        }
    }
}

/// A socket whose connections are carried to an agent.
pub(crate) struct Agent {
    path: PathBuf,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Agent {
    /// Listens at `path` until it is dropped.
    pub(crate) fn listen(
        path: &Path,
        id: &str,
        agents: &Arc<dyn Agents>,
        access: Access,
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        chown(path, Some(access.uid), Some(access.gid))?;
        fs::set_permissions(path, Permissions::from_mode(access.mode & 0o7777))?;
        let over = Arc::new(AtomicBool::new(false));
        let (ended, agents, id) = (over.clone(), agents.clone(), id.to_owned());
        let accepting = std::thread::Builder::new()
            .name("ssh agent".into())
            .spawn(move || accept(&listener, &ended, &id, &agents))?;
        Ok(Self { path: path.to_owned(), over, accepting: Some(accepting) })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes whoever accepts.
        drop(UnixStream::connect(&self.path));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &UnixListener, over: &AtomicBool, id: &str, agents: &Arc<dyn Agents>) {
    let open = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(connection) = connection else { continue };
        if open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            tracing::warn!(
                "a build step has more than {MAX_CONNECTIONS} connections to its ssh agent; one is refused"
            );
            continue;
        }
        let agent = match agents.connect(id) {
            Ok(agent) => agent,
            Err(report) => {
                tracing::warn!("a build step cannot reach its ssh agent: {report}");
                continue;
            }
        };
        open.fetch_add(1, Ordering::Relaxed);
        let open = open.clone();
        std::thread::spawn(move || {
            carry(&connection, &agent);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Carries bytes both ways until one side ends.
fn carry(one: &UnixStream, other: &UnixStream) {
    std::thread::scope(|scope| {
        scope.spawn(|| copy(one, other));
        copy(other, one);
    });
}

fn copy(mut from: &UnixStream, mut to: &UnixStream) {
    let mut buffer = [0u8; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(got) => {
                if to.write_all(&buffer[..got]).is_err() {
                    break;
                }
            }
        }
    }
    // Whoever waits for the other way learns that it is over.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
