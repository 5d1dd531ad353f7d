//! Whether there is exactly what the daemon says: each thing in the folder and on the machine belongs to something that
//! it lists, and nothing of what it lists is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{Sea, process, until_ok};

type Names = BTreeSet<String>;

impl Sea {
    /// Waits until nothing is extra and nothing is missing.
    pub fn is_exact(&self) -> Result<()> {
        until_ok("there is exactly what the daemon lists", 15, || self.look_closely())
    }

    /// The same, unless a process dies at its point meanwhile.
    pub fn is_exact_or_crashed(&self) -> Result<()> {
        let look = || if self.crashed() { Ok(()) } else { self.look_closely() };
        until_ok("there is exactly what the daemon lists", 15, look)
    }

    fn look_closely(&self) -> Result<()> {
        let list = self.asked(&["ps", "--all", "--everything"])?;
        let containers: Vec<&Value> = list.as_array().context("a list")?.iter().collect();
        let id = |view: &&Value| view["id"].as_str().unwrap_or_default().to_owned();
        let all: Names = containers.iter().map(id).collect();
        let running: Vec<&Value> = containers
            .into_iter()
            .filter(|view| view["state"] == "running" || view["state"] == "paused")
            .collect();
        let networked = running.iter().filter(|view| joined(view) > 0);
        let attached: Names = networked.map(id).collect();
        let live: Names = running.iter().map(id).collect();

        same("folders of containers", &self.names_in("containers"), &all)?;
        same("writable layers", &self.names_in("images/snapshots"), &all)?;
        let records = self.names_in("network/attached");
        let records = records.iter().map(|name| name.trim_end_matches(".json").to_owned()).collect();
        same("records of addresses", &records, &attached)?;
        same("volumes", &self.names_in("volumes"), &names(&self.asked(&["volume", "ls"])?))?;
        for work in ["images/incoming", "build/runs", "build/scratch"] {
            same(work, &self.names_in(work), &Names::new())?;
        }
        self.links_are(running.iter().map(|view| joined(view)).sum())?;
        self.cgroups_are(&all, &live)?;
        same("shims", &self.shims(), &live)?;
        self.routes_are_of(&live)
    }

    /// A bridge for each network, a link for each address, and a table if there is anything to filter.
    fn links_are(&self, addresses: usize) -> Result<()> {
        let networks = names(&self.asked(&["network", "ls"])?).len();
        let links = self.traces().links();
        ensure!(
            links.len() == networks + addresses,
            "{networks} networks and {addresses} addresses, but the links {links:?}"
        );
        let tables = self.traces().tables();
        ensure!(tables.len() == usize::from(networks > 0), "{networks} networks, but the tables {tables:?}");
        let mounts = self.traces().mounts();
        ensure!(mounts.is_empty(), "mounts of containers are seen outside: {mounts:?}");
        Ok(())
    }

    fn cgroups_are(&self, all: &Names, live: &Names) -> Result<()> {
        let roots = self.traces().cgroups();
        ensure!(roots.is_empty() || !all.is_empty(), "no containers, but the cgroups {roots:?}");
        for root in roots {
            let below = names_in(&root).into_iter().filter(|name| root.join(name).is_dir());
            for name in below {
                let known = live.iter().any(|id| name.contains(&id[..12]));
                ensure!(known, "the cgroup `{}` belongs to nothing that runs", root.join(name).display());
            }
        }
        Ok(())
    }

    /// The containers that have a shim.
    fn shims(&self) -> Names {
        let of = |pid: i32| {
            let words = process::arguments(pid);
            let folder = words.get(2).filter(|_| words.get(1).is_some_and(|word| word == "shim"))?;
            Path::new(folder).file_name()?.to_str().map(str::to_owned)
        };
        // What it makes are processes of its own name until they become the program.
        self.traces().processes().into_iter().filter_map(of).collect()
    }

    fn routes_are_of(&self, live: &Names) -> Result<()> {
        let apps = names(&self.asked(&["ls"])?);
        let Ok(text) = fs::read_to_string(self.root().join("edge/table.json")) else { return Ok(()) };
        let table: Value = serde_json::from_str(&text)?;
        for owner in table["document"]["shares"].as_object().into_iter().flat_map(|shares| shares.keys()) {
            let known = match owner.strip_prefix("container:") {
                Some(id) => live.contains(id),
                None => apps.contains(owner),
            };
            ensure!(known, "the edge has routes of `{owner}`, which is gone");
        }
        Ok(())
    }

    fn asked(&self, arguments: &[&str]) -> Result<Value> {
        let done = self.sea(&[&["--format", "json"], arguments].concat());
        ensure!(done.code == 0, "{done}");
        Ok(done.json())
    }

    fn names_in(&self, folder: &str) -> Names {
        names_in(&self.root().join(folder))
    }
}

fn joined(view: &Value) -> usize {
    view["networks"].as_array().map_or(0, Vec::len)
}

fn names(list: &Value) -> Names {
    let name = |one: &Value| one["name"].as_str().map(str::to_owned);
    list.as_array().into_iter().flatten().filter_map(name).collect()
}

fn names_in(folder: &Path) -> Names {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn same(what: &str, there: &Names, wanted: &Names) -> Result<()> {
    let extra: Vec<_> = there.difference(wanted).collect();
    let missing: Vec<_> = wanted.difference(there).collect();
    ensure!(extra.is_empty() && missing.is_empty(), "{what}: extra {extra:?}, missing {missing:?}");
    Ok(())
}
