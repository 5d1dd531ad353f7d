//! What happens to networks, one function for each thing that people may want to read of.

use std::path::Path;

use base::{ContainerId, NetworkName, ServiceName};
use tracing::{debug, info, warn};

use crate::order::Settled;
use crate::problems::{ChangeError, KernelError};
use crate::tag::Tag;

/// Links were told to pass packets on, which the machine did not do before.
pub(crate) fn forwarding_enabled(setting: &str) {
    info!(setting, "told the kernel to forward packets: `{setting}` was off");
}

/// Links could not be told to pass packets on.
pub(crate) fn forwarding_refused(setting: &str, error: &std::io::Error) {
    warn!(setting, %error, "containers may not reach the outside: `{setting}` cannot be set");
}

/// A network was made.
pub(crate) fn created(network: &NetworkName, bridge: &str, subnets: &str) {
    info!(network.name = %network, bridge, subnets, "made network `{network}` ({subnets}) on `{bridge}`");
}

/// Another had the same subnet at the same moment.
pub(crate) fn subnet_lost(network: &NetworkName, subnet: &str, other: &str) {
    info!(network.name = %network, subnet, other, "gave up {subnet} for network `{network}`: {other} has it too");
}

/// A network was removed.
pub(crate) fn removed(network: &NetworkName) {
    info!(network.name = %network, "removed network `{network}`");
}

/// A container joined.
pub(crate) fn attached(network: &NetworkName, container: &ContainerId, address: &str) {
    debug!(network.name = %network, container.id = %container, address, "`{}` joined `{network}` as {address}", container.short());
}

/// A container left.
pub(crate) fn detached(network: &NetworkName, container: &ContainerId) {
    debug!(network.name = %network, container.id = %container, "`{}` left `{network}`", container.short());
}

/// A record made no sense and was put away.
pub(crate) fn record_damaged(path: &Path) {
    warn!(path = %path.display(), "a record of attachments is damaged and was removed: `{}`", path.display());
}

/// A driver option that means nothing to us.
pub(crate) fn option_unknown(network: &NetworkName, option: &str) {
    warn!(network.name = %network, option, "network `{network}` has the driver option `{option}`, which has no effect here");
}

/// Nobody answers for names yet.
pub(crate) fn names_late(network: &NetworkName, why: &str) {
    warn!(network.name = %network, why, "nobody answers for names on network `{network}` yet: {why}");
}

/// A service has an address in IPv4 alone.
pub(crate) fn service_without_ipv6(service: &ServiceName, full: &ChangeError) {
    warn!(%service, why = %full, "by IPv6 the name of service `{service}` leads to its instances: {full}");
}

/// The filters do not say where services are.
pub(crate) fn services_lead_elsewhere(problem: &KernelError) {
    let why = format!("{problem}: {}", problem.source);
    warn!(%why, "services' addresses may lead to instances that are gone, until networks change again: {why}");
}

/// The kernel cannot lead packets to instances.
pub(crate) fn services_not_led(error: &std::io::Error) {
    warn!(%error, "services' addresses lead nowhere but to the edge: the kernel cannot balance packets: {error}");
}

/// The kernel goes on leading datagrams to one that is gone.
pub(crate) fn flows_remembered(problem: &KernelError) {
    let why = format!("{problem}: {}", problem.source);
    warn!(%why, "datagrams of callers that go on sending may be led to an instance that is gone: {why}");
}

/// Everything agrees with the record again.
pub(crate) fn settled(tag: &Tag, settled: &Settled) {
    info!(
        root.tag = %tag,
        bridges_restored = settled.bridges_restored.len(),
        links_removed = settled.links_removed.len(),
        released = settled.released.len(),
        attachments_restored = settled.attachments_restored.len(),
        lost = settled.lost.len(),
        "networks are as recorded"
    );
}
