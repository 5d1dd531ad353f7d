//! What the edge answers between services: at each service's own addresses on its networks.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use base::ContainerId;
use spec::{PathPrefix, Protocol};

use super::{Lead, Way, add_pool, ends};
use crate::decide::{Fleet, Wanted};
use crate::release::Release;
use crate::traffic::{Listener, RouteShare};

/// Adds what the services of this release want to be answered. An address is told with every instance of the app, so it
/// is answered also while its own service has none; requests are held then.
pub(super) fn add(
    wanted: &Wanted<'_>,
    release: &Release,
    fleet: &Fleet<'_>,
    leaving: &BTreeSet<&ContainerId>,
    share: &mut RouteShare,
) {
    let root = PathPrefix("/".into());
    for (service, spec) in &release.app.services {
        let mut bound = BTreeSet::new();
        for port in &spec.edge.between {
            // The edge has one place for two that are a multiple of 4096 apart. The higher one is led to instances.
            if !bound.insert(port | 0xF000) {
                continue;
            }
            // A file that says what is spoken spares the edge to find out.
            let published = spec.ports.iter().find(|one| one.port == *port && one.protocol != Protocol::Udp);
            let protocol = published.map_or(Protocol::Auto, |one| one.protocol);
            let lead = Lead {
                way: Way::Route { host: None, path: &root },
                service,
                port: *port,
                strip_prefix: false,
                https: None,
                rules: None,
                protocol,
            };
            for (_, address) in fleet.served.iter().filter(|(of, _)| of == service) {
                let ends = ends(fleet, leaving, &lead, |_| Some(*port));
                let pool = add_pool(wanted, share, &lead, ends);
                share.listeners.push(Listener {
                    address: SocketAddr::new(*address, *port),
                    protocol,
                    pool,
                    between: true,
                });
            }
        }
    }
}

/// Whether those services have addresses that want one, and no others. While no instance is seen, nothing is known.
pub(crate) fn served_as_wanted(wanted: &Wanted<'_>, fleet: &Fleet<'_>) -> bool {
    let services = wanted.release.app.services.iter();
    let wanting: BTreeSet<_> =
        services.filter(|(_, spec)| !spec.edge.between.is_empty()).map(|(name, _)| name).collect();
    let having: BTreeSet<_> = fleet.served.iter().map(|(name, _)| name).collect();
    wanting == having
}
