//! The patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*`, `?`, and escapes; as BuildKit's shell knows them.

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    One(char),
    Any,
    Star,
}

/// A pattern that was read.
pub(super) struct Pattern(Vec<Token>);

/// Work beyond this many steps is refused, so that a hostile file cannot keep us busy.
const MAX_STEPS: usize = 1 << 26;

/// The pattern would take too long on this value.
#[derive(Debug)]
pub(super) struct TooMuch;

impl Pattern {
    /// Reads a pattern; an escape makes the next character an ordinary one.
    pub(super) fn new(text: &str, escape: char) -> Self {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let token = match c {
                _ if c == escape || c == '\\' => Token::One(chars.next().unwrap_or(c)),
                '*' => Token::Star,
                '?' => Token::Any,
                _ => Token::One(c),
            };
            if token != Token::Star || tokens.last() != Some(&Token::Star) {
                tokens.push(token);
            }
        }
        Self(tokens)
    }

    /// The lengths of all beginnings of `value` that match.
    fn ends(tokens: &[Token], value: &[char]) -> Vec<usize> {
        let mut reached = vec![0usize];
        for token in tokens {
            reached = match token {
                Token::Star => {
                    reached.first().map_or_else(Vec::new, |first| (*first..=value.len()).collect())
                }
                Token::Any => reached.iter().filter(|at| **at < value.len()).map(|at| at + 1).collect(),
                Token::One(c) => {
                    reached.iter().filter(|at| value.get(**at) == Some(c)).map(|at| at + 1).collect()
                }
            };
            if reached.is_empty() {
                break;
            }
        }
        reached
    }

    fn bounded(&self, steps: usize) -> Result<(), TooMuch> {
        if steps.saturating_mul(self.0.len() + 1) > MAX_STEPS { Err(TooMuch) } else { Ok(()) }
    }

    /// The value without its shortest or longest beginning that matches.
    pub(super) fn trim_start(&self, value: &str, longest: bool) -> Result<String, TooMuch> {
        let chars: Vec<char> = value.chars().collect();
        self.bounded(chars.len())?;
        let ends = Self::ends(&self.0, &chars);
        let cut = if longest { ends.last() } else { ends.first() };
        Ok(chars[cut.copied().unwrap_or(0)..].iter().collect())
    }

    /// The value without its shortest or longest end that matches.
    pub(super) fn trim_end(&self, value: &str, longest: bool) -> Result<String, TooMuch> {
        let chars: Vec<char> = value.chars().rev().collect();
        self.bounded(chars.len())?;
        let tokens: Vec<Token> = self.0.iter().rev().copied().collect();
        let ends = Self::ends(&tokens, &chars);
        let cut = if longest { ends.last() } else { ends.first() };
        Ok(chars[cut.copied().unwrap_or(0)..].iter().rev().collect())
    }

    /// The value with its first match, or with every match, replaced; the longest from the left counts.
    pub(super) fn replace(&self, value: &str, with: &str, every: bool) -> Result<String, TooMuch> {
        if self.0.is_empty() {
            return Ok(value.to_owned());
        }
        let chars: Vec<char> = value.chars().collect();
        self.bounded(chars.len().saturating_mul(chars.len()))?;
        let mut out = String::new();
        let mut at = 0;
        let mut done = false;
        while at < chars.len() {
            let matched = if done { None } else { Self::ends(&self.0, &chars[at..]).last().copied() };
            match matched {
                Some(length) if length > 0 => {
                    out.push_str(with);
                    at += length;
                    done = !every;
                }
                Some(_) | None => {
                    out.push(chars[at]);
                    at += 1;
                }
            }
        }
        Ok(out)
    }
}
