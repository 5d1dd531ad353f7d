//! The processes in a container as a table, with the columns that `ps` has for the same words.
//!
//! The table is made here and not by a `ps` of the host: it is there whatever the host has installed, and no word of a
//! client becomes an argument of a program. Names of users are the host's, as a `ps` there would tell; times of day are
//! UTC. Threads, sorting and trees are refused.

mod columns;
mod options;
mod sight;

use base::ContainerId;

use crate::problem::ContainerError;
use crate::root::off_thread;
use crate::{Containers, events};
use columns::Column;
use sight::{Machine, Sight};

/// A table of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTable {
    /// The columns' titles.
    pub titles: Vec<String>,
    /// A row a process, with as many texts as there are titles.
    pub rows: Vec<Vec<String>>,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// There is no such container, or it does not run.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The words for the columns make no sense.
    #[error("{0}")]
    Words(String),
}

impl Containers {
    /// The processes in it, with the columns that `ps` shows for these words.
    pub async fn top(&self, id: &ContainerId, words: &str) -> Result<ProcessTable, TopError> {
        let columns = options::parse(words).map_err(TopError::Words)?;
        let cell = self.cell(id)?;
        let name = cell.record().name;
        let shim = cell.shim().ok_or_else(|| ContainerError::NotRunning(name.clone()))?;
        let seen = shim
            .top()
            .await
            .map_err(|problem| ContainerError::failed(format!("list the processes of `{name}`"), &problem))?;
        let pids: Vec<i32> = seen.iter().map(|process| process.pid).collect();
        let now = self.clock().wall();
        let table = off_thread(move || Ok(table(&columns, &pids, &Machine::look(now)))).await?;
        events::noted(self, &cell.record(), "ContainerTop", "top");
        Ok(table)
    }
}

fn table(columns: &[(Column, String)], pids: &[i32], machine: &Machine) -> ProcessTable {
    let mut pids = pids.to_vec();
    pids.sort_unstable();
    let row = |pid: &i32| {
        let sight = Sight::of(*pid)?;
        Some(columns.iter().map(|(column, _)| column.text(&sight, machine)).collect())
    };
    ProcessTable {
        titles: columns.iter().map(|(_, title)| title.clone()).collect(),
        rows: pids.iter().filter_map(row).collect(),
    }
}

#[cfg(test)]
mod tests;
