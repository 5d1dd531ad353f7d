//! `POST /networks/{name}/connect` and `…/disconnect`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use base::ContainerId;
use containers::ConnectError;
use network::AttachError;
use serde::Deserialize;
use spec::{Attachment, NetworkMode};

use super::missing;
use super::views::Known;
use crate::answer::Refusal;
use crate::containers::create::networks::attachment;
use crate::params::MaybeDocument;
use crate::wire::EndpointSettings;
use crate::{Docker, Shared};

/// The request to join.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ConnectRequest {
    container: Option<String>,
    endpoint_config: Option<EndpointSettings>,
}

/// The request to leave.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DisconnectRequest {
    container: Option<String>,
    force: Option<bool>,
}

impl Docker {
    fn container_of(&self, text: Option<String>) -> Result<ContainerId, Refusal> {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => Ok(self.containers.find(&text)?),
            None => Err(Refusal::invalid("invalid name or ID supplied: \"\"")),
        }
    }
}

/// `POST /networks/{name}/connect`.
pub(super) async fn connect(
    State(docker): Shared,
    Path(text): Path<String>,
    MaybeDocument(request): MaybeDocument<ConnectRequest>,
) -> Result<StatusCode, Refusal> {
    let ConnectRequest { container, endpoint_config } = request.unwrap_or_default();
    let id = docker.container_of(container)?;
    let endpoint = endpoint_config.unwrap_or_default();
    let view = match docker.network(&text).await? {
        Known::Bridge(view) => view,
        Known::Host => {
            return Err(Refusal::invalid(
                "cannot connect container to host network - container must be created in host network mode",
            ));
        }
        Known::None => return Err(Refusal::invalid(PRIVATE)),
    };
    let wish = wish(&endpoint, view.name.as_str() == network::DEFAULT_NETWORK)?;
    let done = docker.containers.connect_to(&id, &view.name, wish).await;
    done.map_err(refusal)?;
    Ok(StatusCode::OK)
}

const PRIVATE: &str =
    "container cannot be connected to multiple networks with one of the networks in private (none) mode";
const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";

/// From docker's words to ours.
fn wish(endpoint: &EndpointSettings, predefined: bool) -> Result<Attachment, Refusal> {
    let fixed = endpoint.ipam_config.clone().unwrap_or_default();
    let mut wrong = Vec::new();
    if predefined && !(fixed.ipv4_address.is_empty() && fixed.ipv6_address.is_empty()) {
        wrong.push("user-specified IP address is supported on user-defined networks only");
    }
    if predefined && endpoint.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) {
        wrong.push("network-scoped aliases are only supported for user-defined networks");
    }
    if !wrong.is_empty() {
        return Err(Refusal::invalid(format!("invalid endpoint settings:\n{}", wrong.join("\n"))));
    }
    attachment(endpoint, None)
}

/// `POST /networks/{name}/disconnect`.
pub(super) async fn disconnect(
    State(docker): Shared,
    Path(text): Path<String>,
    MaybeDocument(request): MaybeDocument<DisconnectRequest>,
) -> Result<StatusCode, Refusal> {
    let DisconnectRequest { container, force } = request.unwrap_or_default();
    let asked = container.clone().unwrap_or_default();
    let id = match docker.container_of(container) {
        Ok(id) => id,
        Err(_) if force == Some(true) && !asked.is_empty() => {
            // An end without a container is no more than a leftover, and here there are none.
            docker.network(&text).await?;
            return Err(Refusal::missing(format!("endpoint {asked} not found")));
        }
        Err(refusal) => return Err(refusal),
    };
    let known = docker.network(&text).await;
    let record = docker.containers.inspect(&id)?.record;
    let name = match known {
        Ok(Known::Bridge(view)) => view.name.to_string(),
        Ok(Known::Host) if record.service.network_mode == NetworkMode::Host => {
            return Err(Refusal::invalid(
                "cannot disconnect container from host network - container was created in host network mode",
            ));
        }
        Ok(other) => return Err(not_on(&id, other.name(), record.state.runs())),
        // What is gone can still be taken off a container that does not run, or when it must be.
        Err(refusal) if record.state.runs() && force != Some(true) => return Err(refusal),
        Err(_) => text,
    };
    match docker.containers.disconnect_from(&id, &name).await {
        Ok(()) => Ok(StatusCode::OK),
        Err(ConnectError::NotOn { network, .. }) => Err(not_on(&id, &network, record.state.runs())),
        Err(problem) => Err(refusal(problem)),
    }
}

fn not_on(id: &ContainerId, network: &str, runs: bool) -> Refusal {
    let the = if runs { "network" } else { "the network" };
    Refusal::failed(format!("container {id} is not connected to {the} {network}"))
}

/// Why it did not join, with docker's status.
fn refusal(problem: ConnectError) -> Refusal {
    match problem {
        ConnectError::Container(error) => error.into(),
        ConnectError::NoNetwork(name) => missing(&name),
        ConnectError::Already { container, network } => Refusal::new(
            StatusCode::FORBIDDEN,
            format!("endpoint with name {container} already exists in network {network}"),
        ),
        ConnectError::Shared { mode: NetworkMode::None, .. } => Refusal::invalid(PRIVATE),
        ConnectError::Shared { .. } => Refusal::invalid(SHARED),
        ConnectError::Invalid(text) => Refusal::invalid(format!("invalid endpoint settings:\n{text}")),
        other @ ConnectError::NotOn { .. } => Refusal::of(&other),
        ConnectError::Attach { source, .. } => match *source {
            AttachError::Address { taken: true, .. } => {
                Refusal::new(StatusCode::FORBIDDEN, "Address already in use")
            }
            AttachError::Address { address, network, .. } => Refusal::invalid(format!(
                "invalid endpoint settings:\nno configured subnet contains IP address {address} (network {network})"
            )),
            other => Refusal::of(&other),
        },
    }
}

#[cfg(test)]
mod tests;
