//! Requests over kept connections of HTTP/1.1, some of which end with an answer.

use std::fmt::Write;
use std::rc::Rc;
use std::time::Instant;

use base::Rng;

use super::{Ask, PATIENCE, World};
use crate::book::{Fault, Kind};
use crate::line::{Head, Line};

/// One after the other on one connection at a time.
pub(crate) async fn ask(world: Rc<World>, mut rng: Rng) {
    let mut line = None;
    while !world.book.is_over() {
        let ask = Ask::draw(&world, &mut rng);
        let began = Instant::now();
        let once = tokio::time::timeout(PATIENCE, once(&world, &mut line, &ask)).await;
        match once.unwrap_or_else(|_| Err(Fault::broken("no answer in time"))) {
            Ok(()) => world.book.good(Kind::Http1, began),
            Err(fault) => {
                line = None;
                world.book.failed(Kind::Http1, began, fault);
            }
        }
    }
}

async fn once(world: &World, line: &mut Option<Line>, ask: &Ask) -> Result<(), Fault> {
    let mut open = match line.take() {
        Some(open) => open,
        None => Line::open(world.edge).await.map_err(Fault::broken)?,
    };
    open.write(&request(ask)).await.map_err(Fault::broken)?;
    let head = open.head().await.map_err(Fault::broken)?;
    let head = head.ok_or_else(|| Fault::broken("an end before the answer"))?;
    let body = open.body(&head).await.map_err(|error| Fault::torn(&head.instance, error))?;
    ask.check((status(&head), head.id), &head.refused, &body)?;
    if !head.close && !ask.close {
        *line = Some(open);
    }
    Ok(())
}

/// The status of an answer.
pub(super) fn status(head: &Head) -> u16 {
    head.first.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn request(ask: &Ask) -> Vec<u8> {
    let method = if ask.body.is_some() { "POST" } else { "GET" };
    let mut head = format!("{method} {} HTTP/1.1\r\nhost: zero.example\r\n", ask.path);
    if ask.close {
        head.push_str("connection: close\r\n");
    }
    let Some(body) = ask.body else { return (head + "\r\n").into_bytes() };
    if !ask.chunked {
        let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), body].concat();
    }
    let mut all = (head + "transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(1000) {
        all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        all.extend_from_slice(chunk);
        all.extend_from_slice(b"\r\n");
    }
    all.extend_from_slice(b"0\r\n\r\n");
    all
}
