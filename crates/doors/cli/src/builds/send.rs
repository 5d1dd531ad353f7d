//! Sending a build: the order, then each archive, in pieces with their lengths in front.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use base::{Kind, Report};
use build::context::{self, Limits};
use build::ignore::Ignore;
use bytes::Bytes;
use hyper::Method;
use talk::BuildOrder;
use tokio::sync::mpsc;

use crate::{Session, report};

/// So many pieces of a context wait for the socket.
const WAITING: usize = 16;
/// The bytes of such a piece.
const PIECE: usize = 256 << 10;

/// An archive on its way to the daemon.
pub(super) enum Archive {
    /// A folder that is packed while it is sent.
    Folder { dir: PathBuf, ignore: Ignore },
    /// Standard input, whose beginning was read already.
    Stdin(Vec<u8>),
}

/// Why not all was sent.
enum Unsent {
    /// What was to be sent cannot be read.
    Ours(Report),
    /// The daemon takes no more: it says why itself.
    Theirs,
}

impl Session {
    /// Sends an order with its archives. `follow` takes the lines that come back.
    pub(super) async fn send_build<T>(
        &self,
        order: &BuildOrder,
        archives: Vec<Archive>,
        follow: impl AsyncFnOnce(wire::Lines) -> Result<T, Report>,
    ) -> Result<T, Report> {
        let order = serde_json::to_vec(order).map_err(|error| {
            Report::new(Kind::Internal, "the order to build cannot be written down").because(error)
        })?;
        if order.len() > talk::MAX_BUILD_ORDER {
            let text = "the Dockerfile and the secrets together are longer than 32 MiB";
            return Err(Report::new(Kind::Exhausted, text));
        }
        let (pipe, pieces) = mpsc::channel(WAITING);
        let packing = tokio::task::spawn_blocking(move || send(&order, archives, pipe));
        let body = futures_util::stream::unfold(pieces, |mut pieces| async move {
            let piece: io::Result<Bytes> = pieces.recv().await?;
            Some((piece, pieces))
        });
        let lines = self.client.upload(Method::POST, "/v1/build", body).await;
        let built = match lines {
            Ok(lines) => follow(lines).await,
            Err(error) => Err(report(error)),
        };
        // A context that cannot be packed is the better reason.
        match (built, packing.await) {
            (Err(_), Ok(Err(Unsent::Ours(problem)))) => Err(problem),
            (built, _) => built,
        }
    }
}

/// Writes the order, then each archive in pieces.
fn send(order: &[u8], archives: Vec<Archive>, pipe: mpsc::Sender<io::Result<Bytes>>) -> Result<(), Unsent> {
    let failed = pipe.clone();
    let mut pipe = Pipe(pipe);
    let sent = pipe.piece(order).map_err(|_| Unsent::Theirs);
    let sent = sent.and_then(|()| archives.into_iter().try_for_each(|one| pipe.archive(one)));
    if sent.is_err() {
        // Tells the daemon that the archive is not whole; it may have gone already.
        let _ = failed.blocking_send(Err(io::ErrorKind::BrokenPipe.into()));
    }
    sent
}

/// Hands what is written to a request's body, with its length in front.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Pipe {
    fn piece(&self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let piece = [&length.to_be_bytes()[..], bytes].concat();
        self.0.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn archive(&mut self, one: Archive) -> Result<(), Unsent> {
        match one {
            Archive::Folder { dir, ignore } => {
                let mut out = io::BufWriter::with_capacity(PIECE, &mut *self);
                match context::pack(&dir, &ignore, &mut out, Limits::default()) {
                    Ok(_) => {}
                    Err(context::ContextError::Write { .. }) => return Err(Unsent::Theirs),
                    Err(error) => return Err(Unsent::Ours(report(error))),
                }
                out.flush().map_err(|_| Unsent::Theirs)?;
            }
            Archive::Stdin(begun) => {
                let mut stdin = io::Cursor::new(begun).chain(io::stdin().lock());
                let mut buffer = vec![0; PIECE];
                loop {
                    let got = stdin.read(&mut buffer).map_err(|error| {
                        Unsent::Ours(
                            Report::new(Kind::Unavailable, "could not read standard input").because(error),
                        )
                    })?;
                    if got == 0 {
                        break;
                    }
                    self.piece(&buffer[..got]).map_err(|_| Unsent::Theirs)?;
                }
            }
        }
        self.piece(&[]).map_err(|_| Unsent::Theirs)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An empty piece would end the archive.
        if !bytes.is_empty() {
            self.piece(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
