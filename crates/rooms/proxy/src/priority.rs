//! How urgent a request is, for when there are more than its service can do.
//!
//! The service says it by path, method and fields. What the request says itself, in `Priority` (RFC 9218), counts too: a
//! stranger may only make his own less urgent by it, a service that asks through the edge may make it more urgent.

use resilience::shed::Class;
use spec::{Priority, PriorityMatch, Urgency};

use crate::head::{Field, elements};
use crate::local::LocalPool;
use crate::rules::Incoming;
use crate::worker::Worker;

/// How urgent a request is, and what its client has in common with his others: the gate serves the same clients for a
/// while, and not a part of each one's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rank {
    pub(crate) class: Class,
    pub(crate) client: u64,
}

impl Default for Rank {
    fn default() -> Self {
        Self { class: Class::Default, client: 0 }
    }
}

/// Why a request is so urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// By the match with this number.
    Match(usize),
    /// By its own field.
    Field,
    /// Nothing says anything.
    Usual,
}

/// How urgent a request is, where its service says so. Those of services are told apart one by one, as there are few of
/// them; `internal` says whether it is one.
pub(crate) fn rank(
    worker: &Worker,
    pool: &LocalPool,
    asked: &Incoming<'_>,
    internal: impl FnOnce() -> bool,
) -> Rank {
    let (Some(priority), Some(gate)) = (&pool.policy.priority, &pool.gate) else { return Rank::default() };
    let internal = internal();
    let (class, _) = class_of(priority, asked, internal);
    let client = if internal { worker.rng.borrow_mut().next_u64() } else { gate.client(asked.client) };
    Rank { class, client }
}

/// How urgent a request is; `internal` says that it is no stranger's.
pub(crate) fn class_of(priority: &Priority, asked: &Incoming<'_>, internal: bool) -> (Class, Why) {
    let matched = priority.matches.iter().position(|it| fits(it, asked, internal));
    let (class, why) = match matched {
        Some(at) => (class(priority.matches[at].class), Why::Match(at)),
        None => (Class::Default, Why::Usual),
    };
    match urgency(asked.fields, asked.buf) {
        Some(own) if own > class || (internal && own < class) => (own, Why::Field),
        Some(_) | None => (class, why),
    }
}

fn class(urgency: Urgency) -> Class {
    match urgency {
        Urgency::Critical => Class::Critical,
        Urgency::Default => Class::Default,
        Urgency::Sheddable => Class::Sheddable,
    }
}

/// Its name, as it is written in the file.
pub(crate) fn name_of(class: Class) -> &'static str {
    match class {
        Class::Critical => "critical",
        Class::Default => "default",
        Class::Sheddable => "sheddable",
    }
}

fn fits(it: &PriorityMatch, asked: &Incoming<'_>, internal: bool) -> bool {
    let Incoming { head, fields, buf, .. } = *asked;
    let below = |prefix: &str| {
        let rest = head.path.of(buf).strip_prefix(prefix.trim_end_matches('/').as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    let has = |name: &String| {
        let named = |field: &&Field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes());
        let is =
            |field: &Field| it.value.as_ref().is_none_or(|value| field.value.of(buf) == value.as_bytes());
        // Anybody can write a field.
        (internal || it.class != Urgency::Critical) && fields.iter().filter(named).any(is)
    };
    it.path.as_ref().is_none_or(|path| below(&path.0))
        && (it.methods.is_empty() || it.methods.iter().any(|method| head.method.of(buf) == method.as_bytes()))
        && it.header.as_ref().is_none_or(has)
}

/// What the request says itself: of the eight urgencies of RFC 9218 the upper three are critical, and the lower three
/// sheddable. What is no dictionary with a number says nothing.
fn urgency(fields: &[Field], buf: &[u8]) -> Option<Class> {
    let named = fields.iter().filter(|field| field.name.of(buf).eq_ignore_ascii_case(b"priority"));
    let all = named.flat_map(|field| elements(field.value.of(buf)));
    // The last member of a name counts.
    let said = all.filter_map(|member| member.strip_prefix(b"u=")).last()?;
    let number = said.split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
    match number {
        [b'0'..=b'2'] => Some(Class::Critical),
        [b'3' | b'4'] => Some(Class::Default),
        [b'5'..=b'7'] => Some(Class::Sheddable),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
