//! `WWW-Authenticate`: how a server wants to be convinced (RFC 9110, section 11).

use std::collections::BTreeMap;

/// One way to be convinced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// As in `bearer`, in lower case.
    pub(crate) scheme: String,
    /// As in `realm`, in lower case.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Challenge {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// Every challenge of a header's value; what makes no sense ends the list.
pub(crate) fn parse(text: &str) -> Vec<Challenge> {
    let mut rest = Rest(text);
    let mut challenges: Vec<Challenge> = Vec::new();
    loop {
        rest.skip(|c| c.is_ascii_whitespace() || c == ',');
        let Some(word) = rest.token() else { return challenges };
        let before = rest.0;
        rest.skip(|c| c.is_ascii_whitespace());
        // A word before `=` is a parameter of the challenge before it; any other begins a challenge.
        match (rest.take('='), challenges.last_mut()) {
            (true, Some(challenge)) => {
                rest.skip(|c| c.is_ascii_whitespace());
                let Some(value) = rest.value() else { return challenges };
                challenge.parameters.entry(word.to_ascii_lowercase()).or_insert(value);
            }
            (true, None) => return challenges,
            (false, _) => {
                rest.0 = before;
                challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
            }
        }
    }
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, which: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(which);
    }

    fn take(&mut self, wanted: char) -> bool {
        let after = self.0.strip_prefix(wanted);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }

    fn token(&mut self) -> Option<&'a str> {
        let inner = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c);
        let end = self.0.find(|c| !inner(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token, or a quoted text with its escapes taken away.
    fn value(&mut self) -> Option<String> {
        if !self.take('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut chars = self.0.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(chars.next()?.1),
                c => value.push(c),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
