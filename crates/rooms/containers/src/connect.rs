//! Putting a container on one more network, and taking it off one, whether or not it runs.

use std::net::IpAddr;
use std::sync::Arc;

use base::{ContainerId, ContainerName, Kind, NetworkName, Problem, Report};
use network::{AttachError, AttachOrder};
use spec::{Attachment, NetworkMode};

use crate::cell::Cell;
use crate::problem::ContainerError;
use crate::record::{Record, State};
use crate::{Containers, start};

/// Why a container could not be put on a network, or be taken off it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The container is not there, or its record cannot be kept.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// There is no such network.
    #[error("no network `{0}`")]
    NoNetwork(String),
    /// It is on it already.
    #[error("container `{container}` is on the network `{network}` already")]
    Already {
        /// The container.
        container: ContainerName,
        /// The network.
        network: NetworkName,
    },
    /// It is not on it.
    #[error("container `{container}` is not on the network `{network}`")]
    NotOn {
        /// The container.
        container: ContainerName,
        /// The network.
        network: String,
    },
    /// It has the network of the host or of another container, or none, and so joins no other.
    #[error("container `{container}` has {what} and cannot join a network")]
    Shared {
        /// The container.
        container: ContainerName,
        /// What it has.
        what: &'static str,
        /// In which way.
        mode: NetworkMode,
    },
    /// An address or name that was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The network refused it.
    #[error("could not put `{container}` on the network `{network}`")]
    Attach {
        /// The container.
        container: ContainerName,
        /// The network.
        network: NetworkName,
        /// Why.
        source: Box<AttachError>,
    },
}

impl Problem for ConnectError {
    fn kind(&self) -> Kind {
        match self {
            Self::Container(error) => error.kind(),
            Self::NoNetwork(_) => Kind::NotFound,
            Self::Already { .. } | Self::NotOn { .. } => Kind::Conflict,
            Self::Shared { .. } | Self::Invalid(_) => Kind::Invalid,
            Self::Attach { source, .. } => source.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Container(error) => error.hint(),
            Self::NoNetwork(_) => Some("`sea network ls` lists those there are".into()),
            Self::Shared { .. } => Some("make it anew without that mode".into()),
            Self::Attach { source, .. } => source.hint(),
            Self::Already { .. } | Self::NotOn { .. } | Self::Invalid(_) => None,
        }
    }
}

impl Containers {
    /// Takes those off a network that are gone already: a removal gives addresses back a moment after its answer, and
    /// nobody is to find a network in use by a container that is not there.
    pub async fn let_departed_go(&self, network: &str) {
        let networks = &self.inner.rooms.networks;
        let Ok(view) = networks.inspect(network).await else { return };
        for on in view.attachments.iter().filter(|on| self.cell(&on.container).is_err()) {
            if let Err(problem) = networks.detach_all(&on.container).await {
                tracing::warn!(container.id = %on.container, "could not release the addresses of a container: {problem}");
            }
        }
    }

    /// Puts it on a network: at once when it runs, else from its next start on.
    pub async fn connect_to(
        &self,
        id: &ContainerId,
        network: &NetworkName,
        wish: Attachment,
    ) -> Result<(), ConnectError> {
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        let record = cell.record();
        joins_networks(&record)?;
        check(&wish).map_err(ConnectError::Invalid)?;
        if network.as_str() == network::DEFAULT_NETWORK {
            let made = self.inner.rooms.networks.ensure_default().await;
            made.map_err(|problem| ContainerError::failed("make the default network", &problem))?;
        }
        let there = self.inner.rooms.networks.inspect(network.as_str()).await;
        let there = there.map_err(|_| ConnectError::NoNetwork(network.to_string()))?;
        let on = record.networks.contains_key(network.as_str());
        match &record.state {
            State::Running { .. } if on => {
                Err(ConnectError::Already { container: record.name, network: network.clone() })
            }
            State::Running { pid, .. } => {
                self.join_now(&cell, &record, (network, !there.internal), &wish, *pid).await?;
                self.keep(&cell, |networks| drop(networks.insert(network.to_string(), wish)))?;
                self.connections_changed(&cell).await
            }
            // As docker has it, the later wish replaces the earlier one.
            State::Created | State::Exited { .. } => {
                self.keep(&cell, |networks| drop(networks.insert(network.to_string(), wish)))
            }
        }
    }

    /// Takes away a name that it has for another container.
    pub async fn unlink(&self, id: &ContainerId, alias: &str) -> Result<(), ConnectError> {
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        let record = cell.record();
        let on = record.networks.iter().find(|(_, on)| on.links.iter().any(|link| link.alias == alias));
        let Some((network, mut wish)) = on.map(|(network, on)| (network.clone(), on.clone())) else {
            return Err(ConnectError::NotOn { container: record.name, network: alias.to_owned() });
        };
        wish.links.retain(|link| link.alias != alias);
        let left = start::links(&wish);
        self.keep(&cell, |networks| drop(networks.insert(network.clone(), wish)))?;
        if record.state.runs() {
            let name = NetworkName::new(network).map_err(|error| ConnectError::Invalid(error.to_string()))?;
            self.inner.rooms.networks.set_links(id, &name, left).await.map_err(|problem| {
                ContainerError::failed(format!("change the names that `{}` sees", record.name), &problem)
            })?;
        }
        Ok(())
    }

    /// Takes it off a network.
    pub async fn disconnect_from(&self, id: &ContainerId, network: &str) -> Result<(), ConnectError> {
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        let record = cell.record();
        if !record.networks.contains_key(network) {
            return Err(ConnectError::NotOn { container: record.name, network: network.to_owned() });
        }
        self.keep(&cell, |networks| drop(networks.shift_remove(network)))?;
        if !record.state.runs() {
            return Ok(());
        }
        let name = NetworkName::new(network).map_err(|error| ConnectError::Invalid(error.to_string()))?;
        let networks = &self.inner.rooms.networks;
        let led = networks.attachments(id).await.iter().any(|on| on.network == name && on.default_route);
        networks.detach(&name, id).await.map_err(|problem| {
            ContainerError::failed(format!("take `{}` off the network `{network}`", record.name), &problem)
        })?;
        if led {
            self.lead_elsewhere(&cell).await?;
        }
        self.connections_changed(&cell).await
    }

    async fn join_now(
        &self,
        cell: &Cell,
        record: &Record,
        (network, leads_out): (&NetworkName, bool),
        wish: &Attachment,
        pid: u32,
    ) -> Result<(), ConnectError> {
        let networks = &self.inner.rooms.networks;
        let on = networks.attachments(&cell.id).await;
        let index = (0..).find(|index| !on.iter().any(|one| one.interface == format!("eth{index}")));
        let way_out = on.iter().find(|one| one.default_route).map(|one| one.network.to_string());
        // The highest priority leads out; among equals, the one that does already.
        let default_route = leads_out
            && way_out.is_none_or(|name| {
                record.networks.get(&name).is_some_and(|other| wish.gw_priority > other.gw_priority)
            });
        let health = cell.live().health.clone();
        let order = AttachOrder {
            container: cell.id.clone(),
            pid,
            index: index.unwrap_or_default(),
            names: start::own_names(record, crate::order::hostname(record).as_deref()),
            aliases: start::aliases(record, wish),
            ipv4: wish.ipv4_address.as_deref().and_then(|text| text.parse().ok()),
            ipv6: wish.ipv6_address.as_deref().and_then(|text| text.parse().ok()),
            mac: wish.mac_address.as_deref().and_then(|text| text.parse().ok()),
            default_route: false,
            dns: record.service.dns.clone(),
            links: start::links(wish),
            link_local: wish.link_local_ips.iter().filter_map(|text| text.parse().ok()).collect(),
            interface: wish.interface_name.clone(),
            ready: !health.checked || health.well == Some(true) || !record.names_wait(),
            instance_of: start::instance_of(record),
        };
        networks.attach(network, order).await.map_err(|source| ConnectError::Attach {
            container: record.name.clone(),
            network: network.clone(),
            source: Box::new(source),
        })?;
        if default_route {
            self.lead(cell, network).await?;
        }
        Ok(())
    }

    /// After the network that led out is gone: the highest priority of those that are left, then the first name.
    async fn lead_elsewhere(&self, cell: &Cell) -> Result<(), ConnectError> {
        let record = cell.record();
        let mut left: Vec<_> =
            record.networks.iter().map(|(name, one)| (std::cmp::Reverse(one.gw_priority), name)).collect();
        left.sort();
        for (_, name) in left {
            let internal = self.inner.rooms.networks.inspect(name).await.is_ok_and(|view| view.internal);
            if let (false, Ok(name)) = (internal, NetworkName::new(name.clone())) {
                return self.lead(cell, &name).await;
            }
        }
        Ok(())
    }

    async fn lead(&self, cell: &Cell, network: &NetworkName) -> Result<(), ConnectError> {
        self.inner.rooms.networks.lead_out(&cell.id, network).await.map_err(|problem| {
            ContainerError::failed(format!("lead the way out of `{}`", cell.record().name), &problem).into()
        })
    }

    fn keep(
        &self,
        cell: &Cell,
        change: impl FnOnce(&mut indexmap::IndexMap<String, Attachment>),
    ) -> Result<(), ConnectError> {
        cell.update(|live| change(&mut live.record.networks)).map_err(ContainerError::from)?;
        self.announce(cell);
        Ok(())
    }

    /// Its addresses are others now: whoever reaches it must know.
    async fn connections_changed(&self, cell: &Arc<Cell>) -> Result<(), ConnectError> {
        let on = self.inner.rooms.networks.attachments(&cell.id).await;
        let addresses: Vec<IpAddr> = on
            .iter()
            .flat_map(|one| [one.ipv4.map(IpAddr::V4), one.ipv6.map(IpAddr::V6)].into_iter().flatten())
            .collect();
        let reached = std::mem::replace(&mut cell.live().addresses, addresses.clone());
        self.announce(cell);
        if addresses.first() == reached.first() || addresses.is_empty() {
            return Ok(());
        }
        self.publish(cell).await.map_err(|source: Report| {
            ContainerError::Failed { doing: format!("publish the ports of `{}`", cell.record().name), source }
                .into()
        })
    }
}

/// Refuses those whose network is not their own.
fn joins_networks(record: &Record) -> Result<(), ConnectError> {
    let what = match &record.service.network_mode {
        NetworkMode::Networks => return Ok(()),
        NetworkMode::Host => "the host's network",
        NetworkMode::None => "no network",
        NetworkMode::Service(_) | NetworkMode::Container(_) => "the network of another container",
    };
    let (container, mode) = (record.name.clone(), record.service.network_mode.clone());
    Err(ConnectError::Shared { container, what, mode })
}

/// Reads what must be addresses.
fn check(wish: &Attachment) -> Result<(), String> {
    fn is<T: std::str::FromStr>(text: Option<&str>, what: &str) -> Result<(), String> {
        match text.map(str::parse::<T>) {
            Some(Err(_)) => Err(format!("`{}` is not {what}", text.unwrap_or_default())),
            Some(Ok(_)) | None => Ok(()),
        }
    }
    is::<std::net::Ipv4Addr>(wish.ipv4_address.as_deref(), "an IPv4 address")?;
    is::<std::net::Ipv6Addr>(wish.ipv6_address.as_deref(), "an IPv6 address")?;
    is::<network::Mac>(wish.mac_address.as_deref(), "a hardware address")
}
