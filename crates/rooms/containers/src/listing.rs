//! Containers as others see them.

use base::{AppName, ContainerId, ServiceName};
use std::net::IpAddr;

use crate::cell::Health;
use crate::record::Record;
use crate::{ContainerError, Containers};

/// A container as it is at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// What is kept of it.
    pub record: Record,
    /// Whether it is well.
    pub health: Health,
    /// Its addresses, in the order of its interfaces.
    pub addresses: Vec<IpAddr>,
    /// Somebody is stopping it.
    pub stopping: bool,
}

/// Which containers to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Also those that do not run.
    pub all: bool,
    /// Only instances of this app.
    pub app: Option<AppName>,
    /// Only instances of these services; all when empty.
    pub services: Vec<ServiceName>,
}

impl Containers {
    /// The containers that the filter lets through, the newest first.
    pub fn list(&self, filter: &Filter) -> Vec<View> {
        let mut views: Vec<View> = self.cells().iter().map(|cell| view(cell)).collect();
        views.retain(|view| {
            let owner = view.record.owner.as_ref();
            (filter.all || view.record.state.runs() || view.record.restarts_soon())
                && filter.app.as_ref().is_none_or(|app| owner.is_some_and(|owner| owner.app == *app))
                && (filter.services.is_empty()
                    || owner.is_some_and(|owner| filter.services.contains(&owner.service)))
        });
        views.sort_by_key(|view| (std::cmp::Reverse(view.record.created), view.record.name.clone()));
        views
    }

    /// One of them.
    pub fn inspect(&self, id: &ContainerId) -> Result<View, ContainerError> {
        Ok(view(&*self.cell(id)?))
    }

    /// What it runs: the command line, as far as its image is here to tell.
    pub fn command(&self, record: &Record) -> Vec<String> {
        match self.inner.rooms.images.find(&record.image_id) {
            Ok(image) => crate::order::command_line(&record.service, &image.config),
            Err(_) => record.service.command.clone().unwrap_or_default(),
        }
    }

    /// The folder with its log files.
    pub fn log_folder(&self, id: &ContainerId) -> Result<std::path::PathBuf, ContainerError> {
        Ok(self.cell(id)?.folder.clone())
    }

    /// Waits until its process has ended; answers with what is true then.
    pub async fn wait(&self, id: &ContainerId) -> Result<View, ContainerError> {
        let cell = self.cell(id)?;
        cell.until_ended().await;
        Ok(view(&cell))
    }

    /// What its processes use.
    pub async fn stats(&self, id: &ContainerId) -> Result<runtime::Stats, ContainerError> {
        let cell = self.cell(id)?;
        let name = cell.record().name;
        let shim = cell.shim().ok_or_else(|| ContainerError::NotRunning(name.clone()))?;
        shim.stats().await.map_err(|problem| ContainerError::failed(format!("measure `{name}`"), &problem))
    }

    /// The images that containers are made from, by id.
    pub fn images_in_use(&self) -> Vec<String> {
        self.cells().into_iter().flat_map(|cell| cell.record().images()).collect()
    }

    /// Whether there is no container that anybody can name.
    pub fn is_empty(&self) -> bool {
        self.index().cells.is_empty()
    }

    /// The ids of all containers, which are the keys of their snapshots; also of those whose record is damaged.
    pub fn ids(&self) -> Vec<ContainerId> {
        let index = self.index();
        index.cells.keys().chain(&index.damaged).cloned().collect()
    }
}

pub(crate) fn view(cell: &crate::cell::Cell) -> View {
    let live = cell.live();
    View {
        record: live.record.clone(),
        health: live.health.clone(),
        addresses: live.addresses.clone(),
        stopping: live.stopping,
    }
}
