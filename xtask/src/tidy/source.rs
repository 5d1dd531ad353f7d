//! One Rust file, read: which lines ship and which are tests, and its functions.
//!
//! Counts as `measure.py` does: a function is as deep as the braces in its body, `self` is a parameter.

use std::collections::HashMap;

use crate::tidy::lexer::{Comment, Token, cut};

/// A file and what there is in it.
pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    pub(crate) tokens: Vec<Token<'a>>,
    pub(crate) comments: Vec<Comment<'a>>,
    /// For each line, whether it has code.
    code: Vec<bool>,
    /// For each line, whether it belongs to a test.
    tested: Vec<bool>,
    /// Modules declared here, in files of their own, behind `cfg(test)`.
    pub(crate) test_modules: Vec<&'a str>,
    pairs: HashMap<usize, usize>,
}

/// One function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// From 0.
    pub(crate) line: usize,
    /// Lines with code on them, from its `fn` to its last brace.
    pub(crate) code: usize,
    pub(crate) depth: usize,
    pub(crate) parameters: usize,
}

const ITEMS: &[&str] = &[
    "mod",
    "fn",
    "impl",
    "struct",
    "enum",
    "trait",
    "type",
    "use",
    "static",
    "const",
    "async",
    "unsafe",
    "extern",
    "union",
    "macro_rules",
    "let",
    "for",
    "while",
    "loop",
    "if",
    "match",
    "pub",
];

impl<'a> Source<'a> {
    /// Reads the text of the file at this path.
    pub(crate) fn read(path: &'a str, text: &'a str) -> Self {
        let pieces = cut(text);
        let mut source = Self {
            path,
            text,
            pairs: pairs(&pieces.tokens),
            tested: vec![is_test_file(path); pieces.code.len()],
            tokens: pieces.tokens,
            comments: pieces.comments,
            code: pieces.code,
            test_modules: Vec::new(),
        };
        source.find_tests();
        source
    }

    /// Marks the whole file as a test, which its parent module has said.
    pub(crate) fn is_behind_cfg_test(&mut self) {
        self.tested.fill(true);
    }

    /// Whether this line ships.
    pub(crate) fn ships(&self, line: usize) -> bool {
        !self.tested[line]
    }

    /// How many lines of code ship.
    pub(crate) fn shipped_code(&self) -> usize {
        self.code.iter().zip(&self.tested).filter(|(code, tested)| **code && !**tested).count()
    }

    /// How many lines of any sort ship.
    pub(crate) fn shipped_lines(&self) -> usize {
        self.tested.iter().filter(|tested| !**tested).count()
    }

    /// How many lines of comments ship, and how many of them document.
    pub(crate) fn shipped_comments(&self) -> (usize, usize) {
        let own_line = |comment: &&Comment| !self.code[comment.line] && self.ships(comment.line);
        let own: Vec<&Comment> = self.comments.iter().filter(own_line).collect();
        let docs = own.iter().filter(|comment| comment.is_doc()).map(|comment| comment.lines()).sum();
        (own.iter().map(|comment| comment.lines()).sum(), docs)
    }

    /// Whether the tokens from this one on are these.
    pub(crate) fn reads(&self, at: usize, words: &[&str]) -> bool {
        self.tokens.len() >= at + words.len()
            && self.tokens[at..].iter().zip(words).all(|(token, word)| token.text == *word)
    }

    /// Whether a doc comment at the very start says what the file holds; attributes may stand before it.
    pub(crate) fn has_header(&self) -> bool {
        let mut at = 0;
        while self.reads(at, &["#", "!", "["]) {
            at = self.pairs.get(&(at + 2)).map_or(self.tokens.len(), |close| close + 1);
        }
        let code_from = self.tokens.get(at).map_or(usize::MAX, |token| token.line);
        let first = self.comments.iter().find(|comment| comment.is_doc());
        first.is_some_and(|it| {
            it.line < code_from && (it.text.starts_with("//!") || it.text.starts_with("/*!"))
        })
    }

    /// All functions that ship.
    pub(crate) fn functions(&self) -> Vec<Function<'a>> {
        let starts = (0..self.tokens.len()).filter(|at| self.tokens[*at].text == "fn");
        starts.filter_map(|at| self.function(at)).filter(|function| self.ships(function.line)).collect()
    }

    fn function(&self, at: usize) -> Option<Function<'a>> {
        let name = self.tokens.get(at + 1).filter(|token| is_word(token.text))?;
        let (open, close) = self.body(at + 2)?;
        let line = self.tokens[at].line;
        let code = self.code[line..=self.tokens[close].line].iter().filter(|code| **code).count();
        Some(Function {
            name: name.text,
            line,
            code,
            depth: self.depth(open, close),
            parameters: self.parameters(at + 2),
        })
    }

    /// The braces of the item whose signature goes on at this token; none where it ends in `;`.
    fn body(&self, mut at: usize) -> Option<(usize, usize)> {
        loop {
            match self.tokens.get(at)?.text {
                ";" => return None,
                "{" => return Some((at, *self.pairs.get(&at)?)),
                "(" | "[" => at = self.pairs.get(&at)? + 1,
                _ => at += 1,
            }
        }
    }

    fn depth(&self, open: usize, close: usize) -> usize {
        let (mut now, mut deepest) = (0_usize, 0);
        for token in &self.tokens[open + 1..close] {
            match token.text {
                "{" => now += 1,
                "}" => now -= 1,
                _ => {}
            }
            deepest = deepest.max(now);
        }
        deepest
    }

    fn parameters(&self, from: usize) -> usize {
        let open = (from..self.tokens.len()).find(|at| self.tokens[*at].text == "(");
        let Some((open, close)) = open.and_then(|open| Some((open, *self.pairs.get(&open)?))) else {
            return 0;
        };
        let (mut count, mut depth, mut filled) = (0, 0_i32, false);
        for at in open + 1..close {
            match self.tokens[at].text {
                "(" | "[" | "{" | "<" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                ">" if self.tokens[at - 1].text != "-" => depth -= 1,
                "," if depth == 0 => {
                    count += usize::from(filled);
                    filled = false;
                    continue;
                }
                _ => {}
            }
            filled = true;
        }
        count + usize::from(filled)
    }

    fn find_tests(&mut self) {
        for at in 0..self.tokens.len() {
            let inner = self.reads(at, &["#", "!", "["]);
            if !inner && !self.reads(at, &["#", "["]) {
                continue;
            }
            let open = at + 1 + usize::from(inner);
            let Some(&close) = self.pairs.get(&open) else { continue };
            if !is_test_attribute(&self.tokens[open + 1..close]) {
                continue;
            }
            if inner {
                self.tested.fill(true);
                return;
            }
            let end = self.tested_from(close + 1);
            let last = self.tokens[end.min(self.tokens.len() - 1)].line;
            self.tested[self.tokens[at].line..=last].fill(true);
        }
    }

    /// Where the thing behind a test attribute ends.
    fn tested_from(&mut self, mut at: usize) -> usize {
        while self.reads(at, &["#", "["]) {
            at = self.pairs.get(&(at + 1)).map_or(self.tokens.len(), |close| close + 1);
        }
        if let Some(module) = self.module_in_a_file(at) {
            self.test_modules.push(module);
        }
        let item = self.tokens.get(at).is_some_and(|token| ITEMS.contains(&token.text));
        let stops = if item { &[";"][..] } else { &[";", ",", ")", "}", "]"] };
        while let Some(token) = self.tokens.get(at) {
            match token.text {
                text if stops.contains(&text) => return at,
                "{" => return self.pairs.get(&at).copied().unwrap_or(at),
                "(" | "[" => at = self.pairs.get(&at).copied().unwrap_or(at) + 1,
                _ => at += 1,
            }
        }
        at
    }

    fn module_in_a_file(&self, mut at: usize) -> Option<&'a str> {
        if self.reads(at, &["pub"]) {
            at += 1;
            if self.reads(at, &["("]) {
                at = self.pairs.get(&at)? + 1;
            }
        }
        (self.reads(at, &["mod"]) && self.reads(at + 2, &[";"])).then(|| self.tokens[at + 1].text)
    }
}

/// Whether what stands between an attribute's brackets makes its item a test.
fn is_test_attribute(inside: &[Token]) -> bool {
    let words: Vec<&str> = inside.iter().map(|token| token.text).collect();
    match words.as_slice() {
        ["cfg", "(", "test", ..] => true,
        ["cfg", "(", "all" | "any", "(", rest @ ..] => rest.contains(&"test"),
        ["test" | "rstest" | "test_case" | "test_log", ..] => true,
        [_, ":", ":", "test", ..] => true,
        _ => false,
    }
}

/// Whether the path alone says that the file holds tests or what only tests use.
pub(crate) fn is_test_file(path: &str) -> bool {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let named = ["test", "tests"].contains(&stem) || stem.starts_with("test_");
    let ends = stem.ends_with("_test") || stem.ends_with("_tests");
    named
        || ends
        || folders
            .split('/')
            .any(|folder| ["tests", "test", "testing", "testkit", "fuzz", "benches"].contains(&folder))
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn pairs(tokens: &[Token]) -> HashMap<usize, usize> {
    let (mut pairs, mut open) = (HashMap::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => open.push(at),
            ")" | "]" | "}" => {
                if let Some(start) = open.pop() {
                    pairs.insert(start, at);
                }
            }
            _ => {}
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
