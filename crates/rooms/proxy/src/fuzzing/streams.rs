//! Heads of HTTP/2 on their way to an instance that speaks HTTP/1.1, from the frame on.

use crate::forward;
use crate::head::{self, Known, request};
use crate::http2;
use crate::peers::alike;

/// A head of HTTP/2: what is taken becomes one head of HTTP/1.1, with one framing and none of the fields that belong to a
/// connection.
///
/// The first byte says whether a body follows. Each line is a field: a name, which may begin with a colon, then a colon
/// and a value.
pub fn streams(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else { return };
    let ended = first & 1 == 0;
    let Some(frame) = frame(text, ended) else { return };
    let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let Some((out, framing)) = http2::first_request(&[&opening[..], &frame].concat()) else { return };
    if let Err(flaw) = carries_one_head(&out, framing) {
        assert_eq!(flaw, "", "of {} came {}", text.escape_ascii(), out.escape_ascii());
    }
}

/// What a stream with such a head and body would be for the instance.
fn carries_one_head(out: &[u8], framing: http2::Framing) -> Result<(), String> {
    let mut fields = Vec::new();
    if head::head_end(out, &mut 0) != Some(out.len()) {
        return Err("it ends elsewhere".into());
    }
    // What our own parser refuses goes nowhere.
    let Ok(head) = request::parse(out, &mut fields) else { return Ok(()) };
    let framed = (head.framing.length.is_some(), head.framing.chunked);
    let wanted = match framing {
        http2::Framing::Nothing | http2::Framing::Tunnel => {
            !framed.1 && head.framing.length.unwrap_or(0) == 0
        }
        http2::Framing::Length => framed == (true, false),
        http2::Framing::Chunks => framed == (false, true),
    };
    // A request that has ended says no length but 0: both were compared.
    if !wanted {
        return Err(format!("it is framed as {framed:?}, not as {framing:?}"));
    }
    let tunnel = framing == http2::Framing::Tunnel;
    let mut on = Vec::new();
    forward::request(&mut on, out, &head, &fields, &alike::onward());
    alike::clean(&on)?;
    let again = request::parse(&on, &mut fields).map_err(|refusal| format!("then {refusal:?}"))?;
    let of_connections = fields.iter().filter(|field| match field.known {
        Known::Connection | Known::Upgrade => !tunnel && !again.takes_trailers,
        Known::KeepAlive | Known::ProxyConnection | Known::Http2Settings => true,
        _ => false,
    });
    let count = |known: Known| fields.iter().filter(|field| field.known == known).count();
    let framings = count(Known::ContentLength) + count(Known::TransferEncoding);
    match (of_connections.count(), framings, count(Known::Host)) {
        (0, 0 | 1, 1) if again.bytes == on.len() => Ok(()),
        counts => Err(format!("it has {counts:?} fields of connections, framings and hosts")),
    }
}

/// A frame with such a head; nothing if it would be too long for one.
fn frame(text: &[u8], ended: bool) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    for line in text.split(|c| *c == b'\n') {
        let colon = line.iter().skip(1).position(|c| *c == b':')? + 1;
        block.push(0);
        // An escape, as a line cannot hold its end: what is in it must be refused.
        for part in [&line[..colon], &line[colon + 1..]] {
            let part: Vec<u8> = part.iter().map(|c| if *c == 0x1e { b'\n' } else { *c }).collect();
            push_length(&mut block, part.len())?;
            block.extend_from_slice(&part);
        }
    }
    let length = u32::try_from(block.len()).ok().filter(|length| *length < 16_384)?;
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[1, 4 | u8::from(ended), 0, 0, 0, 1]);
    frame.extend_from_slice(&block);
    Some(frame)
}

/// The length of a text that is not compressed.
fn push_length(block: &mut Vec<u8>, length: usize) -> Option<()> {
    if length < 127 {
        block.push(length as u8);
        return Some(());
    }
    let rest = u16::try_from(length - 127).ok().filter(|rest| *rest < 1 << 14)?;
    block.extend_from_slice(&[127, (rest & 127) as u8 | 128, (rest >> 7) as u8]);
    Some(())
}
