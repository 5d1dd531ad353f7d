//! The secret under which instances have their marks in cookies.
//!
//! Owns `edge/instances.key`, which its owner alone can read: 32 bytes in hexadecimal digits, made when they are first
//! needed. Every edge of this folder goes by it, so that clients stay where they are when one replaces another.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base::ContainerId;

const NAME: &str = "instances.key";

/// Gives instances their marks.
pub(super) struct Marks(Key);

impl Marks {
    /// By the secret of this folder. Where none can be kept, by one that ends with this process.
    pub(super) fn of(folder: &Path) -> Self {
        let secret = read(folder).unwrap_or_else(|| {
            let secret = base::kernel_bytes();
            if let Err(error) = keep(folder, &secret) {
                let path = folder.join(NAME);
                tracing::warn!(%error, "could not keep `{}`: clients lose their instances with this process", path.display());
            }
            secret
        });
        Self(Key::new(HMAC_SHA256, &secret))
    }

    /// The mark of an instance.
    pub(super) fn mark(&self, instance: &ContainerId, address: SocketAddr) -> u64 {
        let text = format!("{instance} {}", address.port());
        let tag = sign(&self.0, text.as_bytes());
        tag.as_ref().first_chunk().map_or(0, |first: &[u8; 8]| u64::from_be_bytes(*first))
    }
}

fn read(folder: &Path) -> Option<[u8; 32]> {
    let text = fs::read_to_string(folder.join(NAME)).ok()?;
    let bytes = data_encoding::HEXLOWER.decode(text.trim_end().as_bytes()).ok()?;
    bytes.try_into().ok()
}

/// Writes it so that it is there whole or not at all.
fn keep(folder: &Path, secret: &[u8; 32]) -> io::Result<()> {
    let fresh = folder.join(format!("{NAME}.new"));
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
    writeln!(file, "{}", data_encoding::HEXLOWER.encode(secret))?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(NAME))
}

#[cfg(test)]
mod tests {
    //! That marks stay with the folder and say nothing.

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn marks_are_the_same_in_every_edge_of_a_folder_and_others_elsewhere() {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let one = ContainerId::from_bytes([1; 32]);
        let (at, other): (SocketAddr, _) = (([10, 0, 0, 1], 80).into(), ([10, 0, 0, 1], 81).into());
        let mark = Marks::of(here.path()).mark(&one, at);
        assert_eq!(Marks::of(here.path()).mark(&one, at), mark);
        // The address alone may change; the port tells two of one instance apart.
        assert_eq!(Marks::of(here.path()).mark(&one, ([10, 0, 0, 9], 80).into()), mark);
        assert_ne!(Marks::of(here.path()).mark(&one, other), mark);
        assert_ne!(Marks::of(there.path()).mark(&one, at), mark);
        let mode = fs::metadata(here.path().join(NAME)).expect("it is kept").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_cannot_be_read_is_made_anew_and_a_folder_that_is_gone_costs_no_edge() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(NAME), "nonsense").expect("a file");
        let (one, at) = (ContainerId::from_bytes([1; 32]), ([10, 0, 0, 1], 80).into());
        let mark = Marks::of(folder.path()).mark(&one, at);
        assert_eq!(Marks::of(folder.path()).mark(&one, at), mark);
        let gone = folder.path().join("gone");
        assert_ne!(Marks::of(&gone).mark(&one, at), Marks::of(&gone).mark(&one, at));
    }
}
