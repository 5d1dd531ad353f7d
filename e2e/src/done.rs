//! A command that has ended: its exit code and what it said.

use std::process::Output;

use serde_json::Value;

/// What a command answered.
#[derive(Debug, Clone)]
pub struct Done {
    /// The command as it was given, for messages.
    pub line: String,
    /// Its exit code; 128 and the signal when a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Done {
    /// From what the process left.
    pub fn new(line: String, output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { line, code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "expected exit code {code} of {self}");
        self
    }

    /// Fails the test unless its standard output is this, but for space around it.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.trim() == text, "expected `{text}` from {self}");
        self
    }

    /// Fails the test unless its standard error has this in it.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected a complaint with `{text}` from {self}");
        self
    }

    /// Fails the test unless its standard output has this in it.
    #[track_caller]
    pub fn mentions(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "expected `{text}` in the output of {self}");
        self
    }

    /// Its standard output without the space around it.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let read = serde_json::from_str(&self.stdout);
        assert!(read.is_ok(), "expected JSON from {self}");
        read.unwrap_or_default()
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, stdout, stderr } = self;
        write!(f, "`{line}`\n  code: {code}\n  stdout: {stdout}\n  stderr: {stderr}")
    }
}
