//! The `--flags` between an instruction's word and its arguments.

use super::error::Fault;
use super::near;

/// A flag as written.
#[derive(Debug)]
pub(super) struct Flag {
    pub name: String,
    pub value: Option<String>,
}

/// An instruction's flags; each must be taken, and what is left is refused.
pub(super) struct Flags {
    instruction: &'static str,
    allowed: &'static [&'static str],
    flags: Vec<Flag>,
}

/// Takes the flags off the front of the arguments; quotes around values go. `--` alone ends them.
pub(super) fn split(text: &str, escape: char) -> (Vec<Flag>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (word, after) = word(rest, escape);
        rest = after.trim_start();
        if word == "--" {
            break;
        }
        let body = &word[2..];
        flags.push(match body.split_once('=') {
            Some((name, value)) => Flag { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Flag { name: body.to_owned(), value: None },
        });
    }
    (flags, rest)
}

/// The first word without its quotes, and what follows it.
fn word(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c.is_whitespace() && quote.is_none() => return (word, &text[at..]),
            // Variables are expanded later, so an escaped `$` keeps its escape.
            _ if c == escape => match chars.next() {
                Some((_, '$')) => word.extend([escape, '$']),
                Some((_, next)) => word.push(next),
                None => {}
            },
            '\'' | '"' if quote == Some(c) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            _ => word.push(c),
        }
    }
    (word, "")
}

impl Flags {
    /// Checks that the instruction has all these flags.
    pub(super) fn check(
        instruction: &'static str,
        allowed: &'static [&'static str],
        flags: Vec<Flag>,
    ) -> Result<Self, Fault> {
        match flags.iter().find(|flag| !allowed.contains(&flag.name.as_str())) {
            None => Ok(Self { instruction, allowed, flags }),
            Some(flag) => {
                let near = near::nearest(&flag.name, allowed);
                Err(Fault::UnknownFlag { instruction, flag: flag.name.clone(), near, allowed })
            }
        }
    }

    /// All values of a flag that may stand there more than once.
    pub(super) fn each(&self, name: &'static str) -> Result<Vec<String>, Fault> {
        debug_assert!(self.allowed.contains(&name), "a flag that nobody may write");
        let found = self.flags.iter().filter(|flag| flag.name == name);
        found
            .map(|flag| match flag.value.as_deref() {
                Some(value) if !value.is_empty() => Ok(value.to_owned()),
                _ => Err(self.bad(name, "", "any value but an empty one")),
            })
            .collect()
    }

    /// The value of a flag.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<String>, Fault> {
        let mut all = self.each(name)?;
        match all.len() {
            0 | 1 => Ok(all.pop()),
            _ => Err(Fault::FlagTwice { instruction: self.instruction, flag: name }),
        }
    }

    /// A flag that is on or off; bare means on.
    pub(super) fn switch(&self, name: &'static str) -> Result<Option<bool>, Fault> {
        let mut found = self.flags.iter().filter(|flag| flag.name == name);
        let Some(flag) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(Fault::FlagTwice { instruction: self.instruction, flag: name });
        }
        match flag.value.as_deref() {
            None | Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(self.bad(name, other, "`true` or `false`")),
        }
    }

    /// The error for a value that makes no sense.
    pub(super) fn bad(&self, flag: &'static str, value: &str, allowed: &str) -> Fault {
        let (value, allowed) = (value.to_owned(), allowed.to_owned());
        Fault::FlagValue { instruction: self.instruction, flag, value, allowed }
    }
}
