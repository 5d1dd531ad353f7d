//! A request for a file: which it is, in which coding, and what becomes of one that is not there.

use std::sync::Arc;

use base::Timestamp;
use spec::Missing;

use super::{Answer, Conditions, Entry, Index, Shelf, Shelves, kinds};
use crate::head::request::Method;
use crate::rules::{Accepted, Incoming};

/// A request that a folder may answer.
#[derive(Debug)]
pub(crate) struct Wanted {
    shelf: Arc<Shelf>,
    /// What it asks for in the folder; none where no file can have such a name.
    path: Option<String>,
    /// Where the folder itself is, with a slash at its end and the query.
    within: Vec<u8>,
    /// It ends where the folder's path does.
    bare: bool,
    /// It asks for a page.
    html: bool,
    /// GET, and not HEAD.
    get: bool,
    accepted: Accepted,
    conditions: Conditions,
}

/// What there is for a request.
pub(crate) enum Found<'a> {
    File(Served<'a>),
    /// A folder that was asked for without its slash.
    Folder,
    /// Nothing: the service is asked.
    App,
    /// Nothing, and nobody is asked.
    Nothing,
}

/// A file, as it goes out.
pub(crate) struct Served<'a> {
    pub(crate) index: &'a Arc<Index>,
    pub(crate) entry: &'a Entry,
    kind: &'static str,
    /// It is compressed already.
    coding: Option<&'static str>,
    /// Other clients might get another file.
    varies: bool,
    cache: &'a [u8],
}

impl Shelves {
    /// The folder that a request may be answered from, if it is one that looks for something.
    pub(crate) fn wanted(&self, asked: &Incoming<'_>, html: bool) -> Option<Box<Wanted>> {
        let get = asked.head.kind == Method::Get;
        let looks = get || asked.head.kind == Method::Head;
        // A WebSocket is opened by a GET that asks for no file.
        if !looks || asked.head.upgrade.is_some() {
            return None;
        }
        let (path, target) = (asked.head.path.of(asked.buf), asked.head.target.of(asked.buf));
        let rest = |shelf: &Shelf| {
            let rest = path.strip_prefix(&*shelf.prefix)?;
            (rest.is_empty() || rest[0] == b'/').then_some(rest)
        };
        let (shelf, rest) = self.0.iter().find_map(|shelf| Some((shelf, rest(shelf)?)))?;
        let mut within = path.to_vec();
        within.push(b'/');
        within.extend_from_slice(target.strip_prefix(path).unwrap_or_default());
        Some(Box::new(Wanted {
            shelf: Arc::clone(shelf),
            path: decode(rest.strip_prefix(b"/").unwrap_or(rest)),
            within,
            bare: rest.is_empty(),
            html,
            get,
            accepted: Accepted::of(asked.fields, asked.buf),
            conditions: Conditions::of(asked.fields, asked.buf),
        }))
    }
}

impl Wanted {
    /// What there is.
    pub(crate) fn find(&self) -> Found<'_> {
        let index = self.shelf.index.get();
        if let (Some(index), Some(path)) = (index, &self.path) {
            let in_folder = path.is_empty() || path.ends_with('/');
            if self.bare && index.get("index.html").is_some() {
                return Found::Folder;
            }
            let name = if in_folder { format!("{path}index.html") } else { path.clone() };
            if !self.bare
                && let Some(served) = self.serve(index, &name)
            {
                return Found::File(served);
            }
            if !in_folder && index.get(&format!("{path}/index.html")).is_some() {
                return Found::Folder;
            }
        }
        match self.shelf.missing {
            Missing::App => Found::App,
            Missing::NotFound => Found::Nothing,
            Missing::Index => {
                let page = index.filter(|_| self.html).and_then(|index| self.serve(index, "index.html"));
                page.map_or(Found::Nothing, Found::File)
            }
        }
    }

    /// A file of the list, compressed if there is such a neighbour and the client takes it.
    fn serve<'a>(&'a self, index: &'a Arc<Index>, name: &str) -> Option<Served<'a>> {
        let plain = index.get(name)?;
        let Accepted { gzip, zstd, brotli } = self.accepted;
        let codings = [("br", "br", brotli), ("zst", "zstd", zstd), ("gz", "gzip", gzip)];
        let neighbours: Vec<_> = codings
            .into_iter()
            .filter_map(|(ending, coding, weight)| {
                Some((index.get(&format!("{name}.{ending}"))?, coding, weight))
            })
            .collect();
        let best = neighbours
            .iter()
            .filter(|(entry, _, weight)| *weight > 0 && entry.size < plain.size)
            .max_by_key(|(entry, _, weight)| (*weight, std::cmp::Reverse(entry.size)));
        Some(Served {
            index,
            entry: best.map_or(plain, |(entry, ..)| entry),
            kind: kinds::kind(name),
            coding: best.map(|(_, coding, _)| *coding),
            varies: !neighbours.is_empty(),
            cache: &self.shelf.cache,
        })
    }

    /// What is answered to it with this file.
    pub(crate) fn decide(&self, served: &Served<'_>, now: Timestamp) -> Answer {
        self.conditions.decide(served.entry, self.get, now)
    }

    /// The line that sends the client into the folder.
    pub(crate) fn push_location(&self, lines: &mut Vec<u8>) {
        lines.extend_from_slice(b"location: ");
        lines.extend_from_slice(&self.within);
        lines.extend_from_slice(b"\r\n");
    }
}

impl Served<'_> {
    /// The status line of this answer and the lines that tell of the file.
    pub(crate) fn head(&self, answer: Answer, date: &str) -> String {
        let Entry { etag, size, date: modified, .. } = self.entry;
        let reason = match answer {
            Answer::Whole => "OK",
            Answer::Part(..) => "Partial Content",
            Answer::Known => "Not Modified",
            Answer::Other => "Precondition Failed",
            Answer::Beyond => "Range Not Satisfiable",
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\ndate: {date}\r\n", answer.status());
        match answer {
            Answer::Other => head.push_str("content-length: 0\r\n"),
            Answer::Beyond => {
                head.push_str(&format!("content-range: bytes */{size}\r\ncontent-length: 0\r\n"))
            }
            Answer::Whole | Answer::Part(..) | Answer::Known => {
                head.push_str(&format!("etag: {etag}\r\nlast-modified: {modified}\r\n"));
                head.push_str(&String::from_utf8_lossy(self.cache));
                if self.varies {
                    head.push_str("vary: accept-encoding\r\n");
                }
            }
        }
        if let Some((from, length)) = self.body(answer) {
            head.push_str(&format!("content-type: {}\r\naccept-ranges: bytes\r\n", self.kind));
            head.push_str(&format!("content-length: {length}\r\n"));
            if let Some(coding) = self.coding {
                head.push_str(&format!("content-encoding: {coding}\r\n"));
            }
            if let Answer::Part(_, to) = answer {
                head.push_str(&format!("content-range: bytes {from}-{to}/{size}\r\n"));
            }
        }
        head
    }

    /// What kind of file it is, for people.
    pub(crate) fn about(&self) -> String {
        let coding = self.coding.map_or_else(String::new, |coding| format!(" in {coding}"));
        format!("{}{coding}", self.kind)
    }

    /// Where the body begins in the file, and its length, if the answer has one.
    pub(crate) fn body(&self, answer: Answer) -> Option<(u64, u64)> {
        match answer {
            Answer::Whole => Some((0, self.entry.size)),
            Answer::Part(from, to) => Some((from, to - from + 1)),
            Answer::Known | Answer::Other | Answer::Beyond => None,
        }
    }
}

/// A path without its percents, if a file can have such a name.
fn decode(path: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, more) = rest.split_at_checked(2)?;
        let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        // A hidden slash is none that leads anywhere.
        if byte == b'/' {
            return None;
        }
        bytes.push(byte);
        rest = more;
    }
    let path = String::from_utf8(bytes).ok()?;
    let good = !path.chars().any(char::is_control) && !path.starts_with('/') && !path.contains("//");
    good.then_some(path)
}

#[cfg(test)]
mod tests;
