//! An instance, in a process of its own so that it can be killed: answers what the clients of this program ask.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::line::{ACCEPT, Head, Line};
use crate::pattern::{PIECE, piece};

/// Says on stdout where it listens, and serves until it is killed or nobody holds its stdin any more.
pub(crate) fn run(name: &str, address: &str) -> Result<()> {
    let address: SocketAddr = address.parse().context("an instance needs an address")?;
    std::thread::spawn(|| {
        let _ = io::stdin().read(&mut [0; 1]);
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(address).await.context("could not listen")?;
        let mut out = io::stdout();
        writeln!(out, "{}", listener.local_addr()?)?;
        out.flush()?;
        let name: Rc<str> = name.into();
        loop {
            let (stream, _) = listener.accept().await?;
            let name = name.clone();
            tokio::task::spawn_local(async move {
                // A client that goes is its own affair.
                let _ = serve(Line::of(stream), &name).await;
            });
        }
    })
}

/// As in `GET /plain/17?n=100`.
struct Question<'a> {
    kind: &'a str,
    id: u64,
    n: usize,
    gap: Duration,
}

fn question(first: &str) -> Option<Question<'_>> {
    let (path, query) = first.split(' ').nth(1)?.split_once('?')?;
    let (kind, id) = path.strip_prefix('/')?.split_once('/')?;
    let (n, gap) = query.strip_prefix("n=")?.split_once("&gap=").unwrap_or((&query[2..], "0"));
    let gap = Duration::from_millis(gap.parse().ok()?);
    Some(Question { kind, id: id.parse().ok()?, n: n.parse().ok()?, gap })
}

async fn serve(mut line: Line, name: &str) -> io::Result<()> {
    while let Some(head) = line.head().await? {
        let Some(asked) = question(&head.first) else {
            line.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await?;
            continue;
        };
        let body = line.body(&head).await?;
        let start = format!("HTTP/1.1 200 OK\r\nx-instance: {name}\r\nx-id: {}\r\n", asked.id);
        match asked.kind {
            "plain" => whole(&mut line, &start, piece(asked.id, asked.n)).await?,
            "echo" => whole(&mut line, &start, &body).await?,
            "pieces" => pieces(&mut line, &start, piece(asked.id, asked.n)).await?,
            "events" => events(&mut line, &start, &asked).await?,
            "download" => download(&mut line, &start, &asked).await?,
            _ => return socket(line, name, &head, asked.id).await,
        }
    }
    Ok(())
}

async fn whole(line: &mut Line, start: &str, body: &[u8]) -> io::Result<()> {
    let mut answer = format!("{start}content-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    line.write(&answer).await
}

async fn pieces(line: &mut Line, start: &str, body: &[u8]) -> io::Result<()> {
    let mut answer = format!("{start}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(body.len() / 3 + 1) {
        answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    line.write(&answer).await
}

async fn events(line: &mut Line, start: &str, asked: &Question<'_>) -> io::Result<()> {
    let head = format!("{start}content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    line.write(head.as_bytes()).await?;
    for number in 0..asked.n {
        let event = format!("data: {} {number}\n\n", asked.id);
        line.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        tokio::time::sleep(asked.gap).await;
    }
    line.write(b"0\r\n\r\n").await
}

async fn download(line: &mut Line, start: &str, asked: &Question<'_>) -> io::Result<()> {
    line.write(format!("{start}content-length: {}\r\n\r\n", asked.n).as_bytes()).await?;
    let mut left = asked.n;
    while left > 0 {
        let count = left.min(PIECE);
        line.write(piece(asked.id, count)).await?;
        left -= count;
    }
    Ok(())
}

/// Echoes messages until it hears a close, which it answers.
async fn socket(mut line: Line, name: &str, head: &Head, id: u64) -> io::Result<()> {
    if !head.upgrade {
        return line.write(b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n").await;
    }
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nx-instance: {name}\r\nx-id: {id}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n"
    );
    line.write(answer.as_bytes()).await?;
    while let Some(frame) = line.frame().await? {
        line.write_frame(frame.opcode, &frame.payload, false).await?;
        if frame.opcode == 8 {
            return line.end().await;
        }
    }
    Ok(())
}
