//! Where the edge of a root answered last: `ROOT/http`, so that a daemon without an order finds it there again.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

const FILE: &str = "http";

/// The address, if one is kept that can be read. Without one the edge answers where it would for a new root.
pub(crate) fn read(root: &Path) -> Option<SocketAddr> {
    fs::read_to_string(root.join(FILE)).ok()?.trim().parse().ok()
}

/// Keeps it; a crash leaves the old one or the new one.
pub(crate) fn write(root: &Path, address: SocketAddr) -> io::Result<()> {
    let fresh = root.join("http.new");
    fs::write(&fresh, address.to_string())?;
    base::crash::point("daemon: address of the edge beside");
    fs::rename(fresh, root.join(FILE))?;
    base::crash::point("daemon: address of the edge kept");
    Ok(())
}

#[cfg(test)]
mod tests;
