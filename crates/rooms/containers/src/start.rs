//! Starting a container: its order, its shim, its networks, its process; and then those who watch it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base::{AppName, ContainerId, Kind, Report, ServiceName};
use network::AttachOrder;
use network::texts::{self, HostsOrder, ResolverOrder};
use runtime::order::{self as wanted, Net, Order, Rootfs};
use runtime::{Attached, CreateError, Shim};
use spec::{MountKind, NetworkMode};

use crate::cell::{Cell, Health};
use crate::files::{self, Identity};
use crate::order::{self, Shared, Surroundings};
use crate::problem::ContainerError;
use crate::record::{Record, State};
use crate::{Containers, events};

/// What a container's networks mean for it.
struct Joined {
    /// Their gateways, in the order of its interfaces.
    gateways: Vec<IpAddr>,
    /// Which of them leads out.
    way_out: Option<usize>,
}

impl Containers {
    /// Starts its process; does nothing when it runs.
    pub async fn start(&self, id: &ContainerId) -> Result<(), ContainerError> {
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        cell.update(|live| {
            live.record.stopped_by_hand = false;
            live.record.restarts = 0;
        })?;
        let started = self.start_in_turn(&cell).await;
        if started.is_err() && cell.record().auto_remove && cell.record().owner.is_none() {
            // One that goes when it ends has ended.
            let (containers, cell) = (self.clone(), cell.clone());
            self.inner
                .tasks
                .spawn("remove what did not start", async move { containers.remove_ended(&cell).await });
        }
        started
    }

    /// Starts its process with its input and output attached from the first byte on.
    pub async fn start_attached(
        &self,
        id: &ContainerId,
        size: Option<(u16, u16)>,
    ) -> Result<Attached, ContainerError> {
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        if cell.live().record.state.runs() {
            return Err(ContainerError::Running(cell.record().name));
        }
        let shim = self.lay_out(&cell).await?;
        let attached = shim.attach().await;
        let mut attached = match attached {
            Ok(attached) => attached,
            Err(problem) => {
                let error = ContainerError::failed(format!("attach to `{}`", cell.record().name), &problem);
                self.give_up(&cell, &shim, &error).await;
                return Err(error);
            }
        };
        if let Some((rows, columns)) = size {
            // A terminal of another size is no reason not to start.
            let _ = attached.input.resize(wanted::Size { rows, columns }).await;
        }
        self.launch(&cell, shim).await?;
        Ok(attached)
    }

    /// Starts it for whoever holds its turn.
    pub(crate) async fn start_in_turn(&self, cell: &Arc<Cell>) -> Result<(), ContainerError> {
        if cell.live().record.state.runs() {
            return Ok(());
        }
        let shim = self.lay_out(cell).await?;
        self.attach_those_ahead(cell, &shim).await;
        self.launch(cell, shim).await
    }

    /// Makes everything but the process: its shim holds it ready. [`Self::launch`] must follow.
    pub(crate) async fn lay_out(&self, cell: &Arc<Cell>) -> Result<Shim, ContainerError> {
        let record = cell.record();
        let joined = self.joined(&record).await?;
        let order = self
            .order(cell, &record, joined.gateways.clone())
            .await
            .inspect_err(|error| self.not_started(cell, 125, error))?;
        base::crash::point("container: order made");
        let launching = self.inner.launching.read().await;
        let created = self.inner.rooms.shims.create(&cell.folder, &order).await;
        drop(launching);
        let shim = match created {
            Ok(shim) => shim,
            Err(failure) => {
                // A shim that could say why has cleared up after itself.
                if let CreateError::Died { .. } | CreateError::Spawn { .. } = failure {
                    self.reap(&cell.folder).await;
                }
                let error = ContainerError::NotStarted {
                    name: record.name.clone(),
                    code: create_code(&failure),
                    source: Report::of(&failure),
                };
                self.not_started(cell, create_code(&failure), &error);
                return Err(error);
            }
        };
        if let Err(error) = self.connect(cell, &record, &order, &joined, process(&shim)).await {
            self.give_up(cell, &shim, &error).await;
            return Err(error);
        }
        base::crash::point("container: connected");
        self.inner.volumes.journal().mounted(&record);
        cell.live().mounted = true;
        Ok(shim)
    }

    /// Lets the process of a container that was laid out run.
    pub(crate) async fn launch(&self, cell: &Arc<Cell>, shim: Shim) -> Result<(), ContainerError> {
        let record = cell.record();
        // On disk before it is true: a daemon that dies here is followed by one that looks.
        let now = self.clock().wall();
        let run = cell.update(|live| {
            // Where nobody asks whether it is well, it is.
            let ready = (!live.health.checked).then_some(now);
            live.record.state = State::Running { pid: process(&shim), started: now, ready, paused: false };
            live.shim = Some(shim.clone());
            live.stopping = false;
            live.preparing = !record.service.post_start.is_empty();
            live.run += 1;
            live.run
        })?;
        base::crash::point("container: about to be let go");
        if let Err(failure) = shim.start().await {
            let error = ContainerError::NotStarted {
                name: record.name.clone(),
                code: failure.code(),
                source: Report::of(&failure),
            };
            self.never_ran(cell, &shim, failure.code(), &error).await;
            return Err(error);
        }
        base::crash::point("container: let go");
        self.watch(cell, shim.clone(), run);
        events::started(self, &record);
        self.announce(cell);
        for hook in &record.service.post_start {
            if let Err(error) = self.run_hook(&shim, &record, hook).await {
                // What was to follow its start has not been done: it must not seem to be ready.
                self.stop_now(cell, Some(std::time::Duration::ZERO)).await?;
                self.not_started(cell, 1, &error);
                return Err(error);
            }
        }
        if std::mem::take(&mut cell.live().preparing) {
            self.announce(cell);
        }
        if let Err(problem) = self.publish(cell).await {
            // A port that is taken: the container must not seem to serve.
            let error = ContainerError::Failed {
                doing: format!("publish the ports of `{}`", record.name),
                source: problem,
            };
            self.stop_now(cell, Some(std::time::Duration::ZERO)).await?;
            return Err(error);
        }
        base::crash::point("container: ports published");
        Ok(())
    }

    /// Puts it on its networks and tells it its own names.
    async fn connect(
        &self,
        cell: &Cell,
        record: &Record,
        order: &Order,
        joined: &Joined,
        pid: u32,
    ) -> Result<(), ContainerError> {
        let mut addresses: Vec<IpAddr> = Vec::new();
        let health = Health::of(self.askers(record), None);
        for (index, (network, attachment)) in record.networks.iter().enumerate() {
            let invalid = |what: String| ContainerError::Invalid(what);
            let order = AttachOrder {
                container: record.id.clone(),
                pid,
                index: index as u32,
                names: own_names(record, order.hostname.as_deref()),
                aliases: aliases(record, attachment),
                ipv4: parse(attachment.ipv4_address.as_deref(), "an IPv4 address").map_err(invalid)?,
                ipv6: parse(attachment.ipv6_address.as_deref(), "an IPv6 address").map_err(invalid)?,
                dns: record.service.dns.clone(),
                links: links(attachment),
                link_local: attachment.link_local_ips.iter().filter_map(|text| text.parse().ok()).collect(),
                interface: attachment.interface_name.clone(),
                mac: parse(attachment.mac_address.as_deref(), "a hardware address").map_err(invalid)?,
                default_route: Some(index) == joined.way_out,
                ready: !health.checked || !record.names_wait(),
                instance_of: instance_of(record),
            };
            let name = base::NetworkName::new(network.clone()).map_err(|error| invalid(error.to_string()))?;
            let attached = self.inner.rooms.networks.attach(&name, order).await.map_err(|problem| {
                ContainerError::failed(format!("put `{}` on the network `{network}`", record.name), &problem)
            })?;
            addresses.extend(attached.ipv4.map(IpAddr::V4));
            addresses.extend(attached.ipv6.map(IpAddr::V6));
        }
        // Once more, now that it has addresses: the file that it has mounted is this very file.
        files::write_hosts(
            &cell.folder,
            &identity(record, order.hostname.as_deref(), &joined.gateways, &addresses),
        )
        .map_err(|error| ContainerError::io(format!("write the files of `{}`", record.name), &error))?;
        base::crash::point("container: hosts written");
        let mut live = cell.live();
        live.addresses = addresses;
        live.health = health;
        Ok(())
    }

    /// Releases its addresses and ports.
    pub(crate) async fn disconnect(&self, cell: &Cell) {
        self.unpublish(cell).await;
        if std::mem::take(&mut cell.live().mounted) {
            self.inner.volumes.journal().unmounted(&cell.record());
        }
        if cell.live().record.networks.is_empty() {
            return;
        }
        if let Err(problem) = self.inner.rooms.networks.detach_all(&cell.id).await {
            tracing::warn!(container.id = %cell.id, "could not release the addresses of a container: {problem}");
        }
        base::crash::point("container: addresses released");
        cell.live().addresses.clear();
    }

    async fn give_up(&self, cell: &Cell, shim: &Shim, error: &ContainerError) {
        self.never_ran(cell, shim, 125, error).await;
    }

    /// Notes that its process could not run, and waits until its shim and all that it made are gone.
    pub(crate) async fn never_ran(&self, cell: &Cell, shim: &Shim, code: i32, error: &ContainerError) {
        self.not_started(cell, code, error);
        // One that has ended hears nothing more, and needs not.
        let _ = shim.kill_all(9).await;
        base::crash::point("container: useless shim told to end");
        self.end_of(cell, shim).await;
        self.disconnect(cell).await;
    }

    /// Notes that its process could not run.
    pub(crate) fn not_started(&self, cell: &Cell, code: i32, error: &ContainerError) {
        let now = self.clock().wall();
        let text = Report::of(error).to_string();
        cell.note(|live| {
            live.shim = None;
            live.ends += 1;
            // Whoever waited for this run need not wait any more.
            live.ahead.clear();
            live.record.state = State::Exited {
                code,
                oom: false,
                asked: false,
                sick: false,
                started: now,
                ready: None,
                finished: now,
                error: Some(text),
            };
        });
        self.announce(cell);
    }

    /// What its networks mean for it.
    async fn joined(&self, record: &Record) -> Result<Joined, ContainerError> {
        let networks = &self.inner.rooms.networks;
        let mut gateways = Vec::new();
        let mut outward = Vec::new();
        for (index, (name, attachment)) in record.networks.iter().enumerate() {
            if name == network::DEFAULT_NETWORK {
                let made = networks.ensure_default().await;
                made.map_err(|problem| ContainerError::failed("make the default network", &problem))?;
            }
            let view = networks
                .inspect(name)
                .await
                .map_err(|problem| ContainerError::failed(format!("find the network `{name}`"), &problem))?;
            gateways.extend(view.subnets.first().map(|subnet| subnet.gateway));
            if !view.internal {
                outward.push((std::cmp::Reverse(attachment.gw_priority), name, index));
            }
        }
        // The highest priority, then the first name; an internal network leads nowhere.
        let way_out = outward.into_iter().min().map(|(_, _, index)| index);
        Ok(Joined { gateways, way_out })
    }

    async fn order(
        &self,
        cell: &Cell,
        record: &Record,
        gateways: Vec<IpAddr>,
    ) -> Result<Order, ContainerError> {
        let containers = self.clone();
        let shared = self.shared(record)?;
        let linked = self.link_variables(record).await?;
        let (folder, record) = (cell.folder.clone(), record.clone());
        // Looks at files, so it may wait for a disk.
        let made =
            tokio::task::spawn_blocking(move || containers.order_now(&folder, &record, shared, &gateways));
        let mut order = made.await.unwrap_or_else(|error| {
            Err(ContainerError::Invalid(format!("the laying out of a container broke off: {error}")))
        })?;
        order.process.env = order::overlaid(linked, order.process.env);
        Ok(order)
    }

    fn order_now(
        &self,
        folder: &std::path::Path,
        record: &Record,
        shared: Shared,
        gateways: &[IpAddr],
    ) -> Result<Order, ContainerError> {
        let failed = |what: &str, problem: &dyn base::Problem| {
            ContainerError::failed(format!("{what} of `{}`", record.name), problem)
        };
        let images = &self.inner.rooms.images;
        let image = images.find(&record.image_id).map_err(|problem| failed("find the image", &problem))?;
        base::crash::point("container: about to be laid out");
        let snapshot = images
            .snapshot(&image.id, record.id.as_str())
            .map_err(|problem| failed("lay out the files", &problem))?;
        for mount in &record.service.mounts {
            if let MountKind::Bind { source, create: true, .. } = &mount.kind {
                std::fs::create_dir_all(source)
                    .or_else(|error| if std::path::Path::new(source).exists() { Ok(()) } else { Err(error) })
                    .map_err(|error| ContainerError::io(format!("make the folder `{source}`"), &error))?;
            }
        }
        let mut layers = BTreeMap::new();
        for id in record.images().into_iter().skip(1) {
            let found =
                images.find(&id).map_err(|problem| failed("find an image that is mounted", &problem))?;
            layers.insert(id, found.lower);
        }
        let around = Surroundings {
            image: &image.config,
            rootfs: Rootfs {
                lower: snapshot.lower,
                upper: snapshot.upper,
                work: snapshot.work,
                volatile: record.auto_remove,
            },
            folder,
            layers: &layers,
            mountpoints: &self.mountpoints(record)?,
            cgroup_root: &self.inner.cgroup_root,
            shared,
        };
        let order = order::order(record, around)?;
        let identity = identity(record, order.hostname.as_deref(), gateways, &[]);
        files::write_identity(folder, &identity)
            .map_err(|error| ContainerError::io(format!("write the files of `{}`", record.name), &error))?;
        base::crash::point("container: identity written");
        Ok(order)
    }

    fn mountpoints(&self, record: &Record) -> Result<BTreeMap<String, PathBuf>, ContainerError> {
        record
            .volumes
            .values()
            .chain(record.anonymous.values())
            .map(|name| {
                let volume = self.inner.volumes.find(name)?;
                let volume = volume.ok_or_else(|| crate::VolumeError::Missing(name.to_string()))?;
                Ok((name.to_string(), volume.mountpoint))
            })
            .collect()
    }

    /// The namespaces of others that it shares.
    fn shared(&self, record: &Record) -> Result<Shared, ContainerError> {
        let of = |target: &str, kind: &str| -> Result<PathBuf, ContainerError> {
            let (pid, _) = self.process_of(record, target)?;
            Ok(PathBuf::from(format!("/proc/{pid}/ns/{kind}")))
        };
        let whose = match &record.service.network_mode {
            NetworkMode::Networks | NetworkMode::Host | NetworkMode::None => None,
            NetworkMode::Service(service) => Some(service.as_str()),
            NetworkMode::Container(container) => Some(container.as_str()),
        };
        let net = match (whose, &record.service.network_mode) {
            (Some(other), _) => Net::Path(of(other, "net")?),
            (None, NetworkMode::Host) => Net::Host,
            (None, NetworkMode::None) => Net::None,
            (None, _) => Net::New,
        };
        if let Some(donor) = order::joined(&record.service.ipc) {
            self.shares_memory(record, donor)?;
        }
        let namespace = |namespace: &spec::Namespace, kind: &str| match order::joined(namespace) {
            Some(target) => Ok::<_, ContainerError>(wanted::Namespace::Path(of(target, kind)?)),
            None if *namespace == spec::Namespace::Host => Ok(wanted::Namespace::Host),
            None => Ok(wanted::Namespace::Private),
        };
        Ok(Shared {
            net,
            names: whose
                .map(|other| Ok::<_, ContainerError>(self.process_of(record, other)?.1))
                .transpose()?,
            pid: namespace(&record.service.pid, "pid")?,
            ipc: namespace(&record.service.ipc, "ipc")?,
        })
    }

    /// Whether a container lets others into its IPC namespace.
    fn shares_memory(&self, record: &Record, donor: &str) -> Result<(), ContainerError> {
        let donor = self.donor(record, donor)?.record();
        match donor.service.ipc {
            spec::Namespace::Private | spec::Namespace::Isolated => Err(ContainerError::Invalid(format!(
                "cannot join IPC of a container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
                donor.id
            ))),
            spec::Namespace::Host
            | spec::Namespace::Shareable
            | spec::Namespace::Service(_)
            | spec::Namespace::Container(_) => Ok(()),
        }
    }

    /// The process and the folder of a container by name or id, or of an instance of a service of the same app.
    fn process_of(&self, record: &Record, target: &str) -> Result<(u32, PathBuf), ContainerError> {
        let cell = self.donor(record, target)?;
        let other = cell.record();
        match other.state {
            State::Running { pid, .. } => Ok((pid, cell.folder.clone())),
            State::Created | State::Exited { .. } => Err(ContainerError::NotRunning(other.name)),
        }
    }

    /// A container by name or id, or an instance of a service of the same app.
    fn donor(&self, record: &Record, target: &str) -> Result<Arc<Cell>, ContainerError> {
        let sibling =
            self.cells().into_iter().find(|cell| {
                let other = cell.record();
                other.state.runs()
                    && record.owner.as_ref().zip(other.owner.as_ref()).is_some_and(|(mine, theirs)| {
                        mine.app == theirs.app && theirs.service.as_str() == target
                    })
            });
        match sibling {
            Some(cell) => Ok(cell),
            None => self.cell(&self.find(target)?),
        }
    }
}

/// What it finds in its files about itself.
fn identity(record: &Record, hostname: Option<&str>, gateways: &[IpAddr], addresses: &[IpAddr]) -> Identity {
    let service = &record.service;
    let hostname = hostname.unwrap_or("localhost");
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    // With the host's network come the host's names.
    let base = match service.network_mode {
        NetworkMode::Host => std::fs::read_to_string("/etc/hosts").ok(),
        NetworkMode::Networks | NetworkMode::None | NetworkMode::Service(_) | NetworkMode::Container(_) => {
            None
        }
    };
    Identity {
        hosts: texts::hosts(&HostsOrder {
            base: base.as_deref(),
            hostname,
            domainname: service.domainname.as_deref(),
            addresses,
            extra_hosts: &service.extra_hosts,
            host_gateway: gateways.first().copied(),
        }),
        resolv_conf: texts::resolv_conf(&ResolverOrder {
            gateways,
            dns: &service.dns,
            dns_search: &service.dns_search,
            dns_opt: &service.dns_opt,
            host: &host,
        }),
        hostname: hostname.to_owned(),
    }
}

/// The exit code that docker gives when a container could not be made.
fn create_code(error: &CreateError) -> i32 {
    match error {
        CreateError::Failed(failure) => failure.code,
        CreateError::Busy { .. } | CreateError::Died { .. } | CreateError::Spawn { .. } => 125,
    }
}

/// Its first process, as the host numbers it.
fn process(shim: &Shim) -> u32 {
    shim.pid().unsigned_abs()
}

/// Names that mean this container alone.
pub(crate) fn own_names(record: &Record, hostname: Option<&str>) -> Vec<String> {
    let mut names = vec![record.name.to_string(), record.short_id().to_owned()];
    if let Some(hostname) = hostname
        && record.owner.is_none()
        && !names.iter().any(|name| name == hostname)
    {
        names.push(hostname.to_owned());
    }
    names
}

/// The service whose instance it is.
pub(crate) fn instance_of(record: &Record) -> Option<(AppName, ServiceName)> {
    let owner = record.owner.as_ref().filter(|owner| !owner.job)?;
    Some((owner.app.clone(), owner.service.clone()))
}

/// Names that it shares with its siblings.
pub(crate) fn aliases(record: &Record, attachment: &spec::Attachment) -> Vec<String> {
    let service = record.owner.as_ref().filter(|owner| !owner.job).map(|owner| owner.service.to_string());
    service.into_iter().chain(attachment.aliases.iter().cloned()).collect()
}

/// Names of others that are valid for it alone, each with whom it means.
pub(crate) fn links(attachment: &spec::Attachment) -> Vec<(String, String)> {
    attachment.links.iter().map(|link| (link.alias.clone(), link.target.clone())).collect()
}

fn parse<T: std::str::FromStr>(text: Option<&str>, what: &str) -> Result<Option<T>, String> {
    text.map(|text| text.parse().map_err(|_| format!("`{text}` is not {what}"))).transpose()
}

/// The report of something that cannot be, for callers that need one.
pub(crate) fn gone(name: &str) -> Report {
    Report::new(Kind::NotFound, format!("no container `{name}`"))
}
