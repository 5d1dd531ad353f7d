//! How many more hops a request may go: `Max-Forwards` of OPTIONS and TRACE (RFC 9110, section 7.6.2).

use crate::buffer::Output;
use crate::head::request::{Method, RequestHead};
use crate::head::{self, Field};
use crate::refusal::{Refusal, push_number};

/// How many it may go behind the instance, if it says how many; the field is taken out, and [`tell`] writes it anew.
/// What is to go no further than here is refused. What is no number says nothing, and goes on as it came.
pub(crate) fn left(head: &RequestHead, fields: &mut Vec<Field>, buf: &[u8]) -> Result<Option<u64>, Refusal> {
    if head.kind != Method::Idempotent || !matches!(head.method.of(buf), b"OPTIONS" | b"TRACE") {
        return Ok(None);
    }
    let is_said = |field: &Field| field.name.of(buf).eq_ignore_ascii_case(b"max-forwards");
    let said = fields.iter().filter(|field| is_said(field)).map(|field| head::length(field.value.of(buf)));
    // Of two, the smaller counts.
    let Some(Ok(hops)) = said.min_by_key(|hops| *hops.as_ref().unwrap_or(&0)) else { return Ok(None) };
    match hops.checked_sub(1) {
        None if head.method.of(buf) == b"TRACE" => Err(Refusal::TRACE),
        None => Err(Refusal::LAST_HOP),
        Some(left) => {
            fields.retain(|field| !is_said(field));
            Ok(Some(left))
        }
    }
}

/// Writes it into the head that stands ready, if it is said.
pub(super) fn tell(left: Option<u64>, sent: &mut Output) {
    let Some(left) = left else { return };
    let mut line = b"max-forwards: ".to_vec();
    push_number(&mut line, left);
    line.extend_from_slice(b"\r\n");
    super::add_line(sent, line);
}
