//! Dockerfiles as BuildKit's frontend reads them: text to instructions with lines, without any I/O.
//!
//! A text becomes logical lines (`source`), a line becomes a [`Command`] (`instruction` and its neighbours). Variables
//! stay as written: their values depend on the stage, so whoever builds expands them with [`expand`].

mod command;
mod error;
pub mod expand;
mod flags;
mod health;
mod instruction;
mod near;
mod pattern;
mod source;
mod transfer;
mod words;

pub use command::{
    ArgItem, Command, Form, Health, Healthcheck, Heredoc, Instruction, MountField, MountFlag, Onbuild, Pair,
    Run, Span, Transfer, TransferFlags,
};
pub use error::{Fault, ParseError, excerpt};
pub(crate) use near::nearest;
pub use words::quoted_list;

/// A Dockerfile that makes sense by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The parser directives at its top.
    pub directives: Directives,
    /// Its instructions, in order.
    pub instructions: Vec<Instruction>,
    /// The last lines of instructions that have an empty line inside, which will be an error one day.
    pub gaps: Vec<u32>,
}

/// The parser directives at the top of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// The frontend that was asked for; ours reads the file whatever it says.
    pub syntax: Option<String>,
    /// What escapes a character and continues a line: `\` or a backquote.
    pub escape: char,
    /// Which checks are skipped or asked for, and whether what they find fails the build.
    pub check: Option<String>,
}

/// The longest Dockerfile that is read, in bytes.
pub const MAX_SIZE_BYTES: usize = 4 << 20;

/// Reads a Dockerfile.
pub fn parse(text: &str) -> Result<Dockerfile, ParseError> {
    if text.len() > MAX_SIZE_BYTES {
        return Err(ParseError::at(
            Span::line(1),
            text,
            Fault::TooLong { bytes: text.len(), limit: MAX_SIZE_BYTES },
        ));
    }
    let read = source::read(text).map_err(|(span, fault)| ParseError::at(span, text, fault))?;
    let mut instructions = Vec::with_capacity(read.lines.len());
    for line in read.lines {
        let span = line.span;
        let one = instruction::parse(line, read.directives.escape)
            .map_err(|fault| ParseError::at(span, text, fault))?;
        instructions.push(one);
    }
    check_order(&instructions).map_err(|(span, fault)| ParseError::at(span, text, fault))?;
    Ok(Dockerfile { directives: read.directives, instructions, gaps: read.gaps })
}

/// A Dockerfile has at least one stage, and only ARG stands before the first.
fn check_order(instructions: &[Instruction]) -> Result<(), (Span, Fault)> {
    let first = instructions.iter().find(|one| !matches!(one.command, Command::Arg(_)));
    match first {
        None => Err((Span::line(1), Fault::NoStage)),
        Some(one) if matches!(one.command, Command::From { .. }) => Ok(()),
        Some(one) => Err((one.span, Fault::BeforeFrom { instruction: one.command.name() })),
    }
}

/// Reads the text of an `ONBUILD` trigger, as a base image's configuration keeps it.
pub fn parse_trigger(text: &str) -> Result<Instruction, ParseError> {
    let fail = |span, fault| ParseError::at(span, text, fault);
    let read = source::read(text).map_err(|(span, fault)| fail(span, fault))?;
    let mut lines = read.lines.into_iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => {
            let span = line.span;
            instruction::parse(line, read.directives.escape).map_err(|fault| fail(span, fault))
        }
        (None, _) => Err(fail(Span::line(1), Fault::NoStage)),
        (Some(_), Some(second)) => Err(fail(second.span, Fault::OneTrigger)),
    }
}

#[cfg(test)]
mod tests;
