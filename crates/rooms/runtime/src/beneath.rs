//! Opening what lies below a folder, and nothing else: a link that leads out of it leads nowhere.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// A file or folder below `base`, held but not opened.
pub fn open_beneath(base: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let told = |error: Errno| match error {
        Errno::XDEV => io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("path concatenation escapes the base directory, subpath: {}", path.display()),
        ),
        error => {
            let error = io::Error::from(error);
            let text = error.to_string();
            let why = text.split(" (os error").next().unwrap_or_default().to_lowercase();
            io::Error::new(error.kind(), format!("cannot access path {}: {why}", path.display()))
        }
    };
    rustix::fs::openat2(base, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), BENEATH).map_err(told)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::open_beneath;

    #[test]
    fn links_lead_no_further_than_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        fs::create_dir_all(base.join("sub/deep")).unwrap();
        symlink("../sub/deep", base.join("sub/good")).unwrap();
        symlink("/", base.join("root")).unwrap();
        symlink("root", base.join("bad")).unwrap();
        symlink("../..", base.join("sub/up")).unwrap();
        let held = File::open(&base).unwrap();
        let open =
            |path: &str| open_beneath(&held, Path::new(path)).map(drop).map_err(|error| error.to_string());
        assert_eq!(open("sub/deep"), Ok(()));
        assert_eq!(open("sub/good"), Ok(()));
        for path in ["root", "bad", "root/etc", "sub/up", "..", "/"] {
            assert!(open(path).unwrap_err().contains("escapes the base directory"), "{path}");
        }
        assert_eq!(open("none").unwrap_err(), "cannot access path none: no such file or directory");
    }
}
