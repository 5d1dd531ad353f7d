//! What a container on the default network is told of those that it is linked with: variables, as docker has given them
//! since the time before networks had names. <https://docs.docker.com/engine/network/links/>

use std::net::IpAddr;

use oci::ImageConfig;
use spec::Protocol;

use crate::problem::ContainerError;
use crate::record::Record;
use crate::{Containers, order};

impl Containers {
    /// The variables for all links of a container. One that is linked must run.
    pub(crate) async fn link_variables(&self, record: &Record) -> Result<Vec<String>, ContainerError> {
        let mut variables = Vec::new();
        let Some(on) = record.networks.get(network::DEFAULT_NETWORK) else { return Ok(variables) };
        for link in &on.links {
            let target = self.cell(&self.find(&link.target)?)?.record();
            if !target.state.runs() {
                return Err(ContainerError::Invalid(format!(
                    "Cannot link to a non running container: /{} AS /{}/{}",
                    target.name, record.name, link.alias
                )));
            }
            let on = self.inner.rooms.networks.attachments(&target.id).await;
            let here = on.iter().find(|on| on.network.as_str() == network::DEFAULT_NETWORK);
            let image = self.inner.rooms.images.find(&target.image_id).map_err(|problem| {
                ContainerError::failed(format!("find the image of `{}`", target.name), &problem)
            })?;
            let address = here.and_then(|on| on.ipv4.map(IpAddr::V4));
            variables.extend(of_link((&record.name, &link.alias), &target, &image.config, address));
        }
        Ok(variables)
    }
}

fn of_link(
    (own, alias): (&base::ContainerName, &str),
    target: &Record,
    image: &ImageConfig,
    address: Option<IpAddr>,
) -> Vec<String> {
    let prefix = alias.to_ascii_uppercase().replace('-', "_");
    let mut all = Vec::new();
    if let Some(address) = address {
        let ports = ports(target, image);
        if let Some((port, protocol)) = ports.first() {
            all.push(format!("{prefix}_PORT={protocol}://{address}:{port}"));
        }
        for (port, protocol) in ports {
            let name = format!("{prefix}_PORT_{port}_{}", protocol.to_ascii_uppercase());
            all.push(format!("{name}={protocol}://{address}:{port}"));
            all.push(format!("{name}_ADDR={address}"));
            all.push(format!("{name}_PORT={port}"));
            all.push(format!("{name}_PROTO={protocol}"));
        }
    }
    all.push(format!("{prefix}_NAME=/{own}/{alias}"));
    let own = order::overlaid(image.config.env.clone(), order::variables(&target.service));
    let told = own.into_iter().filter(|line| !matches!(line.split('=').next(), Some("HOME" | "PATH")));
    all.extend(told.map(|line| format!("{prefix}_ENV_{line}")));
    all
}

/// The ports that it exposes, the lowest first.
fn ports(target: &Record, image: &ImageConfig) -> Vec<(u16, &'static str)> {
    let asked = target.asked["Config"]["ExposedPorts"].as_object();
    let asked = asked.into_iter().flat_map(|ports| ports.keys());
    let named = image.config.exposed_ports.keys().chain(asked).filter_map(|text| {
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        Some((port.parse().ok()?, if protocol == "udp" { "udp" } else { "tcp" }))
    });
    let published =
        target.service.ports.iter().map(|published| {
            (published.port, if published.protocol == Protocol::Udp { "udp" } else { "tcp" })
        });
    let mut all: Vec<_> = named.chain(published).collect();
    all.sort_unstable();
    all.dedup();
    all
}
