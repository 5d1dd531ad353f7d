//! Containers as the loops know them: instances of services, behind the `Driver` port.

use std::sync::Arc;
use std::time::Duration;

use base::{AppName, ContainerId, ContainerName, Problem, Report, ServiceName, Timestamp, VolumeName};
use network::{IpamOrder, NetworkOrder, Remarks, ServedOrder};
use plan::ports::{BoxFuture, Driver, StartOrder};
use plan::seen::{Seen, State as SeenState};
use spec::{App, Mount, MountKind, Service};

use crate::cell::Cell;
use crate::create::Create;
use crate::health::reach;
use crate::problem::{ContainerError, VolumeError};
use crate::record::{Owner, Record, State};
use crate::remove::Removal;
use crate::stop::By;
use crate::volumes::{Said, VolumeOrder};
use crate::{Containers, Filter};

impl Driver for Containers {
    fn look<'a>(&'a self, app: &'a AppName) -> BoxFuture<'a, Result<Vec<Seen>, Report>> {
        let now = self.clock().wall();
        let served = self.inner.rooms.networks.served(app);
        let its = |cell: &Arc<Cell>| Some(Seen { served: served.clone(), ..seen(cell, app, now)? });
        let seen = self.cells().iter().filter_map(its).collect();
        Box::pin(std::future::ready(Ok(seen)))
    }

    fn prepare<'a>(&'a self, app: &'a App) -> BoxFuture<'a, Result<(), Report>> {
        Box::pin(async move {
            for network in app.networks.values() {
                self.prepare_network(app, network).await.map_err(|problem| Report::of(&problem))?;
            }
            let serving = self.inner.rooms.networks.serve(&app.name, served(app)).await;
            serving.map_err(|problem| Report::of(&problem))?;
            for volume in app.volumes.values().filter(|volume| !volume.external) {
                let order = VolumeOrder {
                    name: volume.name.clone(),
                    driver: volume.driver.clone(),
                    options: volume.driver_opts.clone().into_iter().collect(),
                    labels: volume.labels.clone().into_iter().collect(),
                    app: Some(app.name.clone()),
                    anonymous: false,
                    said: Said::default(),
                };
                self.inner.volumes.ensure(&order).map_err(|problem| Report::of(&problem))?;
            }
            Ok(())
        })
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<ContainerId, Report>> {
        Box::pin(async move {
            let id = match self.instance(&order) {
                Some(id) => id,
                None => self.create(create(order)?).await.map_err(|problem| Report::of(&problem))?,
            };
            let begun =
                self.inspect(&id).map_err(|problem| Report::of(&problem))?.record.state != State::Created;
            if !begun {
                Self::start(self, &id).await.map_err(|problem| Report::of(&problem))?;
            }
            Ok(id)
        })
    }

    fn restart<'a>(&'a self, id: &'a ContainerId, restarts: u32) -> BoxFuture<'a, Result<(), Report>> {
        Box::pin(async move {
            let again = async {
                let cell = self.cell(id)?;
                let _turn = cell.turn.lock().await;
                cell.update(|live| live.record.restarts = restarts)?;
                self.start_in_turn(&cell).await
            };
            again.await.map_err(|problem: ContainerError| Report::of(&problem))
        })
    }

    fn stop<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<(), Report>> {
        Box::pin(async move { forgiving(Self::stop(self, id, None, By::Loop).await) })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<(), Report>> {
        let removal = Removal { force: false, volumes: true };
        Box::pin(async move { forgiving(Self::remove(self, id, removal).await) })
    }

    fn retire<'a>(&'a self, app: &'a App, volumes: bool) -> BoxFuture<'a, Result<(), Report>> {
        Box::pin(async move {
            let serving = self.inner.rooms.networks.serve(&app.name, Vec::new()).await;
            serving.map_err(|problem| Report::of(&problem))?;
            for network in app.networks.values().filter(|network| !network.external) {
                match self.inner.rooms.networks.remove(&network.name).await {
                    Ok(()) => {}
                    Err(problem) if problem.kind() == base::Kind::NotFound => {}
                    Err(problem) => return Err(Report::of(&problem)),
                }
            }
            for volume in app.volumes.values().filter(|volume| volumes && !volume.external) {
                match self.remove_volume(&volume.name) {
                    Ok(()) | Err(VolumeError::Missing(_)) => {}
                    Err(problem) => return Err(Report::of(&problem)),
                }
            }
            Ok(())
        })
    }

    fn changed<'a>(&'a self, app: &'a AppName) -> BoxFuture<'a, ()> {
        let bell = self.bell(app);
        Box::pin(async move { bell.notified().await })
    }
}

impl Containers {
    async fn prepare_network(&self, app: &App, network: &spec::Network) -> Result<(), ContainerError> {
        let failed = |problem: &dyn Problem| {
            ContainerError::failed(format!("make the network `{}`", network.name), problem)
        };
        if network.external {
            let known = self.inner.rooms.networks.inspect(network.name.as_str()).await;
            return known.map(|_| ()).map_err(|problem| failed(&problem));
        }
        if let Some(driver) = network.driver.as_deref()
            && !["bridge", "default"].contains(&driver)
        {
            return Err(ContainerError::Invalid(format!(
                "the network `{}` asks for the driver `{driver}`; there is `bridge`",
                network.name
            )));
        }
        let ipam = network.ipam.iter().map(|range| IpamOrder {
            subnet: range.subnet.clone(),
            ip_range: range.ip_range.clone(),
            gateway: range.gateway.clone(),
            aux_addresses: range.aux_addresses.clone().into_iter().collect(),
        });
        let order = NetworkOrder {
            name: network.name.clone(),
            internal: network.internal,
            enable_ipv6: network.enable_ipv6,
            ipam: ipam.collect(),
            labels: network.labels.clone().into_iter().collect(),
            app: Some(app.name.clone()),
            driver_opts: network.driver_opts.clone().into_iter().collect(),
            remarks: Remarks::default(),
        };
        self.inner.rooms.networks.create(order).await.map(|_| ()).map_err(|problem| failed(&problem))
    }

    /// The container that is this instance, if it was made already.
    fn instance(&self, order: &StartOrder) -> Option<ContainerId> {
        let filter =
            Filter { all: true, app: Some(order.app.name.clone()), services: vec![order.service.clone()] };
        let mut views = self.list(&filter).into_iter();
        let same = |owner: &Owner| owner.revision == order.revision && owner.number == order.number;
        views.find(|view| view.record.owner.as_ref().is_some_and(same)).map(|view| view.record.id)
    }
}

fn create(order: StartOrder) -> Result<Create, Report> {
    let service = order.spec().cloned().ok_or_else(|| {
        Report::new(
            base::Kind::Internal,
            format!("the app `{}` has no service `{}`", order.app.name, order.service),
        )
    })?;
    let name = match &service.container_name {
        Some(name) => name.clone(),
        None => format!("{}-{}-{}", order.app.name, order.service, order.number),
    };
    let name = ContainerName::new(name).map_err(|problem| Report::of(&problem))?;
    Ok(Create {
        name: Some(name),
        image: Some(order.image),
        owner: Some(Owner {
            app: order.app.name.clone(),
            service: order.service,
            revision: order.revision,
            number: order.number,
            release: order.release,
            job: order.job,
        }),
        app: order.app,
        service,
        auto_remove: false,
        asked: serde_json::Value::Null,
    })
}

fn seen(cell: &Cell, app: &AppName, now: Timestamp) -> Option<Seen> {
    let record = cell.record();
    let owner = record.owner.as_ref().filter(|owner| owner.app == *app)?;
    let (health, stopping, preparing) = {
        let live = cell.live();
        (live.health.clone(), live.stopping, live.preparing)
    };
    let mut up = Duration::ZERO;
    let mut ready_after = None;
    let (mut sick, mut error) = (false, None);
    let (state, since) = match &record.state {
        State::Created => (SeenState::Created, record.created),
        State::Running { started, ready, .. } => {
            up = now.since(*started);
            ready_after = ready.map(|ready| ready.since(*started));
            let state = match (stopping, health.checked, health.well) {
                (true, ..) => SeenState::Stopping,
                _ if preparing => SeenState::Starting,
                (false, false, _) | (false, true, Some(true)) => SeenState::Ready,
                (false, true, Some(false)) if health.is_sick() => SeenState::Unhealthy,
                (false, true, Some(false)) => SeenState::Spared,
                (false, true, None) => SeenState::Starting,
            };
            (state, ready.unwrap_or(*started))
        }
        State::Exited { code, asked, sick: ill, started, ready, finished, error: why, .. } => {
            (sick, error) = (*ill, why.clone());
            up = finished.since(*started);
            ready_after = ready.map(|ready| ready.since(*started));
            (SeenState::Exited { code: *code, asked: *asked }, *finished)
        }
    };
    Some(Seen {
        id: record.id.clone(),
        service: owner.service.clone(),
        revision: owner.revision.clone(),
        number: owner.number,
        state,
        age: now.since(since),
        up,
        ready_after,
        error,
        sick,
        restarts: record.restarts,
        address: reach(cell, &record),
        volumes: writable(&record),
        served: Vec::new(),
    })
}

/// The addresses that the services of an app want on their networks.
fn served(app: &App) -> Vec<ServedOrder> {
    let fixed = |service: &Service| {
        let texts = service.networks.values().flat_map(|on| [&on.ipv4_address, &on.ipv6_address]);
        texts.flatten().filter_map(|text| text.parse().ok()).collect::<Vec<_>>()
    };
    let avoid: Vec<_> = app.services.values().flat_map(fixed).collect();
    let wanting = app.services.iter().filter(|(_, service)| !service.edge.between.is_empty());
    let of = |(name, service): (&ServiceName, &Service)| {
        let on = service.networks.iter().filter_map(|(key, on)| {
            let names = std::iter::once(name.to_string()).chain(on.aliases.iter().cloned()).collect();
            let network = app.networks.get(key)?.name.clone();
            Some(ServedOrder { network, service: name.clone(), names, avoid: avoid.clone() })
        });
        on.collect::<Vec<_>>()
    };
    wanting.flat_map(of).collect()
}

/// The named volumes that it can write to.
fn writable(record: &Record) -> Vec<VolumeName> {
    let key = |mount: &Mount| match &mount.kind {
        MountKind::Volume { key, .. } if !mount.read_only => Some(key.clone()),
        _ => None,
    };
    record.service.mounts.iter().filter_map(key).filter_map(|key| record.volumes.get(&key).cloned()).collect()
}

/// A container that is gone already needs nothing more.
fn forgiving(done: Result<(), ContainerError>) -> Result<(), Report> {
    match done {
        Ok(()) | Err(ContainerError::Missing(_)) => Ok(()),
        Err(problem) => Err(Report::of(&problem)),
    }
}
