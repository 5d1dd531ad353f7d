//! The terminal of the person: its size, and its raw mode while a program in a container has it.

use std::io::{self, IsTerminal};

use base::{Kind, Report};
use rustix::termios::{self, OptionalActions, Termios};

/// Whether standard input is a terminal.
pub(crate) fn is_input() -> bool {
    io::stdin().is_terminal()
}

/// Whether standard output is a terminal.
pub(crate) fn is_output() -> bool {
    io::stdout().is_terminal()
}

/// Why a terminal cannot be given to a program that is to be typed to.
pub(crate) fn no_terminal() -> Report {
    Report::new(Kind::Conflict, "the input device is not a terminal")
        .hint("leave `-t` out where the input comes from a pipe or a file")
}

/// Rows and columns of the terminal, if there is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_row, size.ws_col))
}

/// What is typed is not shown, until it is dropped.
pub(crate) struct Hidden {
    before: Termios,
}

impl Hidden {
    /// None if standard input is no terminal.
    pub(crate) fn begin() -> Option<Self> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(termios::LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Drain, &hidden).ok()?;
        Some(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nothing to do about a terminal that has gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Raw mode, until it is dropped.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Every key goes to the program; none if standard input is no terminal.
    pub(crate) fn begin() -> Option<Self> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Drain, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nothing to do about a terminal that has gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}
