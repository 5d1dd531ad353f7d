//! What code must not say: calls that hide a failure, the time or chance, and unsafe code outside its two rooms.

use crate::tidy::Offence;
use crate::tidy::source::Source;

/// The only folders with unsafe code.
const UNSAFE_FOLDERS: &[&str] = &["crates/rooms/runtime/src/sys/", "crates/rooms/network/src/sys/"];
/// Who may speak to people on stdout and stderr.
const PRINTERS: &[&str] = &["crates/app/", "crates/doors/cli/", "xtask/", "examples/", "e2e/", "testkit/"];
const CLOCKS: &[&str] = &["Instant", "SystemTime", "Utc", "Local", "Timestamp", "OffsetDateTime", "Zoned"];
const DICE: &[&[&str]] = &[
    &["thread_rng", "("],
    &["rand", ":", ":", "rng"],
    &["rand", ":", ":", "random"],
    &["fastrand", ":", ":"],
    &["Uuid", ":", ":", "new_v4"],
    &["Uuid", ":", ":", "now_v7"],
];

/// A rule, and what to do where it is broken.
type Rule = (&'static str, &'static str);

const UNWRAP: Rule =
    ("unwrap", "hand the error on with `?`, or use `expect` with the invariant that makes it safe");
const PANIC: Rule = ("panic", "return an error; a state that cannot be needs no arm, or an `expect`");
const TODO: Rule = ("todo", "file an issue, or do it");
const CLOCK: Rule = ("clock", "take `now` as an argument, or ask a `base::Clock`");
const CHANCE: Rule = ("chance", "take a seeded `base::Rng` as an argument");
const UNSAFE: Rule = ("unsafe", "unsafe code lives only in `sys/` of `rooms/runtime` and `rooms/network`");
const ALLOW: Rule = ("allow", "say why: `reason = \"…\"`, or a comment on the line before");
const PRINT: Rule = ("print", "write a log line with `tracing`, or return the text to the door");

/// What this file says and must not.
pub(crate) fn offences(source: &Source) -> Vec<Offence> {
    let mut found = Vec::new();
    let mut offend = |line: usize, (rule, advice): Rule| {
        found.push(Offence { file: source.path.to_owned(), line: line + 1, rule, advice: advice.to_owned() });
    };
    for (at, token) in source.tokens.iter().enumerate() {
        let unsafe_here = token.text == "unsafe" && !within(source.path, UNSAFE_FOLDERS);
        if unsafe_here {
            offend(token.line, UNSAFE);
        } else if let Some(rule) = rule_at(source, at).filter(|_| source.ships(token.line)) {
            offend(token.line, rule);
        }
    }
    for comment in &source.comments {
        for (number, line) in comment.text.lines().enumerate() {
            if marks_work_left(line) {
                offend(comment.line + number, TODO);
            }
        }
    }
    found
}

/// The rule that the code from this token on breaks, were it code that ships.
fn rule_at(source: &Source, at: usize) -> Option<Rule> {
    let word = source.tokens[at].text;
    let product = source.path.starts_with("crates/") && !source.path.starts_with("crates/ground/base/");
    match word {
        "." if source.reads(at, &[".", "unwrap", "(", ")"]) => Some(UNWRAP),
        "panic" | "todo" | "unimplemented" if source.reads(at + 1, &["!"]) => Some(PANIC),
        "allow" | "expect" if is_bare_allow(source, at) => Some(ALLOW),
        "print" | "println" | "eprint" | "eprintln" | "dbg"
            if source.reads(at + 1, &["!"]) && !may_print(source.path) =>
        {
            Some(PRINT)
        }
        _ if product && CLOCKS.contains(&word) && asks_for_now(source, at + 1) => Some(CLOCK),
        _ if product && DICE.iter().any(|call| source.reads(at, call)) => Some(CHANCE),
        _ => None,
    }
}

/// Whether an `allow` or `expect` attribute begins here that gives no reason.
fn is_bare_allow(source: &Source, at: usize) -> bool {
    let attribute =
        at > 1 && source.tokens[at - 1].text == "[" && ["#", "!"].contains(&source.tokens[at - 2].text);
    let line = source.tokens[at].line;
    let explained = source.comments.iter().any(|comment| comment.line == line || comment.line + 1 == line);
    let mut inside = source.tokens[at..].iter().take_while(|token| token.text != "]");
    attribute && !explained && !inside.any(|token| token.text == "reason")
}

fn asks_for_now(source: &Source, at: usize) -> bool {
    ["now", "now_utc", "now_local"].iter().any(|now| source.reads(at, &[":", ":", now, "("]))
}

/// Programs may; libraries may not.
fn may_print(path: &str) -> bool {
    within(path, PRINTERS) || path.contains("/src/bin/")
}

fn within(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

/// Whether a line of a comment says that something is left to do.
fn marks_work_left(line: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| ["TO-DO", "FIX-ME", "X-XX", "HA-CK"].iter().any(|mark| mark.replace('-', "") == word))
}

#[cfg(test)]
mod tests;
