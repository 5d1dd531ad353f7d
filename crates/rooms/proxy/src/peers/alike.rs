//! What must hold of every message that we take: the others read it as we do or refuse it, and so with what we write
//! of it.

use super::*;
use crate::chunk::write_chunk;
use crate::forward::{self, Backward, Onward};

/// Who beside us and `httparse` has taken what we wrote.
#[cfg_attr(fuzzing, expect(dead_code, reason = "only tests ask for enough of them"))]
pub(crate) struct Takers {
    pub(crate) strict: bool,
    pub(crate) old: bool,
}

/// Nothing for a request that we refuse; what is wrong with one that we should have refused, or have written badly.
pub(crate) fn request_is_read_alike(text: &[u8]) -> Result<Option<Takers>, String> {
    let mut fields = Vec::new();
    let Some((message, head)) = ours(text, &mut fields) else { return Ok(None) };
    let readings = [httparse_request(text), safehttp_request(text), http_parser_request(text)];
    agree(&readings, &message, head.bytes)?;
    let out = written(text, &message, &head, &fields);
    let Some((again, head)) = ours(&out, &mut fields) else { return Err(refused(&out)) };
    clean(&out[..head.bytes])?;
    let readings = [httparse_request(&out), safehttp_request(&out), http_parser_request(&out)];
    same(&message, &again, &out)?;
    agree(&readings, &again, head.bytes)?;
    takers(&readings, &out).map(Some)
}

/// The same for an answer with a body of known length.
pub(crate) fn answer_is_read_alike(text: &[u8]) -> Result<Option<Takers>, String> {
    let Some(message) = our_answer(text) else { return Ok(None) };
    let mut fields = Vec::new();
    let head = response::read(text, &mut fields).map_err(|refusal| format!("then {refusal:?}"))?;
    let readings = [httparse_answer(text), safehttp_answer(text), http_parser_answer(text)];
    agree(&readings, &message, head.bytes)?;
    let mut out = Vec::new();
    let back = Backward { chunked: head.framing.chunked, ..Backward::default() };
    forward::response(&mut out, text, &head, &fields, back);
    let head_bytes = out.len();
    push_body(&mut out, &message, head.framing.chunked);
    let Some(again) = our_answer(&out) else { return Err(refused(&out)) };
    clean(&out[..head_bytes])?;
    let readings = [httparse_answer(&out), safehttp_answer(&out), http_parser_answer(&out)];
    same(&message, &again, &out)?;
    agree(&readings, &again, head_bytes)?;
    takers(&readings, &out).map(Some)
}

/// That these readings are ours, as far as they go. `head` is where our head ends.
fn agree(readings: &[Option<Message>; 3], ours: &Message, head: usize) -> Result<(), String> {
    for (name, theirs) in ["httparse", "safehttp", "http_parser"].into_iter().zip(readings) {
        let Some(theirs) = theirs else { continue };
        let other = |what: &str| Err(format!("{name} reads {what}: {theirs:?}, and we {ours:?}"));
        if theirs.opening != ours.opening {
            return other("another opening");
        }
        if theirs.fields != ours.fields {
            return other("other fields");
        }
        if theirs.body.is_some() && theirs.body != ours.body {
            return other("another body");
        }
        if theirs.used != if theirs.body.is_some() { ours.used } else { head } {
            return other("another end");
        }
    }
    Ok(())
}

/// That what we wrote is the message that we read, to its last byte.
fn same(read: &Message, again: &Message, out: &[u8]) -> Result<(), String> {
    if read.opening == again.opening && read.body == again.body && again.used == out.len() {
        Ok(())
    } else {
        Err(format!("we wrote something else, {}", out.escape_ascii()))
    }
}

/// That a head has no other ends of lines than CRLF, and no NUL.
pub(crate) fn clean(head: &[u8]) -> Result<(), String> {
    let ends = |at: usize, c: u8| match c {
        b'\r' => head.get(at + 1) == Some(&b'\n'),
        b'\n' => at > 0 && head[at - 1] == b'\r',
        other => other != 0,
    };
    let odd = head.iter().enumerate().find(|(at, c)| !ends(*at, **c));
    odd.map_or(Ok(()), |(at, _)| Err(format!("there is an odd byte at {at} of {}", head.escape_ascii())))
}

fn takers(readings: &[Option<Message>; 3], out: &[u8]) -> Result<Takers, String> {
    let [heads, strict, old] = readings;
    if heads.is_none() {
        return Err(format!("httparse refuses {}", out.escape_ascii()));
    }
    Ok(Takers { strict: strict.is_some(), old: old.is_some() })
}

fn refused(out: &[u8]) -> String {
    format!("we refuse what we wrote: {}", out.escape_ascii())
}

/// The request as the edge writes it.
fn written(text: &[u8], message: &Message, head: &request::RequestHead, fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    forward::request(&mut out, text, head, fields, &onward());
    push_body(&mut out, message, head.framing.chunked);
    out
}

/// What the edge adds for a client that nobody trusts.
pub(crate) fn onward() -> Onward<'static> {
    Onward {
        rewrite: None,
        forwarded: b"x-forwarded-for: 1.1.1.1\r\nx-forwarded-proto: http\r\n",
        peer: b"1.1.1.1",
        trusted: false,
        secure: false,
        presented: b"",
        strip: 0,
        left: None,
        local: ([127, 0, 0, 1], 80).into(),
    }
}

fn push_body(out: &mut Vec<u8>, message: &Message, chunked: bool) {
    let body = message.body.as_deref().unwrap_or_default();
    if chunked {
        write_chunk(out, body);
        out.extend_from_slice(b"0\r\n\r\n");
    } else {
        out.extend_from_slice(body);
    }
}
