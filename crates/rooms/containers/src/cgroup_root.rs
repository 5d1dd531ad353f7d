//! The cgroup under which all containers of a root are: it goes with the last of them.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::RwLockReadGuard;

use crate::Containers;

/// Where the hierarchies are mounted, on every system that we know.
const MOUNTED: &str = "/sys/fs/cgroup";

impl Containers {
    /// The root's cgroup stays while this is held: for whoever else makes cgroups in it, as builds do.
    pub async fn cgroups_stay(&self) -> RwLockReadGuard<'_, ()> {
        self.inner.launching.read().await
    }

    /// Removes the root's cgroup from every hierarchy, unless containers are there or on their way.
    pub fn tidy_cgroups(&self) {
        if !self.index().cells.is_empty() {
            return;
        }
        // Whoever makes a container holds the other side of this lock.
        let Ok(_nobody_launches) = self.inner.launching.try_write() else { return };
        for folder in places(Path::new(MOUNTED), self.inner.cgroup_root.trim_matches('/')) {
            // One that still has children stays: the next time finds it empty.
            let _ = fs::remove_dir(folder);
            base::crash::point("root's cgroup: one hierarchy left");
        }
    }
}

/// The folder of this cgroup in each hierarchy: below the mount itself (version 2) and below each of its folders.
fn places(mounted: &Path, name: &str) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir(mounted).into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = hierarchies.map(|entry| entry.path().join(name)).collect();
    places.push(mounted.join(name));
    places.retain(|place| place.is_dir());
    places
}
