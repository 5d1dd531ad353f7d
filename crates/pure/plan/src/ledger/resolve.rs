//! What the images say fills in what the file left open.

use std::collections::BTreeMap;
use std::time::Duration;

use base::ServiceName;
use spec::{App, HealthCheck, Probe, Protocol, Service};

use crate::order;
use crate::ports::ImageFacts;
use crate::routes::named;

/// The app with a health check for every service that can have one: its own, else its image's, else a look from
/// outside whether the port that requests are sent to takes connections.
pub fn resolve(mut app: App, images: &BTreeMap<ServiceName, ImageFacts>) -> App {
    let jobs: Vec<ServiceName> = order::jobs(&app).into_keys().cloned().collect();
    let asked = asked(&app);
    for (name, service) in &mut app.services {
        let facts = images.get(name);
        if let Some(port) = facts.and_then(|facts| facts.exposed.first()) {
            service
                .routes
                .iter_mut()
                .filter(|route| route.port == 0 && route.rules.redirect.is_none())
                .for_each(|route| route.port = *port);
        }
        if service.healthcheck.is_none() && !jobs.contains(name) {
            let of_image = facts.and_then(|facts| facts.healthcheck.clone());
            let port = port_of(service).or_else(|| asked.get(name).copied());
            // What is asked from outside anyhow needs no knock.
            let port = port.filter(|_| service.check.is_none());
            service.healthcheck = of_image.or_else(|| port.map(knock));
        }
    }
    app
}

/// The services that get requests of others, or copies of them, each with the first port that it is asked at.
fn asked(app: &App) -> BTreeMap<ServiceName, u16> {
    let mut asked = BTreeMap::new();
    for service in app.services.values() {
        for (_, other, port) in named(service) {
            if let Some(port) = port.or_else(|| port_of(service)) {
                asked.entry(other.clone()).or_insert(port);
            }
        }
    }
    asked
}

/// The first port that requests are sent to.
fn port_of(service: &Service) -> Option<u16> {
    let routed = service.routes.iter().map(|route| route.port).filter(|port| *port > 0);
    let published = service
        .ports
        .iter()
        .filter(|published| published.protocol != Protocol::Udp)
        .map(|published| published.port);
    routed.chain(published).next()
}

/// A look from outside whether this port takes connections.
fn knock(port: u16) -> HealthCheck {
    HealthCheck {
        probe: Probe::Tcp { port },
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(2),
        retries: 3,
        start_period: Duration::from_secs(60),
        start_interval: Duration::from_millis(50),
    }
}
