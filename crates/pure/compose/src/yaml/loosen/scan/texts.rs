//! The walk over one value: a block of text, one in quotes, or words without.

use super::super::{COLON, DASH, DOT};
use super::values::{Block, joined};
use super::{Change, Refused, Walk, blank, bracket_or_comma, gap, line_break, wide_break};

impl Walk {
    /// A block of text, with what says how to read it.
    pub(super) fn block(&mut self) -> Result<(), Refused> {
        self.no_key()?;
        self.key_allowed = true;
        let start = self.at;
        self.at += 1;
        let is_chomping = |letter| matches!(letter, '+' | '-');
        let first = is_chomping(self.peek(0));
        self.at += usize::from(first);
        let increment = self.peek(0).to_digit(10);
        self.at += usize::from(increment.is_some());
        self.at += usize::from(!first && is_chomping(self.peek(0)));
        let mut block = Block::new(&self.letters[start..self.at]);
        if increment == Some(0) {
            return Err(Refused);
        }
        while blank(self.peek(0)) {
            self.at += 1;
        }
        if self.peek(0) == '#' {
            self.comment();
        }
        if !gap(self.peek(0)) {
            return Err(Refused);
        }
        if line_break(self.peek(0)) {
            self.line();
        }
        let indent = increment.map(|width| self.indent.max(0) + width as isize);
        let lines = self.at;
        self.block_lines(indent, &mut block)?;
        if self.letters[lines..self.at].iter().any(|letter| wide_break(*letter)) {
            self.values.push((start..=self.at, block.end()));
        }
        Ok(())
    }

    fn block_lines(&mut self, indent: Option<isize>, block: &mut Block) -> Result<(), Refused> {
        let widest = self.block_gaps(indent, block)?;
        let indent = indent.unwrap_or(widest.max(self.indent + 1).max(1));
        while self.column() == indent && self.at < self.letters.len() {
            let from = self.at;
            self.rest_of_line();
            block.line(&self.letters[from..self.at], self.peek(0));
            if self.at < self.letters.len() {
                self.line();
            }
            self.block_gaps(Some(indent), block)?;
        }
        // A comment ends it too, which the parser takes for one only further to the left.
        if self.column() > self.indent.max(0) && self.peek(0) == '#' {
            self.changes.push((self.begin, Change::Sign('#')));
        }
        Ok(())
    }

    /// Over the spaces before a line of a block and over its empty lines; the widest column on the way.
    fn block_gaps(&mut self, indent: Option<isize>, block: &mut Block) -> Result<isize, Refused> {
        let mut widest = 0;
        loop {
            let inside = |walk: &Self| indent.is_none_or(|indent| walk.column() < indent);
            while inside(self) && self.peek(0) == ' ' {
                self.at += 1;
            }
            widest = widest.max(self.column());
            if inside(self) && self.peek(0) == '\t' {
                return Err(Refused);
            }
            if !line_break(self.peek(0)) {
                return Ok(widest);
            }
            block.empty_line(self.peek(0));
            self.line();
        }
    }

    pub(super) fn quoted(&mut self, quote: char) -> Result<(), Refused> {
        self.may_be_key()?;
        self.at += 1;
        let start = self.at;
        loop {
            if self.at >= self.letters.len() || (self.column() == 0 && self.marker()) {
                return Err(Refused);
            }
            let (letter, next) = (self.peek(0), self.peek(1));
            match letter {
                '\\' if quote == '"' && line_break(next) => {
                    self.at += 1;
                    self.inner_line();
                }
                '\\' if quote == '"' && next == '\'' => {
                    self.at += 1;
                    self.change(Change::Before("x2"));
                    self.change(Change::Sign('7'));
                    self.at += 1;
                }
                '\\' if quote == '"' => self.at += 2,
                '\'' if quote == '\'' && next == '\'' => self.at += 2,
                _ if letter == quote => break,
                _ if line_break(letter) => self.inner_line(),
                _ => self.at += 1,
            }
        }
        if self.letters[start..self.at].iter().any(|letter| wide_break(*letter)) {
            let value = joined(&self.letters[start..self.at], Some(quote));
            self.values.push((start - 1..=start, value));
        }
        self.at += 1;
        self.closed = true;
        Ok(())
    }

    /// A word without quotes, or several, on one line or more.
    pub(super) fn plain(&mut self) -> Result<(), Refused> {
        self.may_be_key()?;
        let mut lines = false;
        let (start, mut end) = (self.at, self.at);
        while self.peek(0) != '#' && !(self.column() == 0 && self.marker()) {
            let from = self.at;
            self.word();
            lines &= self.at == from;
            end = if self.at == from { end } else { self.at };
            if !blank(self.peek(0)) && !line_break(self.peek(0)) {
                break;
            }
            lines |= self.word_gaps(lines)?;
            if !self.flow() && self.column() <= self.indent {
                break;
            }
        }
        self.key_allowed = lines;
        let letters = &self.letters[start..end];
        if letters.iter().any(|letter| wide_break(*letter)) {
            self.values.push((start..=start, joined(letters, None)));
        }
        Ok(())
    }

    /// Over what stands between words; whether line breaks do, here or before.
    fn word_gaps(&mut self, mut lines: bool) -> Result<bool, Refused> {
        loop {
            let letter = self.peek(0);
            if line_break(letter) {
                lines = true;
                if self.flow() { self.inner_line() } else { self.line() }
            } else if lines && letter == '\t' && self.column() <= self.indent {
                return Err(Refused);
            } else if blank(letter) {
                self.at += 1;
            } else {
                return Ok(lines);
            }
        }
    }

    /// Over letters without a gap.
    fn word(&mut self) {
        let flow = self.flow();
        let next = self.peek(1);
        if self.column() > 0 && self.marker() {
            self.change(Change::Sign(if self.peek(0) == '-' { DASH } else { DOT }));
        } else if flow && self.peek(0) == '-' && bracket_or_comma(next) {
            self.change(Change::Sign(DASH));
        }
        while !gap(self.peek(0)) && !self.ends_word() {
            if flow && self.peek(0) == ':' && bracket_or_comma(self.peek(1)) {
                self.change(Change::Sign(COLON));
            }
            self.at += 1;
        }
    }

    /// Whether the letter here ends a word before it.
    fn ends_word(&self) -> bool {
        let letter = self.peek(0);
        (letter == ':' && gap(self.peek(1))) || (self.flow() && (letter == '?' || bracket_or_comma(letter)))
    }
}
