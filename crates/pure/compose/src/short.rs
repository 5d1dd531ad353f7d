//! The short forms: ports, volumes, and commands as a shell would split them.

use crate::tree::{Map, Node, Span, Value};

/// A volume's short form, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) source: String,
    pub(crate) target: String,
    read_only: bool,
    nocopy: bool,
    propagation: Option<String>,
    selinux: Option<String>,
    bare: bool,
}

/// Takes `source:target:options` apart.
pub(crate) fn volume(spec: &str) -> Result<Volume, String> {
    let mut volume = Volume::default();
    match spec.len() {
        0 => return Err("a volume cannot be empty".into()),
        1 | 2 => {
            return Ok(Volume { target: spec.into(), bare: true, ..volume });
        }
        _ => {}
    }
    let parts = split_volume(spec);
    let last = parts.len() - 1;
    for (index, part) in parts.iter().enumerate() {
        if part.is_empty() {
            return Err(format!("`{spec}` has nothing between two colons"));
        }
        if volume.source.is_empty() && index == last {
            volume.target.clone_from(part);
        } else if volume.source.is_empty() {
            volume.source.clone_from(part);
        } else if volume.target.is_empty() {
            volume.target.clone_from(part);
        } else if index < last {
            return Err(format!("`{spec}` has too many colons"));
        } else {
            options(&mut volume, part);
        }
    }
    Ok(volume)
}

/// Cuts at colons, but not at that of a drive letter and not inside `${…}`.
fn split_volume(spec: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut variables = 0usize;
    let mut chars = spec.chars().peekable();
    while let Some(c) = chars.next() {
        let part = parts.last_mut().map(|part| part as &mut String);
        let Some(part) = part else { continue };
        let drive = part.chars().count() == 1 && part.chars().all(char::is_alphabetic);
        match c {
            '$' if chars.peek() == Some(&'{') => variables += 1,
            '}' => variables = variables.saturating_sub(1),
            ':' if variables == 0 && !drive => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts
}

fn options(volume: &mut Volume, list: &str) {
    for option in list.split(',') {
        match option {
            "ro" => volume.read_only = true,
            "rw" => volume.read_only = false,
            "nocopy" => volume.nocopy = true,
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                volume.propagation = Some(option.to_owned());
            }
            "z" | "Z" => volume.selinux = Some(option.to_owned()),
            // The reference ignores what it does not know.
            _ => {}
        }
    }
}

/// Whether a volume's source is a path, not a name.
fn is_path(source: &str) -> bool {
    let mut chars = source.chars();
    let drive = chars.next().is_some_and(char::is_alphabetic) && chars.next() == Some(':');
    source.starts_with(['.', '/', '~']) || source.starts_with(r"\\") || drive
}

impl Volume {
    /// The long form.
    pub(crate) fn long(self, at: Span) -> Node {
        let path = is_path(&self.source);
        let mut map = Map::default();
        map.set("type", Node::text(if path { "bind" } else { "volume" }, at));
        if !self.source.is_empty() {
            map.set("source", Node::text(self.source, at));
        }
        if !self.target.is_empty() {
            map.set("target", Node::text(base::path::clean(&self.target), at));
        }
        if self.read_only {
            map.set("read_only", Node::bool(true, at));
        }
        let mut bind = Map::default();
        if let Some(selinux) = self.selinux {
            bind.set("selinux", Node::text(selinux, at));
        }
        if let Some(propagation) = self.propagation {
            bind.set("propagation", Node::text(propagation, at));
        }
        if path {
            // Whoever writes the short form has always had missing folders made.
            bind.set("create_host_path", Node::bool(true, at));
        }
        if path || !bind.is_empty() {
            map.set("bind", Node::new(Value::Map(bind), at));
        }
        let mut volume = Map::default();
        if self.nocopy {
            volume.set("nocopy", Node::bool(true, at));
        }
        if !self.bare && (!path || self.nocopy) {
            map.set("volume", Node::new(Value::Map(volume), at));
        }
        Node::new(Value::Map(map), at)
    }
}

/// One port that a short form stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Port {
    host_ip: String,
    published: String,
    target: u16,
    protocol: String,
}

impl Port {
    /// The long form.
    pub(crate) fn long(self, at: Span) -> Node {
        let mut map = Map::default();
        map.set("mode", Node::text("ingress", at));
        if !self.host_ip.is_empty() {
            map.set("host_ip", Node::text(self.host_ip, at));
        }
        map.set("target", Node::new(Value::Int(self.target.into()), at));
        if !self.published.is_empty() {
            map.set("published", Node::text(self.published, at));
        }
        map.set("protocol", Node::text(self.protocol, at));
        Node::new(Value::Map(map), at)
    }
}

/// Takes `ip:host:container/protocol` apart, with ranges.
pub(crate) fn ports(spec: &str) -> Result<Vec<Port>, String> {
    let (ports, protocol) = spec.split_once('/').unwrap_or((spec, ""));
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_lowercase() };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("`{spec}` has the protocol `{protocol}`, and only tcp, udp and sctp are known"));
    }
    let (host_ip, host, container) = split_port(ports)?;
    if container.is_empty() {
        return Err(format!("`{spec}` names no port of the container"));
    }
    let host_ip = address(&host_ip).ok_or_else(|| format!("`{host_ip}` is not an address"))?;
    let (start, end) = range(container)
        .filter(|(start, _)| *start > 0)
        .ok_or_else(|| format!("`{container}` is not a port or a range"))?;
    let hosts = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| format!("`{host}` is not a port or a range"))?),
    };
    if let Some((first, last)) = hosts
        && end - start != last - first
        && start != end
    {
        return Err(format!("the ranges `{host}` and `{container}` are not of one length"));
    }
    let mut all = Vec::new();
    for target in start..=end {
        let published = match hosts {
            None => String::new(),
            // One port of the container from any of a range of the host.
            Some((first, last)) if start == end && first != last => format!("{first}-{last}"),
            Some((first, _)) => (first + (target - start)).to_string(),
        };
        all.push(Port { host_ip: host_ip.clone(), published, target, protocol: protocol.clone() });
    }
    // The reference sorts by the text of the port.
    all.sort_by_key(|port| format!("{}/{}", port.target, port.protocol));
    Ok(all)
}

/// Address, host's port, container's port; an IPv6 address has colons of its own.
fn split_port(text: &str) -> Result<(String, &str, &str), String> {
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let ip = parts.next().unwrap_or_default();
    Ok((ip.to_owned(), host, container))
}

/// An address without its brackets, which one of IPv6 must have; none when it is none.
fn address(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(bare) => bare.parse::<std::net::IpAddr>().ok().map(|_| bare.to_owned()),
        None => text.parse::<std::net::Ipv4Addr>().ok().map(|_| text.to_owned()),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| -> Option<u16> {
        if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    match text.split_once('-') {
        None => port(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (port(first)?, port(last)?);
            if first <= last { Some((first, last)) } else { None }
        }
    }
}

/// A command line as words; none when its quotes do not close. An unquoted `;`, `&`, `|`, `<` or `>` ends it.
pub(crate) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut got = false;
    let (mut escaped, mut double, mut single, mut back, mut dollar) = (false, false, false, false, false);
    for c in line.chars() {
        if escaped {
            word.push(c);
            (escaped, got) = (false, true);
            continue;
        }
        let quoted = single || double || back || dollar;
        match c {
            '\\' if single => word.push(c),
            '\\' => escaped = true,
            ' ' | '\t' | '\r' | '\n' if quoted => word.push(c),
            ' ' | '\t' | '\r' | '\n' => {
                if got {
                    words.push(std::mem::take(&mut word));
                }
                got = false;
            }
            '"' if !single && !dollar => {
                got |= double;
                double = !double;
            }
            '\'' if !double && !dollar => {
                got |= single;
                single = !single;
            }
            '(' if !single && !double && !back => {
                if dollar || !word.ends_with('$') {
                    return None;
                }
                dollar = true;
                word.push(c);
            }
            ';' | '&' | '|' | '<' | '>' if !quoted => {
                // A digit before `>` names a stream and is no word.
                got &= !(c == '>' && word.starts_with(|c: char| c.is_ascii_digit()));
                break;
            }
            _ => {
                back ^= c == '`' && !single && !double && !dollar;
                dollar ^= c == ')' && !single && !double && !back;
                word.push(c);
                got = true;
            }
        }
    }
    if got {
        words.push(word);
    }
    if escaped || single || double || back || dollar { None } else { Some(words) }
}

#[cfg(test)]
mod tests;
