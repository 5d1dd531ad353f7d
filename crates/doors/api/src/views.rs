//! Domain types as the wire has them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base::Bytes;
use containers::{State, View, Volume};
use images::Image;
use network::NetworkView;
use talk::{ContainerView, Exited, HealthView, ImageView, OwnerView, PortView, VolumeView};

/// A container.
pub(crate) fn container(view: &View, command: Vec<String>) -> ContainerView {
    let record = &view.record;
    let (state, pid, started, finished, exit) = match &record.state {
        State::Created => ("created", None, None, None, None),
        State::Running { pid, started, paused, .. } => {
            let state = match (view.stopping, paused) {
                (true, _) => "stopping",
                (false, true) => "paused",
                (false, false) => "running",
            };
            (state, Some(*pid), Some(*started), None, None)
        }
        State::Exited { code, oom, started, finished, error, .. } => {
            let exit = Exited { code: *code, oom: *oom, error: error.clone() };
            let state = if record.restarts_soon() { "restarting" } else { "exited" };
            (state, None, Some(*started), Some(*finished), Some(exit))
        }
    };
    let volumes = record.service.mounts.iter().filter_map(|mount| {
        let name = match &mount.kind {
            spec::MountKind::Volume { key, .. } => record.volumes.get(key).map(ToString::to_string),
            spec::MountKind::Anonymous => record.anonymous.get(&mount.target).map(ToString::to_string),
            spec::MountKind::Bind { source, .. } => Some(source.clone()),
            spec::MountKind::Image { .. } | spec::MountKind::Tmpfs(_) => None,
        };
        Some((mount.target.clone(), name?))
    });
    ContainerView {
        id: record.id.to_string(),
        name: record.name.to_string(),
        image: record.image.clone(),
        image_id: record.image_id.clone(),
        command,
        state: state.into(),
        created: record.created,
        started,
        finished,
        exit,
        pid,
        restarts: record.restarts,
        health: health(view),
        addresses: view.addresses.iter().map(ToString::to_string).collect(),
        networks: record.networks.keys().cloned().collect(),
        volumes: volumes.collect(),
        ports: record.service.ports.iter().map(port).collect(),
        labels: record.service.labels.clone().into_iter().collect(),
        owner: record.owner.as_ref().map(|owner| OwnerView {
            app: owner.app.to_string(),
            service: owner.service.to_string(),
            number: owner.number,
            release: owner.release.0,
            revision: owner.revision.to_string(),
            job: owner.job,
        }),
    }
}

fn health(view: &View) -> Option<HealthView> {
    if !view.health.checked || !view.record.state.runs() {
        return None;
    }
    let status = match view.health.well {
        None => "starting",
        Some(true) => "healthy",
        Some(false) => "unhealthy",
    };
    let log = view.health.log.iter().map(|answer| (answer.exit_code, answer.output.clone()));
    Some(HealthView { status: status.into(), failures: view.health.failures, log: log.collect() })
}

fn port(port: &spec::Published) -> PortView {
    let ip = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let host = SocketAddr::new(ip, port.host_port).to_string();
    let protocol = if port.protocol == spec::Protocol::Udp { "udp" } else { "tcp" };
    PortView { host, port: format!("{}/{protocol}", port.port) }
}

/// An image.
pub(crate) fn image(image: &Image, containers: u32) -> ImageView {
    let run = &image.config.config;
    ImageView {
        id: image.id.to_string(),
        names: image.names.iter().map(oci::Reference::familiar).collect(),
        created: image.created,
        size: Bytes(image.size),
        containers,
        command: run.entrypoint.iter().flatten().chain(run.cmd.iter().flatten()).cloned().collect(),
        env: run.env.clone(),
        ports: run.exposed_ports.keys().cloned().collect(),
        labels: run.labels.clone(),
        layers: image.config.rootfs.diff_ids.iter().map(ToString::to_string).collect(),
        digests: image.digests.iter().map(oci::Reference::familiar).collect(),
        pulled: image.pulled,
    }
}

/// A volume.
pub(crate) fn volume(volume: &Volume, used_by: Vec<String>) -> VolumeView {
    VolumeView {
        name: volume.name.to_string(),
        created: volume.created,
        mountpoint: volume.mountpoint.display().to_string(),
        app: volume.app.as_ref().map(ToString::to_string),
        anonymous: volume.anonymous,
        used_by,
        labels: volume.labels.clone(),
        options: volume.options.clone(),
    }
}

/// A network.
pub(crate) fn network(
    view: &NetworkView,
    name_of: impl Fn(&base::ContainerId) -> String,
) -> talk::NetworkView {
    let address = |on: &network::Attachment| on.ipv4.map_or_else(String::new, |address| address.to_string());
    talk::NetworkView {
        id: view.id.clone(),
        name: view.name.to_string(),
        created: view.created,
        bridge: view.bridge.clone(),
        internal: view.internal,
        subnets: view.subnets.iter().map(|subnet| subnet.subnet.to_string()).collect(),
        gateways: view.subnets.iter().map(|subnet| subnet.gateway.to_string()).collect(),
        app: view.app.as_ref().map(ToString::to_string),
        containers: view.attachments.iter().map(|on| (name_of(&on.container), address(on))).collect(),
        labels: view.labels.clone(),
    }
}
