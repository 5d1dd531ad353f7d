//! A connection that leaves HTTP, or a request and its answer that flow at the same time, as a pair of streams.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade;
use runtime::Input;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

use super::Keys;
use crate::answer::Pieces;
use crate::version::ApiVersion;

/// How long a client may take to read the head of an answer before the stream follows.
const HEAD_READ: Duration = Duration::from_secs(3);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(1);

/// How a program's streams share one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A terminal has one stream, which is passed as it is.
    Raw,
    /// Each piece has a head that says whose it is and how long.
    Multiplexed {
        /// Whether clients expect the name of this form; older ones call both forms raw.
        named: bool,
    },
}

impl Framing {
    pub(crate) fn of(tty: bool, version: ApiVersion) -> Self {
        if tty { Self::Raw } else { Self::Multiplexed { named: version >= ApiVersion(1, 42) } }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Multiplexed { named: true } => "application/vnd.docker.multiplexed-stream",
            Self::Raw | Self::Multiplexed { named: false } => "application/vnd.docker.raw-stream",
        }
    }

    /// Bytes as they go over the connection.
    pub(crate) fn framed(self, lane: Lane, bytes: &[u8]) -> Bytes {
        if self == Self::Raw {
            return Bytes::copy_from_slice(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len() + 8);
        out.extend_from_slice(&[lane as u8, 0, 0, 0]);
        out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(bytes);
        out.into()
    }
}

/// Which of a program's streams a piece is of, by docker's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Stdout = 1,
    Stderr = 2,
}

/// A connection on its way out of HTTP.
pub(crate) struct Hijack {
    framing: Framing,
    way: Way,
}

enum Way {
    Upgrade(OnUpgrade),
    Bodies(Body, Pieces),
}

impl Hijack {
    /// Takes a request's connection: by an upgrade if the client asks for one, else by its body and the answer's.
    pub(crate) fn take(mut request: Request, framing: Framing) -> (Self, Response) {
        let upgrades = request.headers().contains_key(header::UPGRADE);
        if upgrades {
            let upgrade = hyper::upgrade::on(&mut request);
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(framing.content_type())),
                (header::CONNECTION, HeaderValue::from_static("Upgrade")),
                (HeaderName::from_static("upgrade"), HeaderValue::from_static("tcp")),
            ];
            let response = (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response();
            return (Self { framing, way: Way::Upgrade(upgrade) }, response);
        }
        let (pieces, response) = Pieces::begin(framing.content_type());
        (Self { framing, way: Way::Bodies(request.into_body(), pieces) }, response)
    }

    /// Both directions, once the client has our answer; none when it went away before.
    pub(crate) async fn open(self) -> Option<(Reader, Writer)> {
        match self.way {
            Way::Upgrade(upgrade) => {
                let (reader, writer) = tokio::io::split(settled(upgrade.await.ok()?).await);
                Some((Reader::Raw(reader), Writer { framing: self.framing, to: To::Raw(writer) }))
            }
            Way::Bodies(body, pieces) => Some((
                Reader::Body(body.into_data_stream()),
                Writer { framing: self.framing, to: To::Body(pieces) },
            )),
        }
    }
}

/// A connection of any kind.
pub(in crate::containers) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The connection, once the client has read the head of our answer off it.
///
/// Some clients, docker-py first among them, read the head into a buffer and the stream past that buffer: they lose
/// what comes with the head. Docker itself is slow enough that this seldom shows.
async fn settled(upgraded: Upgraded) -> Box<dyn Duplex> {
    let parts = match upgrade::downcast::<TokioIo<wire::Accepted>>(upgraded) {
        Ok(parts) => parts,
        Err(other) => return Box::new(TokioIo::new(other)),
    };
    let (stream, mut behind) = parts.io.into_inner().into_parts();
    behind.splice(..0, parts.read_buf);
    let read = async {
        while runtime::unread(stream.as_fd()).is_ok_and(|bytes| bytes > 0) {
            tokio::time::sleep(LOOK).await;
        }
    };
    // A client that does not read for so long will not mind what comes first.
    let _ = tokio::time::timeout(HEAD_READ, read).await;
    if behind.is_empty() {
        return Box::new(stream);
    }
    let (reader, writer) = stream.into_split();
    Box::new(tokio::io::join(io::Cursor::new(behind).chain(reader), writer))
}

/// What the client sends.
pub(crate) enum Reader {
    Raw(ReadHalf<Box<dyn Duplex>>),
    Body(BodyDataStream),
}

impl Reader {
    /// The next bytes; none at the end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Raw(reader) => {
                let mut bytes = bytes::BytesMut::with_capacity(32 << 10);
                let read = reader.read_buf(&mut bytes).await?;
                Ok((read > 0).then(|| bytes.freeze()))
            }
            Self::Body(body) => body.next().await.transpose().map_err(io::Error::other),
        }
    }
}

/// What the client gets.
pub(crate) struct Writer {
    framing: Framing,
    to: To,
}

enum To {
    Raw(WriteHalf<Box<dyn Duplex>>),
    Body(Pieces),
}

impl Writer {
    /// Sends a piece; false when nobody reads any more.
    pub(crate) async fn send(&mut self, lane: Lane, bytes: &[u8]) -> bool {
        let framed = self.framing.framed(lane, bytes);
        match &mut self.to {
            To::Raw(writer) => writer.write_all(&framed).await.is_ok(),
            To::Body(pieces) => pieces.bytes(framed).await,
        }
    }

    /// Waits until nobody reads any more, as far as that can be told without writing.
    pub(crate) async fn closed(&mut self) {
        match &mut self.to {
            To::Raw(_) => std::future::pending().await,
            To::Body(pieces) => pieces.closed().await,
        }
    }

    /// Nothing follows.
    pub(crate) async fn end(mut self) {
        if let To::Raw(writer) = &mut self.to {
            // A client that went away needs no word.
            let _ = writer.shutdown().await;
        }
    }
}

/// Hands a client's input on; true when it typed the keys to leave.
pub(crate) async fn feed(
    mut reader: Reader,
    input: Arc<tokio::sync::Mutex<Input>>,
    ends_input: bool,
    mut keys: Option<Keys>,
) -> bool {
    loop {
        match reader.next().await {
            Ok(Some(bytes)) => {
                let (bytes, left) = match &mut keys {
                    Some(keys) => keys.pass(&bytes),
                    None => (bytes.to_vec(), false),
                };
                // The program may have ended; its output says so.
                if !bytes.is_empty() && input.lock().await.write(&bytes).await.is_err() {
                    return false;
                }
                if left {
                    return true;
                }
            }
            Ok(None) | Err(_) => {
                if ends_input {
                    // One that has ended takes no end.
                    let _ = input.lock().await.end().await;
                }
                return false;
            }
        }
    }
}

/// Waits until a client's input has ended, and tells whether it left; without input, for ever.
pub(crate) async fn detached(feeding: &mut Option<JoinHandle<bool>>) -> bool {
    match feeding {
        Some(feeding) => feeding.await.unwrap_or(false),
        None => std::future::pending().await,
    }
}
