//! The shape of files and functions: headers, lengths, depth, parameters.

use crate::tidy::Offence;
use crate::tidy::source::{Function, Source};

/// Lines of any sort.
const FILE_LINES: usize = 800;
/// Lines with code on them.
const FUNCTION_LINES: usize = 70;
/// Braces within braces, in the body.
const DEPTH: usize = 5;
/// With `self`.
const PARAMETERS: usize = 6;

/// What is wrong with the shape of this file.
pub(crate) fn offences(source: &Source) -> Vec<Offence> {
    let mut found = Vec::new();
    let mut offend = |line: usize, rule, advice| {
        found.push(Offence { file: source.path.to_owned(), line, rule, advice });
    };
    if !source.has_header() {
        offend(1, "header", "open the file with a `//!` comment that says what it owns or does".to_owned());
    }
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        let advice = format!("{lines} lines, at most {FILE_LINES}; move a part of it into a file of its own");
        offend(FILE_LINES + 1, "file length", advice);
    }
    for function in source.functions() {
        for (rule, advice) in of_function(&function) {
            offend(function.line + 1, rule, advice);
        }
    }
    found
}

fn of_function(function: &Function) -> Vec<(&'static str, String)> {
    let Function { name, code, depth, parameters, .. } = *function;
    let mut found = Vec::new();
    if code > FUNCTION_LINES {
        let advice = format!(
            "`{name}` has {code} lines of code, at most {FUNCTION_LINES}; move straight work into helpers"
        );
        found.push(("function length", advice));
    }
    if depth > DEPTH {
        let advice =
            format!("`{name}` nests {depth} deep, at most {DEPTH}; return early, or name the inner part");
        found.push(("nesting", advice));
    }
    if parameters > PARAMETERS {
        let advice =
            format!("`{name}` takes {parameters} parameters, at most {PARAMETERS}; group them in a struct");
        found.push(("parameters", advice));
    }
    found
}

#[cfg(test)]
mod tests;
