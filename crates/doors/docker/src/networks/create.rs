//! `POST /networks/create`: each field of the request is honoured, or refused in docker's words.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base::NetworkName;
use network::{CreateError, IpamOrder, NetworkOrder, Remarks};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Shared;
use crate::answer::Refusal;
use crate::params::Document;
use crate::version::ApiVersion;

/// The request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Request {
    name: Option<String>,
    /// Says what is so anyway: names are unique.
    #[serde(rename = "CheckDuplicate")]
    _check_duplicate: Option<bool>,
    driver: Option<String>,
    scope: Option<String>,
    internal: Option<bool>,
    attachable: Option<bool>,
    ingress: Option<bool>,
    config_only: Option<bool>,
    config_from: Option<ConfigFrom>,
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    options: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigFrom {
    network: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    driver: Option<String>,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<IpamConfig>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct IpamConfig {
    subnet: Option<String>,
    #[serde(rename = "IPRange")]
    ip_range: Option<String>,
    gateway: Option<String>,
    auxiliary_addresses: Option<BTreeMap<String, String>>,
}

/// `POST /networks/create`.
pub(super) async fn create(
    State(docker): Shared,
    version: ApiVersion,
    Document(request): Document<Request>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let order = order(request, version)?;
    let taken = || Refusal::conflict(format!("network with name {} already exists", order.name));
    // The first bridge must have its place before another takes it.
    docker.networks.ensure_default().await.map_err(|problem| Refusal::of(&problem))?;
    if docker.networks.list().await.iter().any(|view| view.name == order.name) {
        return Err(taken());
    }
    let warning = warning(&order);
    let made = docker.networks.create(order.clone()).await;
    let view = made.map_err(|problem| match problem {
        CreateError::Differs { .. } => taken(),
        CreateError::Overlaps { subnet, other, .. } => Refusal::new(
            StatusCode::FORBIDDEN,
            format!(
                "invalid pool request: Pool overlaps with other one on this address space: {subnet} overlaps {other}"
            ),
        ),
        other => Refusal::of(&other),
    })?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": view.id, "Warning": warning }))))
}

/// What of the order has no effect here. Docker, too, passes over options that its driver does not know.
fn warning(order: &NetworkOrder) -> String {
    let known = network::driver_option_names();
    let idle: Vec<&str> =
        order.driver_opts.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
    if idle.is_empty() {
        return String::new();
    }
    format!("these options are kept and have no effect here: {}", idle.join(", "))
}

/// From docker's words to ours.
fn order(request: Request, version: ApiVersion) -> Result<NetworkOrder, Refusal> {
    let name = request.name.unwrap_or_default();
    refuse_kinds(&name, request.driver.as_deref().unwrap_or_default(), request.scope.as_deref())?;
    if request.ingress == Some(true) {
        return Err(Refusal::unsupported("there is no swarm here, and so no ingress network"));
    }
    let from = request.config_from.and_then(|from| from.network).is_some_and(|network| !network.is_empty());
    if request.config_only == Some(true) || from {
        return Err(Refusal::unsupported(
            "networks that only hold settings for others are not had here: give the settings themselves",
        ));
    }
    // Older clients do not know the field, and newer ones may send it to any daemon.
    if version >= ApiVersion(1, 48) && request.enable_ipv4 == Some(false) {
        return Err(Refusal::unsupported("IPv4 cannot be switched off here: leave `EnableIPv4` out"));
    }
    let enable_ipv6 = request.enable_ipv6.unwrap_or_default();
    let ipam = request.ipam.unwrap_or_default();
    match ipam.driver.as_deref() {
        None | Some("" | "default") => {}
        Some(other) => return Err(Refusal::missing(format!("plugin \"{other}\" not found"))),
    }
    let ranges = ranges(ipam.config.unwrap_or_default(), enable_ipv6)?;
    let name = NetworkName::new(name).map_err(|error| Refusal::invalid(error.to_string()))?;
    Ok(NetworkOrder {
        internal: request.internal.unwrap_or_default(),
        enable_ipv6,
        ipam: ranges,
        labels: request.labels.unwrap_or_default(),
        driver_opts: request.options.unwrap_or_default(),
        remarks: Remarks { attachable: request.attachable.unwrap_or_default(), ipam_options: ipam.options },
        ..NetworkOrder::named(name)
    })
}

/// Refuses names and drivers that cannot be.
fn refuse_kinds(name: &str, driver: &str, scope: Option<&str>) -> Result<(), Refusal> {
    let forbidden = |text: String| Err(Refusal::new(StatusCode::FORBIDDEN, text));
    const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
    if ["bridge", "host", "none", "default"].contains(&name) {
        return forbidden(format!("operation is not permitted on predefined {name} network "));
    }
    if name.trim().is_empty() {
        return Err(Refusal::invalid("invalid name: name is empty"));
    }
    if scope.is_some_and(|scope| !scope.is_empty() && scope != "local") {
        return forbidden(NO_SWARM.into());
    }
    match driver {
        "" | "bridge" | "default" => Ok(()),
        "host" | "null" => forbidden(format!("only one instance of \"{driver}\" network is allowed")),
        "overlay" => forbidden(NO_SWARM.into()),
        "macvlan" | "ipvlan" => Err(Refusal::unsupported(format!(
            "the network driver `{driver}` is not had here: there is `bridge`"
        ))),
        other => Err(Refusal::missing(format!("plugin \"{other}\" not found"))),
    }
}

/// Checks the address ranges as docker does, and says all that is wrong at once.
fn ranges(configs: Vec<IpamConfig>, enable_ipv6: bool) -> Result<Vec<IpamOrder>, Refusal> {
    let mut wrong = Vec::new();
    let mut ranges = Vec::new();
    let (mut ipv4, mut ipv6) = (0, 0);
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    for config in configs {
        let (subnet, ip_range) = (given(config.subnet), given(config.ip_range));
        let (gateway, aux_addresses) =
            (given(config.gateway), config.auxiliary_addresses.unwrap_or_default());
        if let Some(text) = &subnet {
            match block(text) {
                Ok(block) => {
                    *(if block.0.is_ipv4() { &mut ipv4 } else { &mut ipv6 }) += 1;
                    if block.0.is_ipv6() && !enable_ipv6 {
                        continue;
                    }
                    wrong.extend(misfits(block, ip_range.as_deref(), gateway.as_deref(), &aux_addresses));
                }
                Err(why) => wrong.push(format!("invalid subnet {text}: {why}")),
            }
        }
        let nothing = subnet.is_none() && ip_range.is_none() && gateway.is_none() && aux_addresses.is_empty();
        if !nothing {
            ranges.push(IpamOrder { subnet, ip_range, gateway, aux_addresses });
        }
    }
    if !wrong.is_empty() {
        return Err(Refusal::invalid(format!("invalid network config:\n{}", wrong.join("\n"))));
    }
    if ipv4 > 1 || ipv6 > 1 {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "bridge driver doesn't support multiple subnets"));
    }
    Ok(ranges)
}

type Block = (IpAddr, u8);

/// An address block whose address is its first.
fn block(text: &str) -> Result<Block, String> {
    let malformed = || "invalid CIDR block notation".to_owned();
    let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
    if prefix > width(address) {
        return Err(malformed());
    }
    let first = masked(address, prefix);
    if first == address { Ok((address, prefix)) } else { Err(format!("it should be {first}/{prefix}")) }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// What does not lie within a subnet.
fn misfits(
    (subnet, prefix): Block,
    ip_range: Option<&str>,
    gateway: Option<&str>,
    aux_addresses: &BTreeMap<String, String>,
) -> Vec<String> {
    let name = format!("{subnet}/{prefix}");
    let family = if subnet.is_ipv4() { 4 } else { 6 };
    let inside = |text: &str| -> Result<(), String> {
        let address: IpAddr = text.parse().map_err(|_| "it is not an address".to_owned())?;
        if address.is_ipv4() != subnet.is_ipv4() {
            return Err(format!("parent subnet is an IPv{family} block"));
        }
        let contained = masked(address, prefix) == subnet;
        if contained { Ok(()) } else { Err(format!("parent subnet {name} doesn't contain this address")) }
    };
    let mut wrong = Vec::new();
    if let Some(text) = ip_range {
        match block(text) {
            Err(why) => wrong.push(format!("invalid ip-range {text}: {why}")),
            Ok((first, _)) if first.is_ipv4() != subnet.is_ipv4() => {
                wrong.push(format!("invalid ip-range {text}: parent subnet is an IPv{family} block"));
            }
            Ok((_, narrower)) if narrower < prefix => wrong
                .push(format!("invalid ip-range {text}: CIDR block is bigger than its parent subnet {name}")),
            Ok((first, _)) if masked(first, prefix) != subnet => {
                wrong.push(format!("invalid ip-range {text}: parent subnet {name} doesn't contain ip-range"))
            }
            Ok(_) => {}
        }
    }
    if let Some(Err(why)) = gateway.map(inside) {
        wrong.push(format!("invalid gateway {}: {why}", gateway.unwrap_or_default()));
    }
    let aux = aux_addresses.iter().filter_map(|(name, text)| Some((name, inside(text).err()?)));
    wrong.extend(aux.map(|(name, why)| format!("invalid auxiliary address {name}: {why}")));
    wrong
}

#[cfg(test)]
mod tests;
