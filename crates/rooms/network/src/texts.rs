//! The texts of a container's `/etc/hosts` and `/etc/resolv.conf`, and the reading of the host's. Pure.

use std::fmt::Write;
use std::net::IpAddr;

/// What goes into a container's `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostsOrder<'a> {
    /// A text to begin with in place of the usual lines; then the container has no lines of its own.
    pub base: Option<&'a str>,
    /// The container's own name.
    pub hostname: &'a str,
    /// Its domain, if it has one.
    pub domainname: Option<&'a str>,
    /// Its addresses, the most important first.
    pub addresses: &'a [IpAddr],
    /// More lines: name, and address or `host-gateway`.
    pub extra_hosts: &'a [(String, String)],
    /// What `host-gateway` means: the bridge's address.
    pub host_gateway: Option<IpAddr>,
}

/// What goes into a container's `/etc/resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolverOrder<'a> {
    /// The gateways of its networks, where names are answered.
    pub gateways: &'a [IpAddr],
    /// Servers that were asked for. On a network the gateway asks them in the container's place: give them to
    /// [`crate::AttachOrder::dns`] too.
    pub dns: &'a [IpAddr],
    /// Domains to try; the host's when none. A single `.` means none at all.
    pub dns_search: &'a [String],
    /// Options; `ndots:0` when none.
    pub dns_opt: &'a [String],
    /// The host's `/etc/resolv.conf`.
    pub host: &'a str,
}

/// The text of `/etc/hosts`.
///
/// A `host-gateway` without a gateway, as in a container without networks, is left out.
pub fn hosts(order: &HostsOrder<'_>) -> String {
    let mut text = order.base.map_or_else(usual_hosts, |base| format!("{}\n", base.trim_end()));
    for (name, address) in order.extra_hosts {
        let address = match (address.as_str(), order.host_gateway) {
            ("host-gateway", Some(gateway)) => gateway.to_string(),
            ("host-gateway", None) => continue,
            // People write IPv6 addresses in brackets too.
            (other, _) => other.trim_start_matches('[').trim_end_matches(']').to_owned(),
        };
        let _ = writeln!(text, "{address}\t{name}");
    }
    if order.base.is_some() {
        return text;
    }
    let names = match order.domainname {
        Some(domain) => format!("{0}.{domain} {0}", order.hostname),
        None => order.hostname.to_owned(),
    };
    if order.addresses.is_empty() {
        let _ = writeln!(text, "127.0.1.1\t{names}");
    }
    for address in order.addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    text
}

fn usual_hosts() -> String {
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
     ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
        .to_owned()
}

/// The text of `/etc/resolv.conf`.
///
/// A container on a network asks the network's gateway, which asks others in its place; without a network it
/// has the servers that were asked for, or the host's.
pub fn resolv_conf(order: &ResolverOrder<'_>) -> String {
    let mut text = String::new();
    let servers = match (order.gateways, order.dns) {
        ([], []) => nameservers(order.host),
        ([], asked) => asked.to_vec(),
        (gateways, _) => gateways.to_vec(),
    };
    // Resolvers read three and pass over the rest.
    servers.iter().take(3).for_each(|server| {
        let _ = writeln!(text, "nameserver {server}");
    });
    let search = if order.dns_search.is_empty() { search(order.host) } else { order.dns_search.to_vec() };
    let search: Vec<_> = search.into_iter().filter(|domain| domain != ".").collect();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !order.dns_opt.is_empty() {
        let _ = writeln!(text, "options {}", order.dns_opt.join(" "));
    } else if !order.gateways.is_empty() {
        // The name of a service is complete: no domain is tried before it.
        text.push_str("options ndots:0\n");
    }
    text
}

/// The name servers of a `resolv.conf`, at most three as resolvers have it.
pub fn nameservers(text: &str) -> Vec<IpAddr> {
    let values = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let first = |value: &str| {
        let word = value.starts_with(char::is_whitespace).then(|| value.split_whitespace().next())??;
        // A zone, as in `fe80::1%eth0`, means a link of the host and nothing elsewhere.
        word.parse().ok()
    };
    values.filter_map(first).take(3).collect()
}

/// The search domains of a `resolv.conf`: the last line that names any holds.
fn search(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("search") => found = words.map(str::to_owned).collect(),
            Some("domain") => found = words.take(1).map(str::to_owned).collect(),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
