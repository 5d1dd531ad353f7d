//! A connection that speaks as much of HTTP/1.1 and WebSocket as both of its ends need here, strictly.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The key of all handshakes, and what has to be answered: the example of RFC 6455.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The answer to [`KEY`].
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a head says, of a question or an answer.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) length: Option<usize>,
    pub(crate) chunked: bool,
    pub(crate) close: bool,
    pub(crate) upgrade: bool,
    /// The number of the question.
    pub(crate) id: Option<u64>,
    pub(crate) instance: String,
    /// Why the edge answered itself.
    pub(crate) refused: String,
    pub(crate) accept: String,
}

/// A frame of a WebSocket, complete.
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// A connection with what was read ahead of it.
pub(crate) struct Line {
    stream: TcpStream,
    buf: Vec<u8>,
    at: usize,
}

impl Line {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::of(TcpStream::connect(address).await?))
    }

    pub(crate) fn of(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self { stream, buf: Vec::new(), at: 0 }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends our side.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.buf[self.at..]
    }

    fn take(&mut self, count: usize) {
        self.at += count;
        if self.at == self.buf.len() {
            self.buf.clear();
            self.at = 0;
        }
    }

    /// Reads what there is; false at the end.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        if self.at > 0 {
            self.buf.drain(..self.at);
            self.at = 0;
        }
        self.buf.reserve(16 * 1024);
        Ok(self.stream.read_buf(&mut self.buf).await? > 0)
    }

    /// The next head; nothing where the other side ends instead.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = memchr::memmem::find(self.filled(), b"\r\n\r\n") {
                let head = parse(&self.filled()[..end])?;
                self.take(end + 4);
                return Ok(Some(head));
            }
            if !self.fill().await? {
                return if self.filled().is_empty() { Ok(None) } else { Err(short("within a head")) };
            }
        }
    }

    /// The whole body behind such a head.
    pub(crate) async fn body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if !head.chunked {
            self.exactly(head.length.unwrap_or(0), &mut body).await?;
            return Ok(body);
        }
        while self.chunk(&mut body).await? {}
        Ok(body)
    }

    /// One chunk; false for the last.
    pub(crate) async fn chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let size = loop {
            if let Some(end) = memchr::memmem::find(self.filled(), b"\r\n") {
                let digits = std::str::from_utf8(&self.filled()[..end]).unwrap_or("?");
                let size = usize::from_str_radix(digits, 16).map_err(|_| odd("the size of a chunk"))?;
                self.take(end + 2);
                break size;
            }
            if !self.fill().await? {
                return Err(short("within chunks"));
            }
        };
        self.exactly(size, body).await?;
        let mut end = Vec::new();
        self.exactly(2, &mut end).await?;
        if end == b"\r\n" { Ok(size > 0) } else { Err(odd("the end of a chunk")) }
    }

    /// So many bytes, appended.
    pub(crate) async fn exactly(&mut self, mut count: usize, body: &mut Vec<u8>) -> io::Result<()> {
        while count > 0 {
            if self.filled().is_empty() && !self.fill().await? {
                return Err(short("within a body"));
            }
            let some = count.min(self.filled().len());
            body.extend_from_slice(&self.filled()[..some]);
            self.take(some);
            count -= some;
        }
        Ok(())
    }

    /// The next frame of a WebSocket; nothing at an end between two.
    pub(crate) async fn frame(&mut self) -> io::Result<Option<Frame>> {
        if self.filled().is_empty() && !self.fill().await? {
            return Ok(None);
        }
        let mut start = Vec::new();
        self.exactly(2, &mut start).await?;
        let (opcode, masked, mut length) = (start[0] & 15, start[1] & 128 != 0, usize::from(start[1] & 127));
        if length == 126 {
            let mut more = Vec::new();
            self.exactly(2, &mut more).await?;
            length = usize::from(more[0]) << 8 | usize::from(more[1]);
        } else if length == 127 {
            return Err(odd("a frame of this length"));
        }
        let mut key = Vec::new();
        self.exactly(if masked { 4 } else { 0 }, &mut key).await?;
        let mut payload = Vec::new();
        self.exactly(length, &mut payload).await?;
        if masked {
            payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= key[at % 4]);
        }
        Ok(Some(Frame { opcode, payload }))
    }

    /// Writes a whole message or a control frame, of less than 64 KiB.
    pub(crate) async fn write_frame(&mut self, opcode: u8, payload: &[u8], masked: bool) -> io::Result<()> {
        let mask = if masked { 128 } else { 0 };
        let mut frame = vec![128 | opcode];
        if payload.len() < 126 {
            frame.push(mask | payload.len() as u8);
        } else {
            frame.push(mask | 126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        if masked {
            let key = [0x5e, 0xa0, 0x37, 0x91];
            frame.extend_from_slice(&key);
            frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        } else {
            frame.extend_from_slice(payload);
        }
        self.write(&frame).await
    }
}

fn parse(text: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(text).map_err(|_| odd("a head"))?;
    let mut lines = text.split("\r\n");
    let mut head = Head { first: lines.next().unwrap_or_default().to_owned(), ..Head::default() };
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else { return Err(odd("a field")) };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = Some(value.parse().map_err(|_| odd("a length"))?),
            "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => head.close = value.eq_ignore_ascii_case("close"),
            "upgrade" => head.upgrade = value.eq_ignore_ascii_case("websocket"),
            "x-id" => head.id = value.parse().ok(),
            "x-instance" => value.clone_into(&mut head.instance),
            "x-sea-refused" => value.clone_into(&mut head.refused),
            "sec-websocket-accept" => value.clone_into(&mut head.accept),
            _ => {}
        }
    }
    Ok(head)
}

fn short(place: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("an end {place}"))
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is odd"))
}
