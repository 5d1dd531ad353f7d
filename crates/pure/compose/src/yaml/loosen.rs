//! Lines inside of brackets and quotes may stand further to the left than what they belong to.
//!
//! YAML 1.2 forbids it, the reference's reader and many files do not care, and the parser below us refuses it. Such
//! lines get spaces at their beginning, which mean nothing there. It reads no more of YAML than it needs to know where
//! brackets and quotes are, and is asked only about texts that were refused as they stand.

/// A text with wider lines.
pub(super) struct Loosened {
    /// The text.
    pub(super) text: String,
    /// How many spaces each line got.
    pub(super) spaces: Vec<usize>,
}

/// Widens a text; none when no line of it needs that.
pub(super) fn loosen(text: &str) -> Option<Loosened> {
    let mut reader = Reader::default();
    let mut out = Loosened { text: String::with_capacity(text.len()), spaces: Vec::new() };
    for line in text.split_inclusive('\n') {
        let width = line.len() - line.trim_start_matches(' ').len();
        let marker = line.starts_with("---") || line.starts_with("...");
        let spaces = match reader.inside {
            Some(column) if width <= column && !line.trim().is_empty() && !marker => column + 1 - width,
            _ => 0,
        };
        out.text.extend(std::iter::repeat_n(' ', spaces));
        out.text.push_str(line);
        out.spaces.push(spaces);
        reader.line(line, width);
    }
    out.spaces.iter().any(|spaces| *spaces > 0).then_some(out)
}

#[derive(Default)]
struct Reader {
    /// Brackets that are open.
    depth: usize,
    /// The quote that is open.
    quote: Option<char>,
    /// The column at which the outermost open bracket or quote stands.
    inside: Option<usize>,
    /// The column of the entry whose value is a block of text; its lines stand further right.
    block: Option<usize>,
    /// Whether a value may begin here: in the middle of a word, brackets and quotes are letters.
    fresh: bool,
    /// The column of the last key or dash.
    entry: usize,
}

impl Reader {
    fn line(&mut self, line: &str, width: usize) {
        if let Some(parent) = self.block {
            if line.trim().is_empty() || width > parent {
                return;
            }
            self.block = None;
        }
        if self.inside.is_none() {
            self.fresh = true;
        }
        let letters: Vec<char> = line.chars().collect();
        let mut at = 0;
        while at < letters.len() {
            let (before, next) = (at.checked_sub(1).map(|i| letters[i]), letters.get(at + 1).copied());
            if self.quote.is_none() && letters[at] == '#' && before.is_none_or(char::is_whitespace) {
                return;
            }
            at += match self.quote {
                Some(quote) => self.quoted(quote, letters[at], next),
                None => self.bare(at, letters[at], next, &letters[at..]),
            };
        }
    }

    /// One letter or two within quotes.
    fn quoted(&mut self, quote: char, letter: char, next: Option<char>) -> usize {
        if (quote == '"' && letter == '\\') || (quote == '\'' && letter == '\'' && next == Some('\'')) {
            return 2;
        }
        if letter == quote {
            self.quote = None;
            self.leave();
        }
        1
    }

    /// One letter outside of quotes, or a whole word that says something about the value after it.
    fn bare(&mut self, at: usize, letter: char, next: Option<char>, rest: &[char]) -> usize {
        let ends = next.is_none_or(char::is_whitespace);
        let flow = self.depth > 0;
        match letter {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' | '\'' if self.fresh => {
                self.note(at);
                self.quote = Some(letter);
                self.inside.get_or_insert(at);
                self.fresh = false;
            }
            '[' | '{' if self.fresh => {
                self.depth += 1;
                self.inside.get_or_insert(at);
            }
            ']' | '}' if flow => {
                self.depth -= 1;
                self.fresh = false;
                self.leave();
            }
            ',' if flow => self.fresh = true,
            ':' if ends || flow => self.fresh = true,
            '-' | '?' if self.fresh && ends => self.entry = at,
            '&' | '*' | '!' if self.fresh => {
                return rest.iter().take_while(|c| !c.is_whitespace() && !"[]{},".contains(**c)).count();
            }
            '|' | '>' if self.fresh && !flow => {
                self.block = Some(self.entry);
                return rest.len();
            }
            _ => {
                self.note(at);
                self.fresh = false;
            }
        }
        1
    }

    /// Notes where a key begins.
    fn note(&mut self, at: usize) {
        if self.fresh && self.inside.is_none() {
            self.entry = at;
        }
    }

    fn leave(&mut self) {
        if self.depth == 0 && self.quote.is_none() {
            self.inside = None;
        }
    }
}
