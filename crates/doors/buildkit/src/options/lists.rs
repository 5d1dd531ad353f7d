//! Lists in options: fields between commas, quoted where they hold one; hosts, bounds of resources, places of caches.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use build::Ulimit;
use serde::Deserialize;

use crate::grpc::Status;

/// The resources that have bounds.
const RESOURCES: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Items between commas, without empty ones.
pub(crate) fn comma(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Fields of one line of comma-separated values: a field may stand in double quotes, where two of them mean one.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, Status> {
    let broken = || Status::failed(format!("the list `{text}` has a quote that does not end"));
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let mut field = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut inside = quoted;
            loop {
                let (part, after) = inside.split_once('"').ok_or_else(broken)?;
                field.push_str(part);
                match after.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        inside = more;
                    }
                    None => {
                        rest = after;
                        break;
                    }
                }
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Ok(fields),
            None => return Err(broken()),
        }
    }
}

/// `name=address,…`
pub(crate) fn hosts(text: &str) -> Result<Vec<(String, String)>, Status> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let host = |field: String| {
        let (name, address) =
            field.split_once('=').ok_or_else(|| Status::failed(format!("invalid key-value pair {field}")))?;
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let ip: IpAddr = bare.parse().map_err(|_| Status::failed(format!("failed to parse IP {address}")))?;
        Ok((name.to_lowercase(), ip.to_string()))
    };
    fields(text)?.into_iter().map(host).collect()
}

/// `name=soft:hard,…`; -1 is no bound.
pub(crate) fn ulimits(text: &str) -> Result<BTreeMap<String, Ulimit>, Status> {
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    fields(text)?.iter().map(|field| ulimit(field)).collect()
}

fn ulimit(field: &str) -> Result<(String, Ulimit), Status> {
    let wrong = |why: &str| Status::failed(format!("invalid ulimit argument {field}: {why}"));
    let (name, bounds) = field.split_once('=').ok_or_else(|| wrong("it has no `=`"))?;
    if !RESOURCES.contains(&name) {
        return Err(wrong("there is no such resource"));
    }
    let bound = |text: &str| match text.trim().parse::<i64>() {
        Ok(number) if number >= -1 => Ok(number),
        Ok(_) | Err(_) => Err(wrong("a bound is a number or -1")),
    };
    let (soft, hard) = match bounds.split_once(':') {
        Some((soft, hard)) => (bound(soft)?, bound(hard)?),
        None => (bound(bounds)?, bound(bounds)?),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(wrong("the soft bound is above the hard one"));
    }
    Ok((name.to_owned(), Ulimit { soft, hard }))
}

/// Where cached results could come from, as JSON, for people.
pub(crate) fn cache_imports(text: &str) -> Result<Vec<String>, Status> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "Type", alias = "type", default)]
        kind: String,
        #[serde(rename = "Attrs", alias = "attrs", default)]
        attrs: HashMap<String, String>,
    }
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let entries: Option<Vec<Entry>> = serde_json::from_str(text)
        .map_err(|error| Status::failed(format!("failed to unmarshal cache-imports ({text:?}): {error}")))?;
    let name = |entry: Entry| match entry.attrs.get("ref").or_else(|| entry.attrs.get("src")) {
        Some(place) => place.clone(),
        None => entry.kind,
    };
    Ok(entries.unwrap_or_default().into_iter().map(name).collect())
}

#[cfg(test)]
mod tests;
