//! Compose files on the disk.

use std::cell::RefCell;
use std::io::{self, Read};
use std::path::Path;

use compose::Files;

/// The disk; `-` is standard input, which is read once and kept.
#[derive(Default)]
pub(crate) struct Disk {
    stdin: RefCell<Option<Vec<u8>>>,
}

impl Files for Disk {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if path != "-" {
            return std::fs::read(path);
        }
        let mut kept = self.stdin.borrow_mut();
        if let Some(text) = &*kept {
            return Ok(text.clone());
        }
        let mut text = Vec::new();
        io::stdin().lock().read_to_end(&mut text)?;
        *kept = Some(text.clone());
        Ok(text)
    }

    fn exists(&self, path: &str) -> bool {
        path == "-" || Path::new(path).exists()
    }

    fn is_dir(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }

    fn resolve_link(&self, path: &str) -> Option<String> {
        let path = Path::new(path);
        let link = path.ancestors().filter(|part| part.is_symlink()).last()?;
        let target = std::fs::read_link(link).ok()?;
        let whole = link.parent()?.join(target);
        let rest = path.strip_prefix(link).ok()?;
        whole.join(rest).to_str().map(str::to_owned)
    }
}
