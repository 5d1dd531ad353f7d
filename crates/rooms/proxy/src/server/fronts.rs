//! The edge's own HTTP addresses, which stay when it is replaced, also those whose port the kernel chose.
//!
//! Owns `edge/http.json` and `edge/https.json`: each address as it was asked for, and what it became.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

use super::StartError;
use super::listening::{Listening, Opened};
use crate::handover::{Place, Purpose};
use crate::listen::ListenError;
use crate::protocol::{READ, VERSION};

/// How long the last edge of this root may take to let go of its addresses: the kernel closes the files of a killed
/// process one after the other, on a busy machine after a while.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const LOOK: Duration = Duration::from_millis(5);

/// `http.json`, `https.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// As asked for, and as bound.
    addresses: Vec<(SocketAddr, SocketAddr)>,
}

/// Listens on all addresses; port 0 becomes the port that it was before, if that can be had.
pub(super) async fn open(
    path: &Path,
    asked: &[SocketAddr],
    purpose: Purpose,
    listening: &mut Listening,
    patience: Duration,
) -> Result<Vec<Opened>, StartError> {
    let mut before = read(path);
    let mut fronts = Vec::new();
    let mut addresses = Vec::new();
    for wanted in asked {
        let kept = before.iter().position(|(asked, _)| asked == wanted).map(|at| before.remove(at).1);
        let kept = kept.filter(|_| wanted.port() == 0);
        // A socket that was handed over knows its port better than the file.
        let again = match listening.before(purpose, *wanted).or(kept) {
            Some(address) => again(Place { purpose, address }, listening, patience).await,
            None => None,
        };
        let front = match again {
            Some(front) => front,
            None => listening
                .open(Place { purpose, address: *wanted })
                .map_err(|source| StartError::Listen { source })?,
        };
        addresses.push((*wanted, front.0));
        fronts.push(front);
    }
    let failed = |source| StartError::Folder { path: path.to_path_buf(), source };
    write(path, &Kept { version: VERSION, addresses }).map_err(failed)?;
    Ok(fronts)
}

/// Listens where an edge of this root listened before.
async fn again(place: Place, listening: &mut Listening, patience: Duration) -> Option<Opened> {
    let began = SystemClock.now();
    let address = place.address;
    loop {
        match listening.open(place) {
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
