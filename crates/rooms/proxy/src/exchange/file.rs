//! A request that the edge answers with a file of its service, before anybody else is asked.
//!
//! What the kernel has in memory is read at once; what it has to fetch is read by a thread that may wait. So is a file
//! opened. Either way a request holds one piece of a file in memory.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use base::{Clock, SystemClock};
use resilience::http_date;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{After, Exchange};
use crate::events;
use crate::files::{Found, Served, Wanted};
use crate::head::request::Method;
use crate::refusal::Refusal;

/// What is read of a file at once.
const PIECE_BYTES: u64 = 64 * 1024;

impl Exchange<'_> {
    /// Answers with a file, if there is one for this request or nobody else is to be asked.
    pub(super) async fn answer_with_file(&mut self) -> Option<After> {
        let wanted = self.client.care.as_mut()?.take_wanted()?;
        match wanted.find() {
            Found::App => None,
            Found::Nothing => Some(self.refuse(Refusal::NO_FILE, false)),
            Found::Folder => {
                wanted.push_location(&mut self.client.lines);
                Some(self.refuse(Refusal::FOLDER, false))
            }
            Found::File(served) => Some(self.serve(&wanted, &served).await),
        }
    }

    async fn serve(&mut self, wanted: &Wanted, served: &Served<'_>) -> After {
        let now = SystemClock.wall();
        let answer = wanted.decide(served, now);
        let body = served.body(answer).filter(|(_, length)| *length > 0);
        let body = body.filter(|_| self.question.method != Method::Head);
        let opened = match body {
            Some((from, length)) => match open(served).await {
                Ok(file) => Some((file, from, length)),
                Err(error) => {
                    events::no_file(&self.pool.key, &error);
                    return self.refuse(Refusal::NO_FILE, false);
                }
            },
            None => None,
        };
        let head = served.head(answer, &http_date::write(now));
        self.status = answer.status();
        let keep = self.question.keep && self.question.body.is_done() && !self.worker.draining.get();
        self.write_head(&head, keep);
        self.worker.gauges.decided.served(&self.pool.key);
        self.client.note(self.status, "");
        if let Some((file, from, length)) = opened
            && self.send_file(file, from, length).await.is_err()
        {
            self.client.note(self.status, "aborted");
            return After::Reset;
        }
        if keep { After::Next } else { After::Close }
    }

    fn write_head(&mut self, head: &str, keep: bool) {
        let old = self.question.old;
        let out = &mut self.client.output;
        out.clear();
        out.bytes.extend_from_slice(head.as_bytes());
        out.bytes.extend_from_slice(&self.client.lines);
        out.bytes.extend_from_slice(self.client.strict.as_deref().unwrap_or_default());
        out.bytes.extend_from_slice(match (keep, old) {
            (false, _) => b"connection: close\r\n\r\n",
            (true, true) => b"connection: keep-alive\r\n\r\n",
            (true, false) => &b"\r\n"[..],
        });
    }

    /// Writes so many bytes of a file, a piece at a time. The last piece is left to whoever goes on.
    async fn send_file(&mut self, file: Arc<File>, mut from: u64, mut left: u64) -> io::Result<()> {
        let mut piece = Vec::new();
        while left > 0 {
            piece.resize(left.min(PIECE_BYTES) as usize, 0);
            let (back, count) = read(&file, piece, from).await?;
            piece = back;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.client.output.bytes.extend_from_slice(&piece[..count]);
            self.client.answered += count as u64;
            from += count as u64;
            left -= count as u64;
            if left > 0 {
                self.client.flush(self.worker).await?;
            }
        }
        Ok(())
    }
}

async fn open(served: &Served<'_>) -> io::Result<Arc<File>> {
    let index = Arc::clone(served.index);
    let path = index.place(served.entry);
    tokio::task::spawn_blocking(move || File::open(path).map(Arc::new)).await.map_err(io::Error::other)?
}

/// Reads into a piece; gives it back with the number of bytes.
async fn read(file: &Arc<File>, mut piece: Vec<u8>, from: u64) -> io::Result<(Vec<u8>, usize)> {
    let at_once = preadv2(&**file, &mut [IoSliceMut::new(&mut piece)], from, ReadWriteFlags::NOWAIT);
    match at_once {
        Ok(count) => return Ok((piece, count)),
        // The kernel would have to wait, or this file system cannot tell.
        Err(Errno::AGAIN | Errno::NOTSUP | Errno::NOSYS) => {}
        Err(error) => return Err(error.into()),
    }
    let file = Arc::clone(file);
    let read =
        tokio::task::spawn_blocking(move || file.read_at(&mut piece, from).map(|count| (piece, count)));
    read.await.map_err(io::Error::other)?
}
