//! What the tests of this crate share: an open store with small images in it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use testkit::{Entry, TestImage, docker_save, require_root, tar};

use crate::{Images, Limits, Loaded, Options};

/// A store in a folder of its own.
pub(crate) struct Fixture {
    pub(crate) images: Images,
    pub(crate) dir: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        require_root();
        let dir = tempfile::tempdir().unwrap();
        let images = Images::open_with(dir.path(), Options { limits, ..Options::default() }).unwrap();
        Self { images, dir }
    }

    /// Closes the store and opens it again, as a restart does.
    pub(crate) fn reopened(self) -> Self {
        let Self { images, dir } = self;
        drop(images);
        Self { images: Images::open(dir.path()).unwrap(), dir }
    }

    /// What is under way, or was when something crashed.
    pub(crate) fn strays(&self) -> Vec<String> {
        ["incoming", "unpacking"].iter().flat_map(|folder| names(&self.path(folder))).collect()
    }

    pub(crate) fn load(&self, archive: &[u8]) -> Vec<Loaded> {
        self.images.load(archive, &mut |_| {}).unwrap()
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }
}

/// An image of two layers: the lower is the same for all, the upper holds the name.
pub(crate) fn small(name: &str) -> TestImage {
    let base = tar(&[Entry::dir("etc"), Entry::file("etc/os", "test"), Entry::dir("tmp").mode(0o1777)]);
    let top = tar(&[Entry::file("name", name), Entry::file("etc/.wh.os", "")]);
    TestImage::new(name, vec![base, top])
}

pub(crate) fn archive(names: &[&str]) -> Vec<u8> {
    docker_save(&names.iter().map(|name| small(name)).collect::<Vec<_>>())
}

/// The names in a folder, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
