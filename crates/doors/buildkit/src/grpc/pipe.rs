//! A connection inside a call: bytes in messages, both ways.
//!
//! A client may run its session inside `Control.Session`: what it sends as messages is an HTTP/2 connection on which it
//! is the server.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::messages::Messages;
use super::server::Outgoing;
use super::status::Status;
use crate::proto::Chunk;

/// So many bytes lie between the two ends, each way.
const BUFFER: usize = 256 << 10;
/// The most bytes of one message: what the other end reads at once.
const PIECE: usize = 32 << 10;

/// The near end of the connection.
pub(crate) type Pipe = DuplexStream;

/// The connection inside the call, and the work that carries it; the work ends when either end is closed.
pub(crate) fn pipe(incoming: Messages, outgoing: Outgoing) -> (Pipe, impl Future<Output = ()> + Send) {
    let (near, far) = tokio::io::duplex(BUFFER);
    (near, carry(incoming, outgoing, far))
}

async fn carry(mut incoming: Messages, outgoing: Outgoing, far: DuplexStream) {
    let (mut reader, mut writer) = tokio::io::split(far);
    let inward = async {
        while let Some(Chunk { data }) = incoming.next::<Chunk>().await? {
            if writer.write_all(&data).await.is_err() {
                break;
            }
        }
        Ok::<_, Status>(())
    };
    let outward = async {
        let mut buffer = BytesMut::with_capacity(PIECE);
        loop {
            buffer.reserve(PIECE);
            match reader.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            if !outgoing.send(&Chunk { data: buffer.split().freeze() }).await {
                break;
            }
        }
    };
    tokio::select! {
        _ = inward => {}
        () = outward => {}
    }
    outgoing.end(Ok(())).await;
}

/// The same at the other end, which only tests have.
#[cfg(test)]
pub(crate) async fn carry_client(mut stream: super::ClientStream, io: DuplexStream) {
    let Some(sender) = stream.sender() else { return };
    let (mut reader, mut writer) = tokio::io::split(io);
    let outward = async {
        let mut buffer = BytesMut::with_capacity(PIECE);
        while matches!(reader.read_buf(&mut buffer).await, Ok(1..)) {
            sender.send(&Chunk { data: buffer.split().freeze() }).await;
            buffer.reserve(PIECE);
        }
    };
    let inward = async {
        while let Ok(Some(Chunk { data })) = stream.next::<Chunk>().await {
            if writer.write_all(&data).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = outward => {}
        () = inward => {}
    }
}
