//! Asking an instance over HTTP/2 in clear text: by a GET, or by gRPC's own health service.
//!
//! The service is [`grpc.health.v1`](https://github.com/grpc/grpc/blob/master/doc/health-checking.md): a request with the
//! name of a service, empty for the server as a whole, and an answer with a number, of which 1 is `SERVING`.

use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use spec::HttpProbe;
use tokio::net::TcpStream;

/// The longest answer that is read of a health service, which has a few bytes.
const MESSAGE_BYTES: usize = 4096;
const SERVING: u64 = 1;

type Said<T> = Result<T, String>;

/// The status of the answer to a GET, and what is told of it.
pub(super) async fn get(address: SocketAddr, probe: &HttpProbe) -> Said<(u16, String)> {
    let host = probe.host.clone().unwrap_or_else(|| address.to_string());
    let mut request = Request::get(format!("http://{host}{}", probe.path));
    if !probe.headers.contains_key("user-agent") {
        request = request.header("user-agent", "sea-health");
    }
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|error| error.to_string())?;
    over(address, async |sender: SendRequest<Bytes>| {
        let mut sender = ready(sender).await?;
        let (answer, _) = sender.send_request(request, true).map_err(told)?;
        let status = answer.await.map_err(told)?.status();
        let place = format!("http://{address}{}", probe.path);
        Ok((status.as_u16(), format!("{place} answered {}", status.as_u16())))
    })
    .await
}

/// Asks the health service of gRPC about one service; an exit code as of a command, and what was said.
pub(super) async fn serves(address: SocketAddr, service: &str) -> (i32, String) {
    let of = if service.is_empty() { "the server".to_owned() } else { format!("`{service}`") };
    match over(address, async |sender: SendRequest<Bytes>| check(sender, address, service).await).await {
        Ok(SERVING) => (0, format!("{of} is SERVING")),
        Ok(status) => {
            let status = match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                3 => "SERVICE_UNKNOWN",
                _ => "in a state that is not in the specification",
            };
            (1, format!("grpc://{address}: {of} is {status}"))
        }
        Err(why) => (1, format!("grpc://{address}: {why}")),
    }
}

async fn check(sender: SendRequest<Bytes>, address: SocketAddr, service: &str) -> Said<u64> {
    let mut sender = ready(sender).await?;
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "sea-health")
        .body(())
        .map_err(|error| error.to_string())?;
    let (answer, mut body) = sender.send_request(request, false).map_err(told)?;
    body.send_data(message(service), true).map_err(told)?;
    let answer = answer.await.map_err(told)?;
    if answer.status() != 200 {
        return Err(format!("the server answered {}, and speaks no gRPC here", answer.status().as_u16()));
    }
    // A failure may be all in the head.
    grpc_status(answer.headers())?;
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(told)?;
        // The window is far wider than what is read.
        let _ = body.flow_control().release_capacity(piece.len());
        bytes.extend_from_slice(&piece);
        if bytes.len() > MESSAGE_BYTES {
            return Err("the answer is longer than that of a health service".to_owned());
        }
    }
    let trailers = body.trailers().await.map_err(told)?;
    if let Some(trailers) = &trailers {
        grpc_status(trailers)?;
    }
    status_of(&bytes).ok_or_else(|| "the answer is none of a health service".to_owned())
}

/// The message that asks about a service, framed.
fn message(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, a text; its length is below two to the seventh or takes two bytes.
        message.push(0x0a);
        let length = service.len();
        if length < 0x80 {
            message.push(length as u8);
        } else {
            message.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
        }
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

/// The status in an answer: field 1, a number; 0 where it is left out. Further fields are passed over.
fn status_of(framed: &[u8]) -> Option<u64> {
    let (head, mut message) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
    if head[0] != 0 || message.len() != length {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => {
                let value = varint(&mut message)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// What a failed call says.
fn grpc_status(fields: &HeaderMap) -> Said<()> {
    let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
    let why = match text("grpc-status") {
        None | Some("0") => return Ok(()),
        Some("5") => "the server knows of no such service".to_owned(),
        Some("12") => "the server has no health service (grpc.health.v1)".to_owned(),
        Some(status) => format!("the call failed with status {status}"),
    };
    Err(text("grpc-message")
        .filter(|said| !said.is_empty())
        .map_or(why.clone(), |said| format!("{why}: {said}")))
}

async fn ready(sender: SendRequest<Bytes>) -> Said<SendRequest<Bytes>> {
    sender.ready().await.map_err(told)
}

/// Has one conversation over a connection of its own.
async fn over<T>(address: SocketAddr, talk: impl AsyncFnOnce(SendRequest<Bytes>) -> Said<T>) -> Said<T> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(told)?;
    let (mut talk, mut connection) = (pin!(talk(sender)), pin!(connection));
    tokio::select! {
        biased;
        said = &mut talk => said,
        // What came before the end is still to be read.
        _ = &mut connection => talk.await,
    }
}

fn told(error: h2::Error) -> String {
    if error.is_io() { error.to_string() } else { format!("no HTTP/2 in clear text: {error}") }
}

#[cfg(test)]
mod tests;
