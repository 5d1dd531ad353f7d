//! Cuts a Rust file into tokens and comments, right enough to count by, without a build.
//!
//! What it calls a comment, a string and a character agrees with `measure.py`, so that both give the same figures.

/// One piece of code: a word, a bracket, a sign, or a literal (whose text is `"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    /// From 0.
    pub(crate) line: usize,
}

/// One comment, with its slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comment<'a> {
    pub(crate) text: &'a str,
    /// From 0.
    pub(crate) line: usize,
}

impl Comment<'_> {
    pub(crate) fn is_doc(&self) -> bool {
        ["///", "//!", "/**", "/*!"].iter().any(|lead| self.text.starts_with(lead))
    }

    pub(crate) fn lines(&self) -> usize {
        self.text.matches('\n').count() + 1
    }
}

/// A file in pieces.
pub(crate) struct Pieces<'a> {
    pub(crate) tokens: Vec<Token<'a>>,
    pub(crate) comments: Vec<Comment<'a>>,
    /// For each line, whether it has code on it.
    pub(crate) code: Vec<bool>,
}

/// Cuts the text.
pub(crate) fn cut(text: &str) -> Pieces<'_> {
    let pieces =
        Pieces { tokens: Vec::new(), comments: Vec::new(), code: vec![false; text.lines().count() + 1] };
    let mut lexer = Lexer { text, at: 0, line: 0, pieces };
    while lexer.at < text.len() {
        lexer.step();
    }
    lexer.pieces
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    pieces: Pieces<'a>,
}

impl<'a> Lexer<'a> {
    fn step(&mut self) {
        let rest = &self.text[self.at..];
        let first = rest.chars().next().expect("step is called before the end");
        if first.is_whitespace() {
            self.take(first.len_utf8());
        } else if rest.starts_with("//") {
            self.comment(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.comment(block_comment(rest));
        } else if let Some(size) = raw_string(rest).or_else(|| string(rest)).or_else(|| character(rest)) {
            self.literal(size);
        } else {
            self.token(word(rest).unwrap_or(first.len_utf8()));
        }
    }

    fn take(&mut self, size: usize) -> &'a str {
        let taken = &self.text[self.at..self.at + size];
        self.line += taken.matches('\n').count();
        self.at += size;
        taken
    }

    fn comment(&mut self, size: usize) {
        let line = self.line;
        let text = self.take(size);
        self.pieces.comments.push(Comment { text, line });
    }

    fn literal(&mut self, size: usize) {
        let line = self.line;
        for (number, part) in self.take(size).split('\n').enumerate() {
            self.pieces.code[line + number] |= !part.trim().is_empty();
        }
        self.pieces.tokens.push(Token { text: "\"", line });
    }

    fn token(&mut self, size: usize) {
        let line = self.line;
        self.pieces.code[line] = true;
        let text = self.take(size);
        self.pieces.tokens.push(Token { text, line });
    }
}

/// The length of the word at the start; a lifetime is one, with its quote.
fn word(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'').unwrap_or(rest);
    let size = body.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(body.len());
    (size > 0).then_some(rest.len() - body.len() + size)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let lead = ["r", "br", "cr"].into_iter().find(|lead| {
        let after = rest.strip_prefix(*lead).unwrap_or_default();
        after.starts_with('"') || after.starts_with('#')
    })?;
    let body = &rest[lead.len()..];
    let hashes = body.bytes().take_while(|byte| *byte == b'#').count();
    let inside = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let size = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(lead.len() + hashes + 1 + size)
}

fn string(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('"')?;
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 2),
            _ => {}
        }
    }
    Some(rest.len())
}

/// A character, which a lifetime such as `'a` must not be taken for.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        let past = escape.chars().next()?.len_utf8();
        return Some(2 + past + escape[past..].find('\'')? + 1);
    }
    let size = inside.chars().next().filter(|c| *c != '\n' && *c != '\'')?.len_utf8();
    inside[size..].starts_with('\'').then_some(size + 2)
}

#[cfg(test)]
mod tests;
