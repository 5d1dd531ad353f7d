//! Expansion of variables and quotes in an instruction's words, as BuildKit's shell lexer does it.
//!
//! `$x ${x} ${x:-d} ${x-d} ${x:+r} ${x+r} ${x:?e} ${x?e} ${x#p} ${x##p} ${x%p} ${x%%p} ${x/p/r} ${x//p/r}`.

use base::{Kind, Problem};

use super::pattern::{Pattern, TooMuch};

/// Gives variables their values.
pub trait Variables {
    /// The value, if the variable is set.
    fn value(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Variables for F {
    fn value(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Substitution {
    /// A quote that is opened only.
    #[error("a {quote} quote does not end")]
    OpenQuote {
        /// `single` or `double`.
        quote: &'static str,
    },
    /// `${` without its end.
    #[error("`${{{name}` has no `}}`")]
    OpenBrace {
        /// What follows the brace.
        name: String,
    },
    /// `${}` and the like.
    #[error("`${{{text}` names no variable")]
    NoName {
        /// What follows the brace.
        text: String,
    },
    /// A sign that means nothing.
    #[error("`${{{name}{sign}…}}` means nothing")]
    Modifier {
        /// The variable.
        name: String,
        /// What follows it.
        sign: String,
    },
    /// `${x:?message}` of a variable without a value.
    #[error("`{name}` must be set: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the Dockerfile says about it.
        message: String,
    },
    /// Too long a result, or too much work for it.
    #[error("the expansion is longer or deeper than we allow")]
    TooMuch,
}

impl Substitution {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Modifier { .. } => {
                Some("allowed are :- - :+ + :? ? # ## % %% / and //, as in `${name:-default}`".into())
            }
            Self::Required { name, .. } => {
                Some(format!("give it with `--build-arg {name}=…`, or in an ENV or ARG"))
            }
            Self::OpenQuote { .. } | Self::OpenBrace { .. } | Self::NoName { .. } => {
                Some("write `\\$` for a dollar sign, and `\\\"` for a quote".into())
            }
            Self::TooMuch => None,
        }
    }
}

impl Problem for Substitution {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Self::hint(self)
    }
}

/// The longest result of an expansion, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting of `${…${…}}`.
const MAX_DEPTH: u32 = 32;

/// The text with its variables expanded and its quotes gone.
pub fn word(text: &str, escape: char, variables: &dyn Variables) -> Result<String, Substitution> {
    Reader::new(text, escape, variables).all().map(|(text, _)| text)
}

/// The words of the text, cut at blanks that come from no quotes; a variable may give more than one.
pub fn words(text: &str, escape: char, variables: &dyn Variables) -> Result<Vec<String>, Substitution> {
    Reader::new(text, escape, variables).all().map(|(_, words)| words)
}

/// A heredoc's text with its variables expanded; quotes are ordinary characters there.
pub fn heredoc(text: &str, escape: char, variables: &dyn Variables) -> Result<String, Substitution> {
    let mut reader = Reader::new(text, escape, variables);
    reader.plain_quotes = true;
    reader.all().map(|(text, _)| text)
}

/// Words as they grow.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
    inside: bool,
}

impl Words {
    /// Adds what stands in no quotes, so blanks end a word.
    fn loose(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
            self.inside = true;
        } else if self.inside && !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
            self.inside = false;
        }
    }

    /// Adds what blanks do not cut.
    fn fixed(&mut self, text: &str) {
        self.word.push_str(text);
        self.inside = true;
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}

struct Reader<'a> {
    chars: Vec<char>,
    at: usize,
    escape: char,
    variables: &'a dyn Variables,
    plain_quotes: bool,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn new(text: &str, escape: char, variables: &'a dyn Variables) -> Self {
        Self { chars: text.chars().collect(), at: 0, escape, variables, plain_quotes: false, depth: 0 }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn all(mut self) -> Result<(String, Vec<String>), Substitution> {
        self.until(None, false).map(|found| found.unwrap_or_default())
    }

    /// Reads to `stop`, or to the end if there is none. Nothing when the end comes before `stop`.
    /// With `keep_escapes` an escape stays in the text, for whoever reads it as a pattern.
    fn until(
        &mut self,
        stop: Option<char>,
        keep_escapes: bool,
    ) -> Result<Option<(String, Vec<String>)>, Substitution> {
        let mut out = String::new();
        let mut words = Words::default();
        while let Some(c) = self.peek() {
            if out.len() > MAX_BYTES {
                return Err(Substitution::TooMuch);
            }
            if Some(c) == stop {
                self.at += 1;
                return Ok(Some((out, words.finish())));
            }
            match c {
                '\'' | '"' if !self.plain_quotes => {
                    let text = if c == '"' { self.double(keep_escapes)? } else { self.single()? };
                    out.push_str(&text);
                    words.fixed(&text);
                }
                '$' => {
                    let text = self.dollar()?;
                    out.push_str(&text);
                    text.chars().for_each(|c| words.loose(c));
                }
                _ => self.ordinary(keep_escapes, &mut out, &mut words),
            }
        }
        if out.len() > MAX_BYTES {
            return Err(Substitution::TooMuch);
        }
        Ok(if stop.is_some() { None } else { Some((out, words.finish())) })
    }

    /// A character that is neither a quote nor a dollar, perhaps escaped.
    fn ordinary(&mut self, keep_escapes: bool, out: &mut String, words: &mut Words) {
        let Some(c) = self.next() else { return };
        if c != self.escape {
            out.push(c);
            words.loose(c);
            return;
        }
        if keep_escapes {
            out.push(c);
        }
        if self.plain_quotes && !matches!(self.peek(), Some('$')) && self.peek() != Some(self.escape) {
            // In a heredoc only a dollar or the escape itself needs escaping.
            out.push(c);
            return;
        }
        if let Some(next) = self.next() {
            out.push(next);
            words.fixed(next.encode_utf8(&mut [0; 4]));
        }
    }

    fn single(&mut self) -> Result<String, Substitution> {
        self.at += 1;
        let rest = &self.chars[self.at..];
        let length =
            rest.iter().position(|c| *c == '\'').ok_or(Substitution::OpenQuote { quote: "single" })?;
        let text = rest[..length].iter().collect();
        self.at += length + 1;
        Ok(text)
    }

    fn double(&mut self, keep_escapes: bool) -> Result<String, Substitution> {
        self.at += 1;
        let mut out = String::new();
        loop {
            match self.peek().ok_or(Substitution::OpenQuote { quote: "double" })? {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '$' => out.push_str(&self.dollar()?),
                c if c == self.escape => {
                    self.at += 1;
                    let escapable = self.peek().filter(|next| "\"$".contains(*next) || *next == self.escape);
                    if keep_escapes || (escapable.is_none() && self.peek().is_some()) {
                        out.push(c);
                    }
                    if let Some(next) = escapable {
                        self.at += 1;
                        out.push(next);
                    }
                }
                c => {
                    self.at += 1;
                    out.push(c);
                }
            }
            if out.len() > MAX_BYTES {
                return Err(Substitution::TooMuch);
            }
        }
    }

    fn dollar(&mut self) -> Result<String, Substitution> {
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.variables.value(&name).unwrap_or_default());
        }
        self.at += 1;
        if self.depth >= MAX_DEPTH {
            return Err(Substitution::TooMuch);
        }
        self.depth += 1;
        let value = self.braced();
        self.depth -= 1;
        value
    }

    /// A variable's name: letters, digits and `_`; digits alone; or one sign that shells give a meaning.
    fn name(&mut self) -> String {
        let start = self.at;
        let run = |reader: &mut Self, test: fn(char) -> bool| {
            while reader.peek().is_some_and(test) {
                reader.at += 1;
            }
        };
        match self.peek() {
            Some(c) if c.is_ascii_digit() => run(self, |c| c.is_ascii_digit()),
            Some(c) if "@*#?-$!".contains(c) => self.at += 1,
            _ => run(self, |c| c.is_alphanumeric() || c == '_'),
        }
        self.chars[start..self.at].iter().collect()
    }

    /// Behind `${`.
    fn braced(&mut self) -> Result<String, Substitution> {
        let start = self.at;
        let rest = |reader: &Self| reader.chars[start..].iter().take(40).collect::<String>();
        if matches!(self.peek(), None | Some('{' | '}' | ':')) {
            let text = rest(self);
            let open = self.peek().is_none();
            return Err(if open {
                Substitution::OpenBrace { name: text }
            } else {
                Substitution::NoName { text }
            });
        }
        let name = self.name();
        let open = |reader: &Self| Substitution::OpenBrace { name: rest(reader) };
        let sign = self.next().ok_or_else(|| open(self))?;
        let value = self.variables.value(&name);
        match sign {
            '}' => Ok(value.unwrap_or_default()),
            ':' => {
                let sign = self.next().ok_or_else(|| open(self))?;
                if !"-+?".contains(sign) {
                    return Err(Substitution::Modifier { name, sign: format!(":{sign}") });
                }
                let (word, _) = self.until(Some('}'), false)?.ok_or_else(|| open(self))?;
                choose(&name, value.filter(|value| !value.is_empty()), sign, word)
            }
            '-' | '+' | '?' => {
                let (word, _) = self.until(Some('}'), false)?.ok_or_else(|| open(self))?;
                choose(&name, value, sign, word)
            }
            '#' | '%' => {
                let (word, _) = self.until(Some('}'), true)?.ok_or_else(|| open(self))?;
                trim(&value.unwrap_or_default(), sign, &word, self.escape)
            }
            '/' => {
                let every = self.peek() == Some('/');
                self.at += usize::from(every);
                let (pattern, _) = self.until(Some('/'), true)?.ok_or_else(|| open(self))?;
                let (with, _) = self.until(Some('}'), false)?.ok_or_else(|| open(self))?;
                let pattern = Pattern::new(&pattern, self.escape);
                pattern
                    .replace(&value.unwrap_or_default(), &with, every)
                    .map_err(|TooMuch| Substitution::TooMuch)
            }
            other => Err(Substitution::Modifier { name, sign: other.to_string() }),
        }
    }
}

/// `-`, `+` and `?` by whether there is a value.
fn choose(name: &str, value: Option<String>, sign: char, word: String) -> Result<String, Substitution> {
    match (sign, value) {
        ('-', Some(value)) | ('?', Some(value)) => Ok(value),
        ('-', None) | ('+', Some(_)) => Ok(word),
        ('+', None) => Ok(String::new()),
        (_, _) => {
            let message = if word.is_empty() { "it has no value".to_owned() } else { word };
            Err(Substitution::Required { name: name.to_owned(), message })
        }
    }
}

/// `#`, `##`, `%` and `%%`.
fn trim(value: &str, sign: char, word: &str, escape: char) -> Result<String, Substitution> {
    let (longest, pattern) = match word.strip_prefix(sign) {
        Some(pattern) => (true, pattern),
        None => (false, word),
    };
    let pattern = Pattern::new(pattern, escape);
    let cut = if sign == '#' { pattern.trim_start(value, longest) } else { pattern.trim_end(value, longest) };
    cut.map_err(|TooMuch| Substitution::TooMuch)
}

#[cfg(test)]
mod tests;
