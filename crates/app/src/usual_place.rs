//! `/var/run/docker.sock`: where docker's clients look when nobody tells them otherwise.
//!
//! The daemon of the usual root links its socket there, when nothing else is there: a socket of docker's stays, even of one
//! that does not run. A link of our own that leads nowhere is renewed, and the link goes when the daemon stops.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The place.
const PLACE: &str = "/var/run/docker.sock";
/// The root whose daemon may take it: those of tests and of other people's experiments do not.
const ROOT: &str = "/var/lib/sea";

/// The link, as long as it is ours.
pub(crate) struct UsualPlace {
    place: PathBuf,
    socket: PathBuf,
}

impl UsualPlace {
    /// Links this socket there, if it may.
    pub(crate) fn take(socket: &Path) -> Option<Self> {
        if socket.parent() != Some(Path::new(ROOT)) {
            return None;
        }
        match link(Path::new(PLACE), socket) {
            Ok(true) => Some(Self { place: PLACE.into(), socket: socket.to_owned() }),
            Ok(false) => {
                tracing::info!(
                    "`{PLACE}` is somebody else's; docker's clients find us at `{}`",
                    socket.display()
                );
                None
            }
            Err(error) => {
                tracing::warn!("could not link `{PLACE}` to `{}`: {error}", socket.display());
                None
            }
        }
    }
}

impl Drop for UsualPlace {
    fn drop(&mut self) {
        if fs::read_link(&self.place).is_ok_and(|to| to == self.socket) {
            // What cannot be removed is renewed by the next start.
            let _ = fs::remove_file(&self.place);
        }
    }
}

/// Makes the link; false when something else is there.
fn link(place: &Path, socket: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(there) if there.is_symlink() && fs::read_link(place)? == socket => return Ok(true),
        Ok(_) => return Ok(false),
    }
    symlink(socket, place).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::link;

    #[test]
    fn a_free_place_is_taken_our_own_kept_and_another_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, socket) = (folder.path().join("docker.sock"), folder.path().join("ours.sock"));
        assert!(link(&place, &socket).expect("it is made"));
        assert!(link(&place, &socket).expect("it is ours"));
        assert!(!link(&place, &folder.path().join("other.sock")).expect("it is another's"));
        std::fs::remove_file(&place).expect("it is there");
        std::fs::write(&place, "").expect("a file");
        assert!(!link(&place, &socket).expect("it is a file of somebody's"));
    }
}
