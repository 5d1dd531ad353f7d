//! The edge's own HTTP addresses, which stay when it is replaced, also those whose port the kernel chose.
//!
//! Owns `edge/http.json` and `edge/https.json`: each address as it was asked for, and what it became.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use base::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

use super::StartError;
use crate::listen::{self, ListenError};
use crate::protocol::{READ, VERSION};

/// How long the last edge of this root may take to let go of its addresses: the kernel closes the files of a killed
/// process one after the other.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries.
const LOOK: Duration = Duration::from_millis(5);

/// `http.json`, `https.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// As asked for, and as bound.
    addresses: Vec<(SocketAddr, SocketAddr)>,
}

/// An address with a listener for each thread.
pub(super) type Front = (SocketAddr, Vec<TcpListener>);

/// Listens on all addresses; port 0 becomes the port that it was before, if that can be had.
pub(super) async fn open(
    path: &Path,
    asked: &[SocketAddr],
    threads: usize,
    patience: Duration,
) -> Result<Vec<Front>, StartError> {
    let mut before = read(path);
    let mut fronts = Vec::new();
    let mut addresses = Vec::new();
    for wanted in asked {
        let known = before.iter().position(|(asked, _)| asked == wanted).map(|at| before.remove(at).1);
        let again = match known.filter(|_| wanted.port() == 0) {
            Some(known) => again(known, threads, patience).await,
            None => None,
        };
        let front = match again {
            Some(front) => front,
            None => listen::streams(*wanted, threads).map_err(|source| StartError::Listen { source })?,
        };
        addresses.push((*wanted, front.0));
        fronts.push(front);
    }
    let failed = |source| StartError::Folder { path: path.to_path_buf(), source };
    write(path, &Kept { version: VERSION, addresses }).map_err(failed)?;
    Ok(fronts)
}

/// Listens where an edge of this root listened before.
async fn again(address: SocketAddr, threads: usize, patience: Duration) -> Option<Front> {
    let began = SystemClock.now();
    loop {
        match listen::streams(address, threads) {
            Ok(front) => return Some(front),
            Err(ListenError::InUse { .. }) if SystemClock.now().since(began) < patience => {
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => {
                tracing::warn!(%error, "`{address}` cannot be had again; another port takes its place");
                return None;
            }
        }
    }
}

/// What was bound before; nothing if that cannot be read, as every port will do then.
fn read(path: &Path) -> Vec<(SocketAddr, SocketAddr)> {
    let bytes = fs::read(path).unwrap_or_default();
    let kept = serde_json::from_slice::<Kept>(&bytes);
    kept.ok().filter(|kept| READ.contains(&kept.version)).map_or_else(Vec::new, |kept| kept.addresses)
}

fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    fs::write(&fresh, serde_json::to_vec(kept)?)?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests;
