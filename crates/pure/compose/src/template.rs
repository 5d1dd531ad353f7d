//! `$VAR` and its forms.
//!
//! The forms nest, and their edges are those of the reference implementation: a default ends at the brace that closes
//! its variable, and never crosses a line.

/// Why a text could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A `${` that begins no variable, or has no end.
    Form,
    /// A variable that must be set is not, with the file's own words about it.
    Required {
        /// The variable.
        name: String,
        /// The words.
        reason: String,
    },
}

/// Looks a variable up, and is told of those that are missing.
pub(crate) trait Variables {
    /// Its value when it is set.
    fn get(&self, name: &str) -> Option<String>;
    /// It is not set and has no default.
    fn missing(&mut self, name: &str);
}

/// So deep may defaults nest.
const DEEPEST: usize = 64;

/// The text with its variables filled in.
pub(crate) fn substitute(text: &str, variables: &mut dyn Variables) -> Result<String, Broken> {
    fill(text, variables, 0)
}

fn fill(text: &str, variables: &mut dyn Variables, depth: usize) -> Result<String, Broken> {
    if depth > DEEPEST {
        return Err(Broken::Form);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        rest = match after.as_bytes().first() {
            Some(b'$') => {
                out.push('$');
                &after[1..]
            }
            Some(b'{') => {
                let (value, tail) = braced(after, variables, depth)?;
                out.push_str(&value);
                tail
            }
            Some(c) if starts_name(*c) => {
                let (name, tail) = after.split_at(name_len(after));
                out.push_str(&plain(name, variables));
                tail
            }
            _ => {
                out.push('$');
                after
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

fn starts_name(c: u8) -> bool {
    c == b'_' || c.is_ascii_alphabetic()
}

fn name_len(text: &str) -> usize {
    if !text.bytes().next().is_some_and(starts_name) {
        return 0;
    }
    text.bytes().take_while(|c| *c == b'_' || c.is_ascii_alphanumeric()).count()
}

fn plain(name: &str, variables: &mut dyn Variables) -> String {
    variables.get(name).unwrap_or_else(|| {
        variables.missing(name);
        String::new()
    })
}

/// A variable in braces, taken apart.
struct Braced<'a> {
    name: &'a str,
    /// What the word is for, and whether an empty value counts as none.
    operator: Option<(u8, bool)>,
    word: &'a str,
    tail: &'a str,
}

/// A variable in braces: `text` begins at the opening one; gives its value and what follows.
fn braced<'a>(
    text: &'a str,
    variables: &mut dyn Variables,
    depth: usize,
) -> Result<(String, &'a str), Broken> {
    let Braced { name, operator, word, tail } = read(text)?;
    let Some((operator, unless_empty)) = operator else { return Ok((plain(name, variables), tail)) };
    let value = variables.get(name);
    let present = value.as_ref().is_some_and(|value| !unless_empty || !value.is_empty());
    // As in the reference, what is wrong with the word counts even where the word does not.
    let word = fill(word, variables, depth + 1)?;
    let value = match (operator, present) {
        (b'-', true) | (b'?', true) | (b'+', false) => value.unwrap_or_default(),
        (b'-', false) | (b'+', true) => word,
        _ => return Err(Broken::Required { name: name.to_owned(), reason: word }),
    };
    Ok((value, tail))
}

fn read(text: &str) -> Result<Braced<'_>, Broken> {
    let name = &text[1..1 + name_len(&text[1..])];
    let after = &text[1 + name.len()..];
    if name.is_empty() {
        return Err(Broken::Form);
    }
    if let Some(tail) = after.strip_prefix('}') {
        return Ok(Braced { name, operator: None, word: "", tail });
    }
    let (unless_empty, operator) = match after.as_bytes() {
        [b':', c @ (b'-' | b'+' | b'?'), ..] => (true, *c),
        [c @ (b'-' | b'+' | b'?'), ..] => (false, *c),
        _ => return Err(Broken::Form),
    };
    let start = text.len() - after.len() + 1 + usize::from(unless_empty);
    let line_end = text[start..].find('\n').map_or(text.len(), |end| start + end);
    // The reference reads up to the last brace of the line first, then cuts at the one that closes the variable.
    let last = text[start..line_end].rfind('}').map(|at| start + at).ok_or(Broken::Form)?;
    let end = closing(&text[..=last]).unwrap_or(last);
    let word = text.get(start..end).unwrap_or_default();
    Ok(Braced { name, operator: Some((operator, unless_empty)), word, tail: &text[end + 1..] })
}

/// A variable that a text names.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What stands in its place when it is not set.
    pub default_value: String,
    /// What stands in its place when it is set.
    pub presence_value: String,
    /// Whether it must be set.
    pub required: bool,
}

/// Tells of every variable that a text names, also within defaults of others. Where the text is wrong it ends.
pub(crate) fn variables(text: &str, tell: &mut dyn FnMut(Variable)) {
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let after = &rest[dollar + 1..];
        rest = match after.as_bytes().first() {
            Some(b'$') => &after[1..],
            Some(b'{') => {
                let Ok(Braced { name, operator, word, tail }) = read(after) else { return };
                let word_of = |kind| match operator {
                    Some((operator, _)) if operator == kind => word.to_owned(),
                    _ => String::new(),
                };
                let required = matches!(operator, Some((b'?', _)));
                let (default_value, presence_value) = (word_of(b'-'), word_of(b'+'));
                tell(Variable { name: name.to_owned(), default_value, presence_value, required });
                variables(word, tell);
                tail
            }
            Some(c) if starts_name(*c) => {
                let (name, tail) = after.split_at(name_len(after));
                let (default_value, presence_value) = (String::new(), String::new());
                tell(Variable { name: name.to_owned(), default_value, presence_value, required: false });
                tail
            }
            _ => after,
        };
    }
}

/// The brace that closes the first one. As in the reference, the character after an opening brace does not count.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut open, mut i) = (0i32, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(i);
                }
            }
            b'{' => {
                open += 1;
                i += 1;
            }
            _ => {}
        }
        i += 1;
    }
    None
}

#[cfg(test)]
mod tests;
