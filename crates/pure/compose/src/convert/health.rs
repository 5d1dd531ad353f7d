//! How a service is watched.

use std::time::Duration;

use spec::{HealthCheck, Probe, Protocol, Published, Route};

use super::Desk;
use super::parts::{duration, number, truth};
use crate::tree::{Map, Node, Value};

/// The check of the file, or one from outside where there is a port to knock at.
pub(super) fn check(
    desk: &mut Desk<'_>,
    name: &str,
    map: &Map,
    (routes, of_edge): (&[Route], &Option<HealthCheck>),
    ports: &[Published],
) -> Option<HealthCheck> {
    let outside = routes
        .iter()
        .map(|route| route.port)
        .find(|port| *port > 0)
        .or_else(|| ports.iter().find(|port| port.protocol != Protocol::Udp).map(|port| port.port));
    let Some(node) = map.get("healthcheck").filter(|node| !node.is_null()) else {
        // What is asked by `x-sea` anyhow needs no knock.
        let port = outside.filter(|_| of_edge.is_none())?;
        desk.choose(
            name,
            "healthcheck",
            format!("a connection to port {port}"),
            "a deploy waits until new instances take connections",
        );
        return Some(knock(port));
    };
    let own = node.map()?;
    if truth(own, "disable") {
        return Some(HealthCheck::disabled());
    }
    let given = match own.get("test").map(|test| &test.value) {
        Some(Value::Text(line)) => Some(Probe::Shell(line.clone())),
        Some(Value::List(list)) => match list.split_first().map(|(first, rest)| (first.str(), rest)) {
            Some((Some("NONE"), _)) => return Some(HealthCheck::disabled()),
            Some((Some("CMD-SHELL"), rest)) => Some(Probe::Shell(words(rest).join(" "))),
            Some((_, rest)) => Some(Probe::Exec(words(rest))),
            None => None,
        },
        _ => None,
    };
    let probe = given.or_else(|| {
        let message = "there is no `test` here, and one of the image is not used";
        desk.warn("C0206", node, format!("services.{name}.healthcheck"), message);
        outside.map(|port| Probe::Tcp { port })
    })?;
    Some(HealthCheck {
        probe,
        interval: duration(own, "interval").filter(|d| !d.is_zero()).unwrap_or(Duration::from_secs(30)),
        timeout: duration(own, "timeout").filter(|d| !d.is_zero()).unwrap_or(Duration::from_secs(30)),
        retries: number(own, "retries").filter(|n| *n > 0).unwrap_or(3),
        start_period: duration(own, "start_period").unwrap_or_default(),
        start_interval: duration(own, "start_interval")
            .filter(|d| !d.is_zero())
            .unwrap_or(Duration::from_secs(5)),
    })
}

fn words(list: &[Node]) -> Vec<String> {
    list.iter().map(Node::print).collect()
}

/// Our own check from outside: quick while an instance starts, calm afterwards.
fn knock(port: u16) -> HealthCheck {
    HealthCheck {
        probe: Probe::Tcp { port },
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        retries: 3,
        start_period: Duration::from_secs(60),
        start_interval: Duration::from_millis(200),
    }
}
