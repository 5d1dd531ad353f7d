//! Trace contexts: the field `traceparent` of W3C's Trace Context, level 1 and 2.
//!
//! What a client brings goes on as it is: the edge makes no span of its own, so it is no one's parent. Where a service asks
//! for it, requests without one get one, and a share of them the flag that says that the trace is recorded.

use base::Rng;

use crate::head::{Field, Known};

/// How a trace is told apart from others: 32 hexadecimal digits.
pub(crate) type TraceId = [u8; 32];

const NAME: &[u8] = b"traceparent";
/// A context of version 0; later ones may be longer.
const LENGTH: usize = 55;

/// The value of the field, if a request has it.
pub(crate) fn context<'a>(fields: &[Field], buf: &'a [u8]) -> Option<&'a [u8]> {
    let is = |field: &&Field| {
        let name = field.name.of(buf);
        name.len() == NAME.len() && field.known == Known::Other && name.eq_ignore_ascii_case(NAME)
    };
    fields.iter().find(is).map(|field| field.value.of(buf))
}

/// The trace that a context is of; none when it is not well-formed.
pub(crate) fn id(context: &[u8]) -> Option<TraceId> {
    let hex = |part: &[u8]| part.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let (head, rest) = context.split_at_checked(LENGTH)?;
    let dashes = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
    let (version, trace, parent, flags) = (&head[..2], &head[3..35], &head[36..52], &head[53..]);
    let whole = match version {
        b"ff" => false,
        b"00" => rest.is_empty(),
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let digits = hex(version) && hex(trace) && hex(parent) && hex(flags);
    let zero = |part: &[u8]| part.iter().all(|c| *c == b'0');
    let fine = dashes && whole && digits && !zero(trace) && !zero(parent);
    if fine { trace.try_into().ok() } else { None }
}

/// A new trace with the line that tells of it; of a million, `recorded` are.
pub(crate) fn begin(rng: &mut Rng, recorded: u32) -> (TraceId, String) {
    let number = |rng: &mut Rng| rng.next_u64().max(1);
    let (high, low, parent) = (rng.next_u64(), number(rng), number(rng));
    let flags = if rng.below(1_000_000) < u64::from(recorded) { "01" } else { "00" };
    let trace = format!("{high:016x}{low:016x}");
    let line = format!("traceparent: 00-{trace}-{parent:016x}-{flags}\r\n");
    (trace.as_bytes().try_into().expect("32 digits"), line)
}

#[cfg(test)]
mod tests;
