//! What lasts: WebSockets, event streams, and downloads that are read slowly.

use std::rc::Rc;
use std::time::{Duration, Instant};

use base::Rng;

use super::http1::status;
use super::{PATIENCE, World};
use crate::book::{Fault, Kind};
use crate::line::{Head, KEY, Line};
use crate::pattern;

/// Between two messages of a quiet WebSocket.
const QUIET: Duration = Duration::from_millis(250);
/// Between two reads of a download.
const SLOW: Duration = Duration::from_millis(20);

/// WebSockets, one after the other, each with a number of messages that come back. Quiet ones last longest.
pub(crate) async fn sockets(world: Rc<World>, mut rng: Rng, quiet: bool) {
    while !world.book.is_over() {
        let began = Instant::now();
        let (count, pause) = match quiet {
            true => (rng.below(400), Some(QUIET)),
            false => (1 + rng.below(2000), None),
        };
        if let Err(fault) = socket(&world, &mut rng, count, pause).await {
            world.book.failed(Kind::Message, began, fault);
        }
    }
}

async fn socket(world: &World, rng: &mut Rng, count: u64, pause: Option<Duration>) -> Result<(), Fault> {
    let id = world.book.number();
    let more = format!(
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n"
    );
    let (mut line, head) = open(world, id, &format!("/socket/{id}?n=0"), &more, 101).await?;
    let _session = world.session(&head.instance);
    if head.accept != crate::line::ACCEPT {
        return Err(Fault::wrong(format!("a handshake with the key `{}`", head.accept)));
    }
    for number in 0..count {
        let began = Instant::now();
        let payload = pattern::piece(id + number, rng.below(700) as usize);
        let echo = tokio::time::timeout(PATIENCE, echo(&mut line, &head, 2, payload)).await;
        echo.unwrap_or_else(|_| Err(Fault::torn(&head.instance, "no echo in time")))?;
        world.book.good(Kind::Message, began);
        if world.book.is_over() {
            break;
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
    echo(&mut line, &head, 8, &1000_u16.to_be_bytes()).await?;
    match line.frame().await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(Fault::wrong("a frame behind the last")),
        Err(error) => Err(Fault::torn(&head.instance, error)),
    }
}

async fn echo(line: &mut Line, head: &Head, opcode: u8, payload: &[u8]) -> Result<(), Fault> {
    let torn = |error: std::io::Error| Fault::torn(&head.instance, error);
    line.write_frame(opcode, payload, true).await.map_err(torn)?;
    match line.frame().await.map_err(torn)? {
        Some(frame) if frame.opcode == opcode && frame.payload == payload => Ok(()),
        Some(frame) => Err(Fault::wrong(format!("another message of {} bytes", frame.payload.len()))),
        None => Err(Fault::torn(&head.instance, "an end in place of an echo")),
    }
}

/// A connection of its own for a request, and the head of the answer.
async fn open(world: &World, id: u64, path: &str, more: &str, wanted: u16) -> Result<(Line, Head), Fault> {
    let ask = async {
        let mut line = Line::open(world.edge).await.map_err(Fault::broken)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: zero.example\r\n{more}\r\n");
        line.write(request.as_bytes()).await.map_err(Fault::broken)?;
        let head = line.head().await.map_err(Fault::broken)?;
        Ok((line, head.ok_or_else(|| Fault::broken("an end before the answer"))?))
    };
    let asked = tokio::time::timeout(PATIENCE, ask).await;
    let (line, head) = asked.unwrap_or_else(|_| Err(Fault::broken("no answer in time")))?;
    match (status(&head), head.id) {
        (status, Some(got)) if status == wanted && got == id => {
            world.book.opened();
            Ok((line, head))
        }
        (status, None) => Err(Fault::broken(format!("the edge answered {status} {}", head.refused))),
        (status, Some(got)) => Err(Fault::wrong(format!("to {path} came {status} for {got}"))),
    }
}

/// Event streams, one after the other, each with a number of events at a steady pace.
pub(crate) async fn events(world: Rc<World>, mut rng: Rng) {
    while !world.book.is_over() {
        let began = Instant::now();
        let (count, gap) = (20 + rng.below(600), 2 + rng.below(8));
        if let Err(fault) = event_stream(&world, count, gap).await {
            world.book.failed(Kind::Event, began, fault);
        }
    }
}

async fn event_stream(world: &World, count: u64, gap: u64) -> Result<(), Fault> {
    let id = world.book.number();
    let path = format!("/events/{id}?n={count}&gap={gap}");
    let more = "accept: text/event-stream\r\nconnection: close\r\n";
    let (mut line, head) = open(world, id, &path, more, 200).await?;
    let _session = world.session(&head.instance);
    let mut heard = Vec::new();
    let mut number = 0;
    loop {
        let began = Instant::now();
        let chunk = tokio::time::timeout(PATIENCE, line.chunk(&mut heard)).await;
        let chunk = chunk.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let more = chunk.map_err(|error| Fault::torn(&head.instance, error))?;
        // The edge may put several events into one chunk.
        while let Some(end) = memchr::memmem::find(&heard, b"\n\n") {
            if heard[..end] != *format!("data: {id} {number}").as_bytes() {
                return Err(Fault::wrong(format!("in {path}: {}", String::from_utf8_lossy(&heard[..end]))));
            }
            heard.drain(..end + 2);
            number += 1;
            world.book.good(Kind::Event, began);
        }
        if !more {
            break;
        }
    }
    if number == count && heard.is_empty() {
        Ok(())
    } else {
        Err(Fault::wrong(format!("in {path}: an orderly end after {number} events")))
    }
}

/// Downloads, one after the other.
pub(crate) async fn downloads(world: Rc<World>, mut rng: Rng) {
    while !world.book.is_over() {
        let began = Instant::now();
        match download(&world, 100_000 + rng.below(40_000_000)).await {
            Ok(()) => world.book.good(Kind::Download, began),
            Err(fault) => world.book.failed(Kind::Download, began, fault),
        }
    }
}

async fn download(world: &World, length: u64) -> Result<(), Fault> {
    let id = world.book.number();
    let (mut line, head) = open(world, id, &format!("/download/{id}?n={length}"), "", 200).await?;
    let _session = world.session(&head.instance);
    if head.length != usize::try_from(length).ok() {
        return Err(Fault::wrong(format!("a download of {:?} bytes, not of {length}", head.length)));
    }
    let (mut at, mut piece) = (0, Vec::new());
    while at < length {
        piece.clear();
        let most = (length - at).min(pattern::PIECE as u64);
        let read = tokio::time::timeout(PATIENCE, line.exactly(most as usize, &mut piece)).await;
        let read = read.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        read.map_err(|error| Fault::torn(&head.instance, error))?;
        if !pattern::goes_on(id, at, &piece) {
            return Err(Fault::wrong(format!("other bytes from {at} on of a download")));
        }
        at += most;
        // When all is over, nobody has time.
        if !world.book.is_over() {
            tokio::time::sleep(SLOW).await;
        }
    }
    Ok(())
}
