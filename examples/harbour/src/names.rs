//! Names to addresses, by `/etc/hosts` and one question to a name server.
//!
//! A static program cannot use the C library's resolver, which loads parts of itself when it runs.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(800);
const ATTEMPTS: usize = 2;
/// A question for an IPv4 address.
const TYPE_A: u16 = 1;

/// The addresses of this name; at least one.
pub(crate) fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let known = in_hosts(&fs::read_to_string("/etc/hosts").unwrap_or_default(), name);
    if !known.is_empty() {
        return Ok(known);
    }
    let servers = name_servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    let mut last = io::Error::new(io::ErrorKind::NotFound, "`/etc/resolv.conf` names no server");
    for server in servers.iter().cycle().take(servers.len() * ATTEMPTS) {
        match ask(SocketAddr::new(*server, 53), name) {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) => last = io::Error::new(io::ErrorKind::NotFound, format!("no address for `{name}`")),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let named = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    });
    named.collect()
}

fn name_servers(conf: &str) -> Vec<IpAddr> {
    let lines = conf.lines().filter_map(|line| line.strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.trim().parse().ok()).collect()
}

fn ask(server: SocketAddr, name: &str) -> io::Result<Vec<IpAddr>> {
    let id = chance()?;
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // A connected socket takes answers from that server alone.
    socket.connect(server)?;
    socket.send(&question(id, name)?)?;
    let mut buffer = [0; 1_500];
    let size = socket.recv(&mut buffer)?;
    answers(&buffer[..size], id)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a name server's answer is damaged"))
}

fn chance() -> io::Result<u16> {
    let mut bytes = [0; 2];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}

fn question(id: u16, name: &str) -> io::Result<Vec<u8>> {
    let mut packet = Vec::from(id.to_be_bytes());
    // A standard question, recursion desired; one question, nothing else.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        packet
            .push(length.ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is no name"))
            })?);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    Ok(packet)
}

/// The addresses in an answer; none where it is damaged, or not ours, or the server failed.
fn answers(packet: &[u8], id: u16) -> Option<Vec<IpAddr>> {
    let number = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let refused = packet.get(3)? & 0x0f;
    // 3 says that there is no such name, which is an answer.
    if number(0)? != id || packet.get(2)? & 0x80 == 0 || ![0, 3].contains(&refused) {
        return None;
    }
    let mut at = 12;
    for _ in 0..number(4)? {
        at = past_name(packet, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..number(6)? {
        at = past_name(packet, at)?;
        let (kind, length) = (number(at)?, usize::from(number(at + 8)?));
        let data = packet.get(at + 10..at + 10 + length)?;
        if let (TYPE_A, &[a, b, c, d]) = (kind, data) {
            found.push(Ipv4Addr::new(a, b, c, d).into());
        }
        at += 10 + length;
    }
    Some(found)
}

fn past_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            // The rest of the name stands elsewhere.
            pointer if pointer >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests;
