//! What this machine allows in networks, for `sea doctor`.

use std::io;
use std::net::UdpSocket;

use crate::filter;
use crate::netlink::message::{attributes, text};
use crate::netlink::{Family, Socket, link};
use crate::order::Mac;
use crate::realm::forwarding_wanted;
use crate::tag::Tag;

/// One thing about the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What was looked at, as `filters (nf_tables)`.
    pub what: &'static str,
    /// Whether networks work with it as it is.
    pub fine: bool,
    /// What was found.
    pub found: String,
    /// How to mend it, where that is known.
    pub mend: Option<String>,
}

/// Looks at everything that networks need. Tries are made with links and a table of their own, and taken back.
pub fn doctor_facts() -> Vec<Fact> {
    // A tag that belongs to this try alone.
    let bytes: [u8; 4] = base::kernel_bytes();
    let tag: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let mut facts = vec![links(&tag)];
    facts.extend(tag.parse().map(|tag| filters(&tag)));
    facts.push(forwarding());
    facts.push(strict_neighbours());
    facts.push(bridged_packets());
    facts.push(name_port());
    facts
}

fn fact(what: &'static str, outcome: io::Result<String>, mend: &str) -> Fact {
    match outcome {
        Ok(found) => Fact { what, fine: true, found, mend: None },
        Err(error) => Fact { what, fine: false, found: error.to_string(), mend: Some(mend.to_owned()) },
    }
}

/// Whether bridges and pairs of links can be made.
fn links(tag: &str) -> Fact {
    let attempt = || {
        let mut socket = Socket::open(Family::Route)?;
        let (bridge, end) = (format!("sea{tag}try"), format!("sev{tag}try"));
        let mac = Mac([0x02, 0x42, 0, 0, 0, 1]);
        socket.change(&[link::make_bridge(&bridge, mac, 1500)]).map_err(|r| r.source)?;
        let index = socket.ask(link::get(&bridge))?.iter().find_map(link::read_link).map_or(0, |l| l.index);
        let here = std::fs::File::open("/proc/thread-self/ns/net")?;
        let pair = link::Pair {
            host: &end,
            bridge: index,
            inside: &format!("sew{tag}try"),
            mac,
            namespace: std::os::fd::AsFd::as_fd(&here),
            mtu: 1500,
        };
        let made = socket.change(&[link::make_pair(&pair)]).map_err(|r| r.source);
        // Both are taken back whatever happened; the second end goes with the first.
        let _ = socket.change(&[link::remove(&end)]);
        socket.change(&[link::remove(&bridge)]).map_err(|r| r.source)?;
        made.map(|()| "bridges and veth pairs can be made".to_owned())
    };
    fact(
        "links",
        attempt(),
        "run as root with CAP_NET_ADMIN, on a kernel with `bridge` and `veth` (`modprobe bridge veth`)",
    )
}

/// Whether filters can be written.
fn filters(tag: &Tag) -> Fact {
    let attempt = || {
        let mut socket = Socket::open(Family::Netfilter)?;
        let fence = filter::Fence {
            bridge: "sea-try".to_owned(),
            internal: false,
            masquerade: true,
            talk: true,
            subnets: vec!["192.0.2.0/24".parse().map_err(io::Error::other)?],
            served: Vec::new(),
        };
        let written = socket.change(&filter::batch(tag, &[fence])).map_err(|r| r.source);
        socket.change(&filter::removal(tag)).map_err(|r| r.source)?;
        written.map(|()| "tables with connection tracking and masquerade can be written".to_owned())
    };
    fact(
        "filters (nf_tables)",
        attempt(),
        "load `nf_tables`, `nft_ct`, `nft_masq` and `nft_chain_nat` (`modprobe …`), and run with CAP_NET_ADMIN",
    )
}

fn forwarding() -> Fact {
    let off = forwarding_wanted();
    let found = match off.as_slice() {
        [] => "packets are forwarded".to_owned(),
        some => {
            format!("off: {}; switched on for the links concerned when a network needs it", some.join(", "))
        }
    };
    let writable = off.iter().all(|path| rustix::fs::access(*path, rustix::fs::Access::WRITE_OK).is_ok());
    let mend =
        (!writable).then(|| "make /proc/sys writable, or run `sysctl net.ipv4.ip_forward=1`".to_owned());
    Fact { what: "forwarding", fine: writable, found, mend }
}

/// Whether somebody else's filters drop what ours let through, as docker's do.
fn strict_neighbours() -> Fact {
    const WHAT: &str = "filters of others";
    let found = || {
        let mut strict = Vec::new();
        for (_, payload) in Socket::open(Family::Netfilter)?.ask(filter::list_chains())? {
            let (mut table, mut name, mut drops, mut forwards) = (String::new(), String::new(), false, false);
            for (kind, value) in attributes(payload.get(4..).unwrap_or_default()) {
                match kind {
                    1 => table = text(value),
                    3 => name = text(value),
                    4 => forwards = attributes(value).any(|(k, v)| k == 1 && v == [0, 0, 0, 2]),
                    5 => drops = value == [0; 4],
                    _ => {}
                }
            }
            if forwards && drops {
                strict.push(format!("chain `{name}` of table `{table}`"));
            }
        }
        io::Result::Ok(strict)
    };
    match found() {
        Ok(strict) if strict.is_empty() => {
            Fact { what: WHAT, fine: true, found: "none drops all that is forwarded".to_owned(), mend: None }
        }
        Ok(strict) => Fact {
            what: WHAT,
            fine: false,
            found: format!("forwarded packets are dropped unless allowed: {}", strict.join(", ")),
            mend: Some(
                "allow our bridges there; beside docker: \
                 `nft insert rule ip filter DOCKER-USER iifname \"sea*\" accept` and the same with `oifname`"
                    .to_owned(),
            ),
        },
        Err(error) => Fact { what: WHAT, fine: true, found: format!("not readable: {error}"), mend: None },
    }
}

/// Packets between containers of one bridge pass the host's filters when `br_netfilter` is loaded.
fn bridged_packets() -> Fact {
    let loaded = std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
    let found = match loaded {
        Ok(text) if text.trim() == "1" => "`br_netfilter` sends them through the host's filters".to_owned(),
        Ok(_) | Err(_) => "they do not pass the host's filters".to_owned(),
    };
    Fact { what: "packets within a bridge", fine: true, found, mend: None }
}

/// Whether a server on all addresses keeps us from answering for names.
fn name_port() -> Fact {
    let outcome = match UdpSocket::bind("127.0.0.113:53") {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Ok(_) | Err(_) => Ok("port 53 is free on the addresses of bridges".to_owned()),
    };
    fact("port 53", outcome, "have the host's name server listen on named addresses only, not on all")
}

#[cfg(test)]
mod tests;
