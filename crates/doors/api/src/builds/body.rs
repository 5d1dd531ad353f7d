//! The body of a build: pieces with their lengths in front, cut into the order and the archives.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use base::{Kind, Report};
use futures_util::TryStreamExt;
use talk::{BuildOrder, MAX_BUILD_ORDER};
use tokio_util::io::{StreamReader, SyncIoBridge};

/// A body, read by whoever may wait. Clones read the same body.
#[derive(Clone)]
pub(super) struct Pieces(Arc<Mutex<Inner>>);

struct Inner {
    reader: Box<dyn Read + Send>,
    /// The archive that is being read, from 1; those before it are over.
    part: usize,
    /// What is left of its present piece.
    left: u32,
}

/// One archive of a body.
pub(super) struct Part {
    pieces: Pieces,
    number: usize,
}

impl Pieces {
    /// To be called where the runtime is known.
    pub(super) fn new(body: Body) -> Self {
        let reader = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
        Self::over(Box::new(SyncIoBridge::new(Box::pin(reader))))
    }

    fn over(reader: Box<dyn Read + Send>) -> Self {
        Self(Arc::new(Mutex::new(Inner { reader, part: 1, left: 0 })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first piece.
    pub(super) fn order(&self) -> Result<BuildOrder, Report> {
        let invalid = |cause: &dyn std::fmt::Display| {
            Report::new(Kind::Invalid, "the order to build cannot be read").because(cause)
        };
        let mut inner = self.inner();
        let length = inner.length().map_err(|error| invalid(&error))? as usize;
        if length > MAX_BUILD_ORDER {
            return Err(invalid(&"it is longer than 32 MiB, with its Dockerfile and secrets"));
        }
        let mut text = vec![0; length];
        inner.reader.read_exact(&mut text).map_err(|error| invalid(&error))?;
        serde_json::from_slice(&text).map_err(|error| invalid(&error))
    }

    /// The archive of this number, from 1. They are read in order; what is left of one is skipped for the next.
    pub(super) fn part(&self, number: usize) -> Part {
        Part { pieces: self.clone(), number }
    }
}

impl Inner {
    fn length(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.reader.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Some bytes of the present archive; none when it is over.
    fn some(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.left = self.length()?;
            if self.left == 0 {
                self.part += 1;
                return Ok(0);
            }
        }
        let most = buf.len().min(self.left as usize);
        let got = self.reader.read(&mut buf[..most])?;
        if got == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body ends inside an archive"));
        }
        self.left -= got as u32;
        Ok(got)
    }
}

impl Read for Part {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.pieces.inner();
        let mut waste = vec![0; 16 << 10];
        while inner.part < self.number {
            inner.some(&mut waste)?;
        }
        if inner.part > self.number || buf.is_empty() {
            return Ok(0);
        }
        inner.some(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn whole(mut part: Part) -> String {
        let mut text = String::new();
        match part.read_to_string(&mut text) {
            Ok(_) => text,
            Err(error) => format!("{text} then {error}"),
        }
    }

    #[test]
    fn archives_come_one_after_the_other_and_what_is_left_is_skipped() {
        let order = serde_json::to_vec(&BuildOrder::default()).expect("an order is JSON");
        let body = [piece(&order), piece(b"one "), piece(b"two"), piece(b""), piece(b"three"), piece(b"")];
        let pieces = Pieces::over(Box::new(io::Cursor::new(body.concat())));
        assert_eq!(pieces.order(), Ok(BuildOrder::default()));
        let mut first = pieces.part(1);
        let mut head = [0; 2];
        first.read_exact(&mut head).expect("it is there");
        assert_eq!(&head, b"on");
        assert_eq!(whole(pieces.part(2)), "three");
        assert_eq!(whole(first), "", "it is over");
        assert_eq!(whole(pieces.part(3)), " then failed to fill whole buffer");
    }

    #[test]
    fn an_order_that_is_none_is_refused() {
        for body in [piece(b"{}"), piece(b"{"), vec![255; 8], vec![0, 0]] {
            let pieces = Pieces::over(Box::new(io::Cursor::new(body)));
            let report = pieces.order().expect_err("it makes no sense");
            assert_eq!(report.message, "the order to build cannot be read");
        }
    }
}
