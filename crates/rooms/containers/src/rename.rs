//! Giving a container another name: among the containers, in its record, and on its networks.

use base::{ContainerId, ContainerName, Kind, Problem};

use crate::problem::ContainerError;
use crate::start::own_names;
use crate::{Containers, events};

/// Why a container kept its name.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// It has that name.
    #[error("container `{0}` has that name already")]
    Same(ContainerName),
    /// There is no such container, the name is taken, or it could not be kept.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

impl Problem for RenameError {
    fn kind(&self) -> Kind {
        match self {
            Self::Same(_) => Kind::Invalid,
            Self::Container(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Same(_) => None,
            Self::Container(error) => error.hint(),
        }
    }
}

impl Containers {
    /// Gives a container another name. One that runs is found under it on its networks at once.
    pub async fn rename(&self, id: &ContainerId, name: ContainerName) -> Result<(), RenameError> {
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        // Somebody else may have removed it while we waited.
        self.cell(id)?;
        let old = cell.record().name;
        if old == name {
            return Err(RenameError::Same(name));
        }
        {
            let mut index = self.index();
            if let Some(by) = index.names.get(name.as_str()) {
                return Err(ContainerError::NameTaken { name, by: by.short().into() }.into());
            }
            index.names.insert(name.to_string(), id.clone());
        }
        base::crash::point("container: another name reserved");
        if let Err(error) = cell.update(|live| live.record.name = name.clone()) {
            // Memory must say what the disk says.
            cell.live().record.name = old;
            self.index().names.remove(name.as_str());
            return Err(ContainerError::Record(error).into());
        }
        self.index().names.remove(old.as_str());
        let record = cell.record();
        if record.state.runs() && !record.networks.is_empty() {
            let hostname = crate::order::hostname(&record);
            let names = own_names(&record, hostname.as_deref());
            // Its links are as they were; names that could not be told now are told with the next change.
            if let Err(problem) = self.inner.rooms.networks.rename(id, names).await {
                tracing::warn!(container.id = %id, "could not change a container's name on its networks: {problem}");
            }
        }
        base::crash::point("container: another name told");
        events::renamed(self, &record, old.as_str());
        self.announce(&cell);
        Ok(())
    }
}
