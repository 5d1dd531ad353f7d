//! The reference's rules for where words, quotes, brackets and blocks of text begin and end.
//!
//! Owns the walk over a text and the list of what has to change in it; `texts` walks over a single value, `values` reads
//! one that the parser cannot. A text that the
//! reference refuses is walked up to there; what is wrong with it is for the parser to say.

mod texts;
mod values;

use std::ops::RangeInclusive;

/// What has to change at a letter.
pub(super) enum Change {
    /// So many spaces before it.
    Spaces(usize),
    /// Other letters before it.
    Before(&'static str),
    /// Another in its place, as long as it.
    Sign(char),
    /// It ends a line, and the parser takes it for a letter.
    Line,
}

/// What was found in a text, each with the numbers of its letters, in order.
pub(super) struct Scanned {
    /// What has to change.
    pub(super) changes: Vec<(usize, Change)>,
    /// Values with line breaks that are kept, which the parser would lose.
    pub(super) values: Vec<(RangeInclusive<usize>, String)>,
}

/// Walks over a text.
pub(super) fn scan(text: &str) -> Scanned {
    let mut walk = Walk::new(text);
    while let Ok(true) = walk.token() {}
    Scanned { changes: walk.changes, values: walk.values }
}

/// The reference refuses the text here.
struct Refused;

/// Where a key may have begun whose colon was not seen yet.
#[derive(Clone, Copy)]
struct Key {
    at: usize,
    line: usize,
    column: isize,
    /// It stands where only a key may stand.
    required: bool,
}

struct Walk {
    letters: Vec<char>,
    at: usize,
    line: usize,
    /// Where the line begins.
    begin: usize,
    /// The column of the innermost block of keys or dashes; those around it are below.
    indent: isize,
    indents: Vec<isize>,
    /// For each open bracket, and outside of all.
    keys: Vec<Option<Key>>,
    key_allowed: bool,
    /// Whether quotes or brackets ended here, after which a colon needs no space.
    closed: bool,
    changes: Vec<(usize, Change)>,
    values: Vec<(RangeInclusive<usize>, String)>,
}

fn blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

/// What ended lines once, on large machines.
const NEXT_LINE: char = '\u{85}';

fn line_break(letter: char) -> bool {
    matches!(letter, '\n' | '\r' | NEXT_LINE) || wide_break(letter)
}

/// What ends a line of people's text, and is kept in it; to the parser it is a letter everywhere.
fn wide_break(letter: char) -> bool {
    matches!(letter, '\u{2028}' | '\u{2029}')
}

/// A blank, a line break or the end.
fn gap(letter: char) -> bool {
    blank(letter) || line_break(letter) || letter == '\0'
}

fn in_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

fn bracket_or_comma(letter: char) -> bool {
    matches!(letter, ',' | '[' | ']' | '{' | '}')
}

impl Walk {
    fn new(text: &str) -> Self {
        Self {
            letters: text.chars().collect(),
            at: 0,
            line: 0,
            begin: 0,
            indent: -1,
            indents: Vec::new(),
            keys: vec![None],
            key_allowed: true,
            closed: false,
            changes: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Walks over one token; whether there may be more.
    fn token(&mut self) -> Result<bool, Refused> {
        self.gaps();
        let column = self.column();
        self.unroll(column);
        let (letter, next) = (self.peek(0), self.peek(1));
        let closed = std::mem::take(&mut self.closed);
        if letter == '\0' {
            return Ok(false);
        }
        if column == 0 && (letter == '%' || self.marker()) {
            self.between_documents(letter)?;
            return Ok(true);
        }
        let flow = self.flow();
        match letter {
            '[' | '{' => self.open()?,
            ']' | '}' => self.close()?,
            ',' => self.comma()?,
            '-' if gap(next) => self.dash(column)?,
            '?' if flow || gap(next) => self.question(column)?,
            ':' if flow || gap(next) => self.colon(column, closed)?,
            '*' | '&' => self.anchor()?,
            '!' => self.tag()?,
            '|' | '>' if !flow => self.block()?,
            '\'' | '"' => self.quoted(letter)?,
            '%' | '@' | '`' | '|' | '>' => return Err(Refused),
            _ => self.plain()?,
        }
        Ok(true)
    }

    fn peek(&self, further: usize) -> char {
        self.letters.get(self.at + further).copied().unwrap_or('\0')
    }

    fn column(&self) -> isize {
        (self.at - self.begin) as isize
    }

    /// Whether brackets are open.
    fn flow(&self) -> bool {
        self.keys.len() > 1
    }

    /// Whether `---` or `...` stands here alone.
    fn marker(&self) -> bool {
        let mark = self.peek(0);
        matches!(mark, '-' | '.') && self.peek(1) == mark && self.peek(2) == mark && gap(self.peek(3))
    }

    fn change(&mut self, change: Change) {
        self.changes.push((self.at, change));
    }

    /// Puts a space here, unless there is a gap.
    fn space(&mut self) {
        if !gap(self.peek(0)) {
            self.change(Change::Spaces(1));
        }
    }

    /// Over a line break.
    fn line(&mut self) {
        if self.peek(0) == NEXT_LINE || wide_break(self.peek(0)) {
            self.change(Change::Line);
        }
        self.at += if self.peek(0) == '\r' && self.peek(1) == '\n' { 2 } else { 1 };
        self.line += 1;
        self.begin = self.at;
    }

    /// Over a line break within brackets or quotes: the parser wants the next line further right than their block.
    fn inner_line(&mut self) {
        self.line();
        let rest = &self.letters[self.at..];
        let width = rest.iter().take_while(|letter| **letter == ' ').count();
        let blanks = rest.iter().take_while(|letter| blank(**letter)).count();
        let short = self.indent + 1 - width as isize;
        if short <= 0 || self.marker() {
            return;
        }
        if rest.get(blanks).is_none_or(|letter| line_break(*letter)) {
            // An empty line; tabs do not indent.
            let tabs = (width..blanks).filter(|further| rest[*further] == '\t');
            self.changes.extend(tabs.map(|further| (self.at + further, Change::Sign(' '))));
        } else {
            self.change(Change::Spaces(short as usize));
        }
    }

    /// Over what stands between tokens.
    fn gaps(&mut self) {
        loop {
            let letter = self.peek(0);
            if letter == ' ' {
                self.at += 1;
            } else if letter == '\t' && (self.flow() || !self.key_allowed) {
                self.change(Change::Sign(' '));
                self.at += 1;
            } else if letter == '#' {
                self.comment();
            } else if line_break(letter) && self.flow() {
                self.inner_line();
            } else if line_break(letter) {
                self.line();
                self.key_allowed = true;
            } else {
                return;
            }
        }
    }

    /// Over a comment up to the end of its line; it may stand directly after what is before it.
    fn comment(&mut self) {
        if self.at > 0 && !gap(self.letters[self.at - 1]) {
            self.change(Change::Spaces(1));
        }
        while !line_break(self.peek(0)) && self.at < self.letters.len() {
            self.at += 1;
        }
    }

    fn rest_of_line(&mut self) {
        while !line_break(self.peek(0)) && self.at < self.letters.len() {
            self.at += 1;
        }
    }

    /// A block of keys or dashes begins at a column, or goes on there.
    fn roll(&mut self, column: isize) {
        if !self.flow() && self.indent < column {
            self.indents.push(self.indent);
            self.indent = column;
        }
    }

    /// Blocks that stand further right than a column are at their end.
    fn unroll(&mut self, column: isize) {
        while !self.flow() && self.indent > column {
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    /// What begins here may turn out to be a key.
    fn may_be_key(&mut self) -> Result<(), Refused> {
        let column = self.column();
        let required = !self.flow() && self.indent == column;
        if self.key_allowed {
            self.no_key()?;
            let key = Key { at: self.at, line: self.line, column, required };
            self.keys.last_mut().map(|last| last.insert(key));
        }
        self.key_allowed = false;
        Ok(())
    }

    /// What began last is no key.
    fn no_key(&mut self) -> Result<(), Refused> {
        match self.keys.last_mut().and_then(Option::take) {
            Some(Key { required: true, .. }) => Err(Refused),
            Some(_) | None => Ok(()),
        }
    }

    fn between_documents(&mut self, letter: char) -> Result<(), Refused> {
        if self.flow() {
            return Err(Refused);
        }
        self.unroll(-1);
        self.no_key()?;
        self.key_allowed = false;
        if letter == '%' {
            self.rest_of_line()
        } else {
            self.at += 3
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), Refused> {
        self.may_be_key()?;
        self.keys.push(None);
        self.key_allowed = true;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refused> {
        if !self.flow() {
            return Err(Refused);
        }
        self.no_key()?;
        self.keys.pop();
        self.key_allowed = false;
        self.closed = true;
        self.at += 1;
        Ok(())
    }

    fn comma(&mut self) -> Result<(), Refused> {
        if !self.flow() {
            return Err(Refused);
        }
        self.no_key()?;
        self.key_allowed = true;
        self.at += 1;
        Ok(())
    }

    fn dash(&mut self, column: isize) -> Result<(), Refused> {
        if self.flow() || !self.key_allowed {
            return Err(Refused);
        }
        self.roll(column);
        self.no_key()?;
        self.at += 1;
        Ok(())
    }

    fn question(&mut self, column: isize) -> Result<(), Refused> {
        if !self.flow() && !self.key_allowed {
            return Err(Refused);
        }
        self.roll(column);
        self.no_key()?;
        self.key_allowed = !self.flow();
        self.at += 1;
        self.space();
        Ok(())
    }

    fn colon(&mut self, column: isize, closed: bool) -> Result<(), Refused> {
        let key = self.keys.last_mut().and_then(Option::take);
        let valid = |key: &Key| key.line == self.line && self.at <= key.at + 1024;
        match key {
            Some(key) if valid(&key) => {
                self.roll(key.column);
                self.key_allowed = false;
            }
            Some(Key { required: true, .. }) => return Err(Refused),
            Some(_) | None => {
                if !self.flow() && !self.key_allowed {
                    return Err(Refused);
                }
                self.roll(column);
                self.key_allowed = !self.flow();
            }
        }
        self.at += 1;
        if !closed {
            self.space();
        }
        Ok(())
    }

    /// An anchor or an alias; its name ends where the parser's may go on.
    fn anchor(&mut self) -> Result<(), Refused> {
        self.may_be_key()?;
        self.at += 1;
        if !in_name(self.peek(0)) {
            return Err(Refused);
        }
        while in_name(self.peek(0)) {
            self.at += 1;
        }
        match self.peek(0) {
            '?' | ':' | '%' | '@' | '`' => self.space(),
            ',' | ']' | '}' => {}
            letter if gap(letter) => {}
            _ => return Err(Refused),
        }
        Ok(())
    }

    /// A tag, to which more signs belong than the parser knows; those in none that means something.
    fn tag(&mut self) -> Result<(), Refused> {
        self.may_be_key()?;
        self.at += 1;
        let verbatim = self.peek(0) == '<';
        if verbatim {
            self.at += 1;
        } else {
            let name = self.letters[self.at..].iter().take_while(|letter| in_name(**letter)).count();
            self.at += if self.peek(name) == '!' { name + 1 } else { name };
        }
        loop {
            match self.peek(0) {
                ',' | '[' | ']' | '!' if !verbatim => self.change(Change::Sign('x')),
                '%' if !(self.peek(1).is_ascii_hexdigit() && self.peek(2).is_ascii_hexdigit()) => {
                    return Err(Refused);
                }
                letter if in_name(letter) || ";/?:@&=+$,.!~*'()[]%".contains(letter) => {}
                _ => break,
            }
            self.at += 1;
        }
        if verbatim && self.peek(0) == '>' {
            self.at += 1;
        }
        if gap(self.peek(0)) { Ok(()) } else { Err(Refused) }
    }
}
