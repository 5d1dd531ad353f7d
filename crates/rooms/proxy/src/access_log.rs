//! The access log: a JSON line a request, gathered by each thread and written by one that serves nobody.
//!
//! Owns `edge/access.log` and its predecessor `access.log.1`, together at most 128 MiB. When the disk is slower
//! than the requests, lines are dropped and counted, and no request waits.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use base::{Clock, Instant, SystemClock};

use crate::refusal::push_number;

/// A thread hands its lines over when it has so many bytes of them, or at the next tick.
const BATCH_BYTES: usize = 32 * 1024;
/// Batches that may wait to be written.
const WAITING: usize = 64;
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
    /// What to add to a moment for the calendar's time.
    offset: i64,
}

/// What is known of one request.
pub(crate) struct Entry {
    began: Instant,
    /// What the client speaks.
    protocol: &'static str,
    /// Method, host and target as the JSON has them.
    text: Vec<u8>,
    pub(crate) status: u16,
    /// Why the edge answered itself, or nothing.
    pub(crate) reason: &'static str,
}

impl Entry {
    /// Of a client that speaks this.
    pub(crate) fn over(protocol: &'static str) -> Self {
        Self { began: Instant::default(), protocol, text: Vec::new(), status: 0, reason: "" }
    }

    /// Forgets the request before.
    pub(crate) fn forget(&mut self) {
        self.began = SystemClock.now();
        self.text.clear();
        self.status = 0;
        self.reason = "";
    }

    /// Notes who asks for what.
    pub(crate) fn begin(&mut self, began: Instant, method: &[u8], host: Option<&[u8]>, target: &[u8]) {
        self.began = began;
        self.status = 0;
        self.reason = "";
        self.text.clear();
        self.text.extend_from_slice(b"\"method\":\"");
        push_text(&mut self.text, method);
        self.text.extend_from_slice(b"\",\"host\":\"");
        push_text(&mut self.text, host.unwrap_or_default());
        self.text.extend_from_slice(b"\",\"target\":\"");
        push_text(&mut self.text, target);
        self.text.push(b'"');
    }
}

/// Appends text that has passed the parser, which lets neither control characters nor others than ASCII through.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(TEXT_BYTES)];
    if memchr::memchr2(b'"', b'\\', text).is_none() {
        out.extend_from_slice(text);
        return;
    }
    for c in text {
        if matches!(c, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*c);
    }
}

impl Line {
    /// A part that goes to this writer, or nowhere.
    pub(crate) fn new(writer: Option<SyncSender<Vec<u8>>>, dropped: Arc<AtomicU64>) -> Self {
        let offset = SystemClock.wall().0.wrapping_sub(i64::try_from(SystemClock.now().0).unwrap_or(0));
        Self { batch: Vec::new(), writer, lines: 0, dropped, offset }
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, entry: &Entry, peer: &[u8], received: u64, answered: u64) {
        let now = SystemClock.now();
        let out = &mut self.batch;
        out.extend_from_slice(b"{\"at_ms\":");
        let began = i64::try_from(entry.began.0).unwrap_or(0).wrapping_add(self.offset);
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
            (b",\"took_us\":", u64::try_from(now.since(entry.began).as_micros()).unwrap_or(u64::MAX)),
        ] {
            out.extend_from_slice(name);
            push_number(out, value);
        }
        if !entry.reason.is_empty() {
            out.extend_from_slice(b",\"reason\":\"");
            out.extend_from_slice(entry.reason.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"}\n");
        self.lines += 1;
        if out.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands the lines over, or drops and counts them.
    pub(crate) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let next = Vec::with_capacity(self.batch.capacity().min(2 * BATCH_BYTES));
        let batch = std::mem::replace(&mut self.batch, next);
        let lines = std::mem::take(&mut self.lines);
        let taken = self.writer.as_ref().is_some_and(|writer| writer.try_send(batch).is_ok());
        if !taken {
            self.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }
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
