//! Cutting a line into words: by blanks, by quotes, as a JSON list, and the marks of heredocs.

use super::error::Fault;

/// A heredoc's mark in an instruction, as in `<<-"EOF"`.
pub(super) struct Mark {
    /// The word that ends it.
    pub name: String,
    /// Whether leading tabs go.
    pub chomp: bool,
    /// Whether variables are expanded: the word was not quoted.
    pub expand: bool,
    /// As written.
    pub text: String,
}

/// The instruction's word and the rest of the line.
pub(super) fn split_first(line: &str) -> (&str, &str) {
    let line = line.trim();
    match line.split_once(char::is_whitespace) {
        Some((first, rest)) => (first, rest.trim()),
        None => (line, ""),
    }
}

/// Words between blanks, where quotes and escapes keep blanks inside a word. Quotes and escapes stay.
pub(super) fn quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c.is_whitespace() && quote.is_none() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && (c == '\'' || c == '"') {
            quote = Some(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A JSON list of strings; nothing if the text is no JSON list and so a text for the shell.
pub(super) fn json(instruction: &'static str, text: &str) -> Result<Option<Vec<String>>, Fault> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(items) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(None) };
    let strings = items.into_iter().map(|item| match item {
        serde_json::Value::String(text) => Ok(text),
        other => Err(Fault::NotStrings { instruction, item: other.to_string() }),
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// The heredocs that the line opens: only RUN, COPY and ADD, also as triggers, have some, and no JSON form has.
pub(super) fn heredoc_marks(line: &str, escape: char) -> Vec<Mark> {
    let (mut name, mut rest) = split_first(line);
    if name.eq_ignore_ascii_case("ONBUILD") {
        (name, rest) = split_first(rest);
    }
    let may = ["RUN", "COPY", "ADD"].iter().any(|one| name.eq_ignore_ascii_case(one));
    if !may || !rest.contains("<<") {
        return Vec::new();
    }
    let words = quoted(rest, escape);
    let arguments = words.iter().skip_while(|word| word.starts_with("--"));
    let exec = arguments.clone().next().is_some_and(|word| word.starts_with('['));
    if exec && json("RUN", rest[rest.find('[').unwrap_or(0)..].trim()).is_ok_and(|list| list.is_some()) {
        return Vec::new();
    }
    arguments.filter_map(|word| mark(word, escape)).collect()
}

/// Reads a word as the mark of a heredoc: digits, `<<`, perhaps `-`, and a name, perhaps in quotes.
pub(super) fn mark(word: &str, escape: char) -> Option<Mark> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let expand = !rest.contains(['\'', '"', escape]);
    let name = unquoted(rest, escape);
    let usable = !name.is_empty() && !name.contains(char::is_whitespace);
    usable.then(|| Mark { name, chomp, expand, text: word.to_owned() })
}

/// The word without quotes and escapes, and without any expansion.
fn unquoted(word: &str, escape: char) -> String {
    let mut plain = String::new();
    let mut quote: Option<char> = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match c {
            _ if c == escape && quote != Some('\'') => plain.extend(chars.next()),
            '\'' | '"' if quote == Some(c) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            _ => plain.push(c),
        }
    }
    plain
}

/// The words as Go prints a quoted list: `["/bin/sh" "-c"]`. Image histories hold commands in this form.
pub fn quoted_list(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", quoted.join(" "))
}
