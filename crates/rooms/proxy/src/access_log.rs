//! The access log: a line a request, gathered by each thread and written by one that serves nobody.
//!
//! Owns `edge/access.log` and its predecessor `access.log.1`, together at most 128 MiB. When the disk is slower
//! than the requests, only a share of the lines is written, in which errors and refusals come first; what is not written is
//! counted, and no request waits.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use base::{Clock, Instant, SystemClock, Timestamp};

use crate::head::Field;
use crate::head::request::RequestHead;
use crate::limits::LogFormat;
use crate::refusal::push_number;
use crate::trace::{self, TraceId};

/// A thread hands its lines over when it has so many bytes of them, or at the next tick.
const BATCH_BYTES: usize = 32 * 1024;
/// Batches that may wait to be written.
const WAITING: usize = 64;
/// So many bytes wait in a thread for a writer that is behind.
const MOST_BYTES: usize = 8 * BATCH_BYTES;
/// Of so many lines at least one is written.
const MOST_SHARE: u32 = 64;
/// Where the file is turned over.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Longer hosts and targets are cut in the log.
const TEXT_BYTES: usize = 1024;

/// One thread's part of the log.
pub(crate) struct Line {
    batch: Vec<u8>,
    writer: Option<SyncSender<Vec<u8>>>,
    lines: u64,
    dropped: Arc<AtomicU64>,
    format: LogFormat,
    /// Of so many lines that are like all others one is written.
    share: u32,
    turn: u32,
    /// A second since 1970, and how people write it.
    calendar: (i64, String),
    /// What to add to a moment for the calendar's time.
    offset: i64,
}

/// What is known of one request.
pub(crate) struct Entry {
    pub(crate) began: Instant,
    /// When it ended, where somebody knows.
    pub(crate) ended: Option<Instant>,
    /// What the client speaks.
    protocol: &'static str,
    /// Method, host and target as the line has them; for the combined format what follows the numbers too.
    text: Vec<u8>,
    /// Where in `text` that begins.
    behind: usize,
    pub(crate) status: u16,
    /// Why the edge answered itself, or nothing.
    pub(crate) reason: &'static str,
    /// What the cache did, where there is one.
    pub(crate) cache: &'static str,
    /// The trace that it is part of.
    pub(crate) trace: Option<TraceId>,
    /// What became of a second request for it, or nothing where there was none.
    pub(crate) hedge: &'static str,
}

impl Entry {
    /// Of a client that speaks this.
    pub(crate) fn over(protocol: &'static str) -> Self {
        let (began, text) = (Instant::default(), Vec::new());
        let (ended, trace) = (None, None);
        let (behind, status) = (0, 0);
        Self { began, ended, protocol, text, behind, status, reason: "", cache: "", trace, hedge: "" }
    }

    /// Forgets the request before.
    pub(crate) fn forget(&mut self) {
        self.began = SystemClock.now();
        self.text.clear();
        self.behind = 0;
        self.status = 0;
        self.reason = "";
        self.cache = "";
        self.trace = None;
        self.hedge = "";
    }

    /// Notes who asks for what.
    pub(crate) fn begin(
        &mut self,
        format: LogFormat,
        began: Instant,
        head: &RequestHead,
        (fields, buf): (&[Field], &[u8]),
    ) {
        self.began = began;
        self.status = 0;
        self.reason = "";
        self.cache = "";
        self.trace = None;
        self.hedge = "";
        if format == LogFormat::Off {
            return;
        }
        let out = &mut self.text;
        out.clear();
        let (method, target) = (head.method.of(buf), head.target.of(buf));
        if format == LogFormat::Json {
            self.trace = trace::context(fields, buf).and_then(trace::id);
            for (name, value) in [
                (&b"\"method\":\""[..], method),
                (b"\",\"host\":\"", head.host.map(|host| host.of(buf)).unwrap_or_default()),
                (b"\",\"target\":\"", target),
            ] {
                out.extend_from_slice(name);
                push_text(out, value);
            }
            out.push(b'"');
            return;
        }
        out.push(b'"');
        push_text(out, method);
        out.push(b' ');
        push_text(out, target);
        out.push(b' ');
        out.extend_from_slice(self.protocol.as_bytes());
        out.push(b'"');
        self.behind = out.len();
        if format == LogFormat::Combined {
            for name in [&b"referer"[..], b"user-agent"] {
                let is = |field: &&Field| field.name.of(buf).eq_ignore_ascii_case(name);
                out.extend_from_slice(b" \"");
                push_any(out, fields.iter().find(is).map_or(b"-", |field| field.value.of(buf)));
                out.push(b'"');
            }
        }
    }
}

/// Appends the value of a field, which may hold bytes beyond ASCII and tabs.
fn push_any(out: &mut Vec<u8>, text: &[u8]) {
    for c in &text[..text.len().min(TEXT_BYTES)] {
        match c {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *c]),
            0x20..0x7f => out.push(*c),
            other => out.extend_from_slice(format!("\\x{other:02x}").as_bytes()),
        }
    }
}

/// Appends text that has passed the parser, which lets neither control characters nor others than ASCII through.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(TEXT_BYTES)];
    let mut rest = text;
    // Rarely any.
    while let Some(found) = rest.iter().position(|c| matches!(c, b'"' | b'\\')) {
        out.extend_from_slice(&rest[..found]);
        out.extend_from_slice(&[b'\\', rest[found]]);
        rest = &rest[found + 1..];
    }
    out.extend_from_slice(rest);
}

impl Line {
    /// A part that goes to this writer, or nowhere.
    pub(crate) fn new(
        writer: Option<SyncSender<Vec<u8>>>,
        dropped: Arc<AtomicU64>,
        format: LogFormat,
    ) -> Self {
        let offset = SystemClock.wall().0.wrapping_sub(i64::try_from(SystemClock.now().0).unwrap_or(0));
        Self {
            batch: Vec::new(),
            writer,
            lines: 0,
            dropped,
            format,
            share: 1,
            turn: 0,
            calendar: (i64::MIN, String::new()),
            offset,
        }
    }

    /// Adds a line. While the disk is slower than the requests, only a share of those that are like all others.
    pub(crate) fn push(
        &mut self,
        entry: &Entry,
        now: Instant,
        peer: &[u8],
        (received, answered): (u64, u64),
    ) {
        let usual = entry.reason.is_empty() && entry.status < 500;
        let share = if usual { self.share } else { 1 };
        self.turn = self.turn.wrapping_add(1);
        if !self.turn.is_multiple_of(share) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let began = i64::try_from(entry.began.0).unwrap_or(0).wrapping_add(self.offset);
        match self.format {
            LogFormat::Json => {
                let took = now.since(entry.began);
                push_json(&mut self.batch, (entry, began, took), (peer, received, answered), share);
            }
            LogFormat::Off | LogFormat::Common | LogFormat::Combined => {
                let seconds = began.div_euclid(1_000_000_000);
                if self.calendar.0 != seconds {
                    self.calendar = (seconds, Timestamp::from_secs(seconds).in_logs());
                }
                push_common(&mut self.batch, entry, peer, &self.calendar.1, answered);
            }
        }
        self.lines += 1;
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands the lines over. When the writer has too much to do already, fewer lines come from now on; those that are
    /// here wait a while, and are then dropped and counted.
    pub(crate) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let Some(writer) = &self.writer else { return };
        let next = Vec::with_capacity(self.batch.capacity().min(2 * BATCH_BYTES));
        let batch = std::mem::replace(&mut self.batch, next);
        match writer.try_send(batch) {
            Ok(()) => {
                self.share = (self.share / 2).max(1);
                self.lines = 0;
            }
            Err(TrySendError::Full(batch)) if batch.len() < MOST_BYTES => {
                self.share = (self.share * 2).min(MOST_SHARE);
                self.batch = batch;
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(std::mem::take(&mut self.lines), Ordering::Relaxed);
            }
        }
    }
}

/// Writes a line of JSON: when the request began, in nanoseconds since 1970, and how long it took; who asked, and how
/// many bytes of bodies went either way; of how many like it this is one.
fn push_json(
    out: &mut Vec<u8>,
    (entry, began, took): (&Entry, i64, Duration),
    (peer, received, answered): (&[u8], u64, u64),
    share: u32,
) {
    out.extend_from_slice(b"{\"at_ms\":");
    push_number(out, u64::try_from(began / 1_000_000).unwrap_or(0));
    out.extend_from_slice(b",\"client\":\"");
    out.extend_from_slice(peer);
    out.extend_from_slice(b"\",\"protocol\":\"");
    out.extend_from_slice(entry.protocol.as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(if entry.text.is_empty() { b"\"method\":\"\"" } else { &entry.text });
    for (name, value) in [
        (&b",\"status\":"[..], u64::from(entry.status)),
        (b",\"received\":", received),
        (b",\"sent\":", answered),
        (b",\"took_us\":", u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
    ] {
        out.extend_from_slice(name);
        push_number(out, value);
    }
    if let Some(trace) = &entry.trace {
        out.extend_from_slice(b",\"trace\":\"");
        out.extend_from_slice(trace);
        out.push(b'"');
    }
    if !entry.hedge.is_empty() {
        out.extend_from_slice(b",\"hedge\":\"");
        out.extend_from_slice(entry.hedge.as_bytes());
        out.push(b'"');
    }
    if !entry.cache.is_empty() {
        out.extend_from_slice(b",\"cache\":\"");
        out.extend_from_slice(entry.cache.as_bytes());
        out.push(b'"');
    }
    if !entry.reason.is_empty() {
        out.extend_from_slice(b",\"reason\":\"");
        out.extend_from_slice(entry.reason.as_bytes());
        out.push(b'"');
    }
    if share > 1 {
        out.extend_from_slice(b",\"of\":");
        push_number(out, u64::from(share));
    }
    out.extend_from_slice(b"}\n");
}

/// Writes a line of the common or the combined format.
fn push_common(out: &mut Vec<u8>, entry: &Entry, peer: &[u8], began: &str, answered: u64) {
    out.extend_from_slice(if peer.is_empty() { b"-" } else { peer });
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(began.as_bytes());
    out.extend_from_slice(b"] ");
    let (request, behind) = entry.text.split_at(entry.behind);
    out.extend_from_slice(if request.is_empty() { b"\"-\"" } else { request });
    out.push(b' ');
    push_number(out, u64::from(entry.status));
    out.push(b' ');
    match answered {
        0 => out.push(b'-'),
        count => push_number(out, count),
    }
    out.extend_from_slice(behind);
    out.push(b'\n');
}

/// Starts the thread that writes; it ends when all senders are gone.
pub(crate) fn start(folder: &Path) -> std::io::Result<SyncSender<Vec<u8>>> {
    let (sender, receiver) = sync_channel(WAITING);
    let path = folder.join("access.log");
    std::thread::Builder::new().name("access-log".into()).spawn(move || write(&path, &receiver))?;
    Ok(sender)
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn write(path: &PathBuf, batches: &Receiver<Vec<u8>>) {
    let mut file = None;
    for batch in batches {
        if file.is_none() {
            file = open(path).ok();
        }
        let Some(out) = &mut file else {
            tracing::warn!("could not open `{}`", path.display());
            continue;
        };
        if let Err(error) = out.write_all(&batch) {
            tracing::warn!(%error, "could not write `{}`", path.display());
        }
        // An edge that was replaced writes to the same file until it is done.
        let Ok(there) = out.metadata() else { continue };
        if there.len() < FILE_BYTES {
            continue;
        }
        file = None;
        // Another edge may have turned it over already.
        let is_there =
            std::fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (there.dev(), there.ino()));
        if is_there && let Err(error) = std::fs::rename(path, path.with_extension("log.1")) {
            tracing::warn!(%error, "could not turn `{}` over", path.display());
        }
    }
}

#[cfg(test)]
mod tests;
