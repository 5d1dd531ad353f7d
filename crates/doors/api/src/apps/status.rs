//! How an app is, as the wire has it.

use std::net::SocketAddr;

use base::{AppName, ContainerId};
use control::Picture;
use plan::ledger::Phase;
use plan::ports::Traffic;
use plan::release::Receipt;
use plan::seen::{Seen, State};
use plan::traffic::TrafficSeen;
use plan::{Release, Standing, beside};
use spec::Service;
use talk::{AppSummary, InstanceView, ReceiptView, ReleaseView, ServiceView, ShareView, Status};

use crate::Daemon;

impl Daemon {
    /// What the edge does; nothing known when it does not answer.
    pub(crate) async fn traffic(&self) -> TrafficSeen {
        self.edge.look().await.unwrap_or_default()
    }

    /// How an app is; none if it is not here.
    pub(crate) fn status(&self, app: &AppName, traffic: &TrafficSeen) -> Option<Status> {
        let picture = self.apps.picture(app)?;
        let release = picture.ledger.target()?.clone();
        let leaves = leaves(&picture);
        let services: Vec<ServiceView> = release
            .app
            .services
            .iter()
            .map(|(name, service)| {
                let standing = picture.services.iter().find(|one| one.service == *name);
                let instances = picture.instances.iter().filter(|one| one.service == *name);
                let instances: Vec<_> = instances.map(|one| self.instance(one, traffic)).collect();
                let ready = instances.iter().filter(|one| one.state == "ready").count();
                ServiceView {
                    name: name.clone(),
                    image: service.image.clone(),
                    wanted: standing.map_or(service.replicas, |one| one.wanted as u32),
                    ready: ready as u32,
                    updated: standing.map_or(0, |one| one.ready as u32),
                    job: standing.is_some_and(|one| one.job),
                    state: match standing {
                        _ if leaves && instances.is_empty() => "gone".into(),
                        _ if leaves => "leaving".into(),
                        Some(standing) => state(standing),
                        None => "unknown".into(),
                    },
                    addresses: addresses(service, self.http.first()),
                    share: beside::original_of(&release.app, name)
                        .map(|(of, wish)| ShareView { of: of.clone(), percent: wish.percent() }),
                    instances,
                }
            })
            .collect();
        let problems = picture.troubles.iter().map(|one| {
            format!("{} failed {} times: {}", one.step, one.times, one.report.to_string().replace('\n', ";"))
        });
        Some(Status {
            summary: summary(app, &picture, &release, &services),
            problems: problems.collect(),
            releases: picture.ledger.releases.values().rev().map(|release| self::release(release)).collect(),
            services,
        })
    }

    fn instance(&self, seen: &Seen, traffic: &TrafficSeen) -> InstanceView {
        let (name, release) = self.name_and_release(&seen.id);
        let said = match seen.state {
            State::Starting | State::Spared | State::Unhealthy => self.complaint(&seen.id),
            State::Created | State::Ready | State::Stopping | State::Exited { .. } => None,
        };
        let state = match seen.state {
            State::Created => "created".to_owned(),
            State::Starting => "starting".to_owned(),
            State::Ready => "ready".to_owned(),
            State::Spared => "spared".to_owned(),
            State::Unhealthy => "unhealthy".to_owned(),
            State::Stopping => "stopping".to_owned(),
            State::Exited { code, .. } => format!("exited ({code})"),
        };
        InstanceView {
            id: seen.id.to_string(),
            name,
            release,
            state,
            age: seen.age,
            restarts: seen.restarts,
            said,
            in_flight: traffic.in_flight.get(&seen.id).copied().unwrap_or(0),
        }
    }

    /// What its last check complained of.
    fn complaint(&self, id: &ContainerId) -> Option<String> {
        let health = self.containers.inspect(id).ok()?.health;
        let failed = health.log.iter().rev().find(|answer| answer.exit_code != 0)?;
        let line = failed.output.split_whitespace().collect::<Vec<_>>().join(" ");
        (!line.is_empty()).then(|| line.chars().take(300).collect())
    }

    fn name_and_release(&self, id: &ContainerId) -> (String, base::ReleaseNumber) {
        let none = || (id.short().to_owned(), base::ReleaseNumber(0));
        self.containers.inspect(id).map_or_else(
            |_| none(),
            |view| {
                let release =
                    view.record.owner.as_ref().map_or(base::ReleaseNumber(0), |owner| owner.release);
                (view.record.name.to_string(), release)
            },
        )
    }
}

/// Whether the whole app is on its way out.
fn leaves(picture: &Picture) -> bool {
    matches!(picture.ledger.record.phase, Phase::Leaving { .. })
}

fn summary(app: &AppName, picture: &Picture, release: &Release, services: &[ServiceView]) -> AppSummary {
    let lasting = || services.iter().filter(|service| !service.job);
    let ready: u32 = lasting().map(|service| service.ready).sum();
    let wanted: u32 = lasting().map(|service| service.wanted).sum();
    let state = match &release.status {
        _ if leaves(picture) => "leaving",
        plan::Status::Rolling => "rolling",
        plan::Status::Failed { .. } => "failed",
        plan::Status::RolledBack { complete: false, .. } => "rolling back",
        plan::Status::Live | plan::Status::RolledBack { .. } | plan::Status::Superseded => {
            if !picture.services.is_empty() && picture.services.iter().all(|one| one.stopped) {
                "stopped"
            } else if ready >= wanted {
                "running"
            } else {
                "degraded"
            }
        }
    };
    AppSummary {
        name: app.clone(),
        release: Some(release.number),
        state: state.into(),
        services: services.len() as u32,
        ready,
        wanted,
    }
}

/// How a service is, in a word or two.
fn state(standing: &Standing) -> String {
    match standing {
        Standing { stopped: true, .. } => "stopped".into(),
        Standing { job: true, wanted: 0, .. } => "done".into(),
        Standing { job: true, failed, .. } if *failed > 0 => "failed".into(),
        Standing { waits: Some(what), .. } => format!("waiting {what}"),
        Standing { job: true, .. } => "done".into(),
        Standing { ready, wanted, old: 0, .. } if ready >= wanted => "ready".into(),
        Standing { old, .. } if *old > 0 => "updating".into(),
        Standing { failed, .. } if *failed > 0 => "failing".into(),
        Standing { .. } => "starting".into(),
    }
}

/// Where requests reach it from outside.
fn addresses(service: &Service, http: Option<&SocketAddr>) -> Vec<String> {
    let mut addresses = Vec::new();
    for route in &service.routes {
        // Where no host is named, one that works from here.
        let host = match (&route.host, http.map(SocketAddr::ip)) {
            (Some(host), _) => host.clone(),
            (None, Some(ip)) if !ip.is_unspecified() => ip.to_string(),
            (None, _) => "localhost".into(),
        };
        let port = http.map_or(80, SocketAddr::port);
        let port = if port == 80 { String::new() } else { format!(":{port}") };
        addresses.push(format!("http://{host}{port}{}", route.path));
    }
    for port in &service.ports {
        let address = match port.host_ip {
            Some(ip) => SocketAddr::new(ip, port.host_port).to_string(),
            None => format!("*:{}", port.host_port),
        };
        let scheme = match port.protocol {
            spec::Protocol::Udp => "udp",
            spec::Protocol::Http => "http",
            spec::Protocol::Auto | spec::Protocol::Tcp => "tcp",
        };
        addresses.push(format!("{scheme}://{address}"));
    }
    addresses
}

/// A release.
pub(crate) fn release(release: &Release) -> ReleaseView {
    let status = match &release.status {
        plan::Status::Rolling => "rolling".to_owned(),
        plan::Status::Live => "live".to_owned(),
        plan::Status::Failed { why } => format!("failed: {why}"),
        plan::Status::RolledBack { to, .. } => format!("rolled back to {to}"),
        plan::Status::Superseded => "superseded".to_owned(),
    };
    let images = release.made.iter().map(|(name, made)| {
        let image = release.app.services.get(name).map_or("", |service| &service.image);
        (name.to_string(), format!("{image}@{}", made.image))
    });
    let shares = release.app.services.keys().filter_map(|name| {
        let (wish, _) = beside::in_force(&release.app, name)?;
        Some((name.to_string(), wish.percent()))
    });
    ReleaseView {
        number: release.number,
        created: release.created_at,
        status,
        cause: release.cause.to_string(),
        message: release.message.clone(),
        images: images.collect(),
        shares: shares.collect(),
        receipt: release.receipt.as_ref().map(receipt),
    }
}

/// What a release cost.
pub(crate) fn receipt(receipt: &Receipt) -> ReceiptView {
    ReceiptView {
        requests: receipt.requests,
        failed: receipt.failed,
        lost: receipt.lost,
        took: receipt.took,
        longest_drain: receipt.longest_drain,
    }
}
