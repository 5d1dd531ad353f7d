//! Asking an instance by HTTP whether it is well: one request, its status, and the first words of a bad answer.

use std::net::SocketAddr;
use std::time::Duration;

use spec::HttpProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::rpc;

/// The longest head of an answer.
const HEAD_BYTES: usize = 32 * 1024;
/// What is told of the body of a bad answer, and how long that is waited for: it is a help, no more.
const WORDS_BYTES: usize = 512;
const WORDS_WAIT: Duration = Duration::from_millis(200);

/// Asks; an exit code as of a command, and what was said.
pub(super) async fn ask(address: SocketAddr, probe: &HttpProbe) -> (i32, String) {
    let said = if probe.http2 { rpc::get(address, probe).await } else { talk(address, probe).await };
    match said {
        Ok((status, words)) => (i32::from(!probe.takes(status)), words),
        Err(why) => (1, format!("http://{address}{}: {why}", probe.path)),
    }
}

/// The status of the answer, and what is told of it.
async fn talk(address: SocketAddr, probe: &HttpProbe) -> Result<(u16, String), String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.write_all(&request(address, probe)).await.map_err(|error| error.to_string())?;
    let mut input = Vec::new();
    loop {
        let head = head(&mut stream, &mut input).await?;
        let line = String::from_utf8_lossy(&input[..head]).lines().next().unwrap_or_default().to_owned();
        let status = line.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
        let Some(status) = status.filter(|_| line.starts_with("HTTP/1.")) else {
            return Err(format!("no answer of HTTP/1: {line:?}"));
        };
        if (100..200).contains(&status) && status != 101 {
            input.drain(..head);
            continue;
        }
        if probe.takes(status) {
            return Ok((status, line));
        }
        let rest = words(&mut stream, &input[head..]).await;
        let rest = String::from_utf8_lossy(&rest).split_whitespace().collect::<Vec<_>>().join(" ");
        let line =
            format!("http://{address}{} answered {}", probe.path, line.split_once(' ').unwrap_or_default().1);
        return Ok((status, if rest.is_empty() { line } else { format!("{line}: {rest}") }));
    }
}

fn request(address: SocketAddr, probe: &HttpProbe) -> Vec<u8> {
    let mut request = format!("GET {} HTTP/1.1\r\n", probe.path);
    match &probe.host {
        Some(host) => request.push_str(&format!("host: {host}\r\n")),
        None => request.push_str(&format!("host: {address}\r\n")),
    }
    if !probe.headers.contains_key("user-agent") {
        request.push_str("user-agent: sea-health\r\n");
    }
    for (name, value) in &probe.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("connection: close\r\n\r\n");
    request.into_bytes()
}

/// Reads until a head is whole; gives its length.
async fn head(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<usize, String> {
    loop {
        if let Some(at) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(at + 4);
        }
        if input.len() >= HEAD_BYTES {
            return Err("the head of the answer is longer than 32 KiB".to_owned());
        }
        match stream.read_buf(input).await {
            Ok(0) if input.is_empty() => return Err("the connection was closed without an answer".to_owned()),
            Ok(0) => return Err("the answer was cut off within its head".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The first bytes of a body, as far as they come at once.
async fn words(stream: &mut TcpStream, begun: &[u8]) -> Vec<u8> {
    let mut words = begun.to_vec();
    let read = async {
        while words.len() < WORDS_BYTES && stream.read_buf(&mut words).await.is_ok_and(|count| count > 0) {}
    };
    // What has come until then is told.
    let _ = tokio::time::timeout(WORDS_WAIT, read).await;
    words.truncate(WORDS_BYTES);
    words
}

#[cfg(test)]
mod tests;
