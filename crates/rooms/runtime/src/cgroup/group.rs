//! A cgroup that bounds several containers together: theirs lie below it.

use std::io;

use super::{Cgroup, Hierarchies};
use crate::failure::{Doing, Failure};
use crate::order::Limits;

/// A cgroup that bounds several containers together. Make it before the first of them, remove it after the last.
pub struct CgroupGroup(Cgroup);

impl CgroupGroup {
    /// The group at this absolute path below every hierarchy; nothing is made yet.
    pub fn at(path: &str) -> Result<Self, Failure> {
        let hierarchies = Hierarchies::find().doing(|| "find the cgroups of this machine")?;
        Cgroup::at(path, &hierarchies).map(Self)
    }

    /// The names of what is below the cgroup at this path, in any hierarchy.
    pub fn below(path: &str) -> Vec<String> {
        let all = Hierarchies::find().ok().and_then(|all| Cgroup::at(path, &all).ok());
        let dirs = all.into_iter().flat_map(|cgroup| {
            cgroup.first.into_iter().map(|(_, dir)| dir).chain(cgroup.second).collect::<Vec<_>>()
        });
        let entries = dirs.filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut names: Vec<String> =
            folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Makes it and sets its bounds. Gives what this machine cannot bound.
    pub fn create(&self, limits: &Limits) -> Result<Vec<String>, Failure> {
        let mut notes = Vec::new();
        self.0.create(limits, &mut notes)?;
        Ok(notes)
    }

    /// Removes it, with what is still in it.
    pub fn remove(&self) -> io::Result<()> {
        self.0.remove()
    }
}
