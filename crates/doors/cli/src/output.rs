//! How a command ends badly: the report, for people or for programs.

use std::io::Write;

use base::Report;

/// Prints a report on standard error.
pub fn print_report(report: &Report, json: bool) {
    let text =
        if json { serde_json::json!({ "error": report }).to_string() } else { format!("error: {report}") };
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a line on standard output. A reader that went away ends the program quietly, as `head` expects.
pub(crate) fn say(line: impl std::fmt::Display) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Prints text on standard output as it is.
pub(crate) fn say_text(text: &str) {
    if std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints a line on standard error: progress, warnings, remarks.
pub(crate) fn note(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a line of a stream for programs.
pub(crate) fn say_json_line(line: &impl serde::Serialize) {
    match serde_json::to_string(line) {
        Ok(text) => say(text),
        Err(error) => note(format!("error: the answer cannot be printed: {error}")),
    }
}

/// Prints a document for programs.
pub(crate) fn say_json(document: &impl serde::Serialize) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => say(text),
        Err(error) => note(format!("error: the answer cannot be printed: {error}")),
    }
}
