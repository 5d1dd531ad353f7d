//! A chore as a row of stages, each timed, each obliged to have done something.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How much a stage did, and in which unit; none of it is a failure.
pub(crate) struct Did(pub(crate) usize, pub(crate) &'static str);

/// Runs stages and keeps what they took.
#[derive(Default)]
pub(crate) struct Stages {
    lines: Vec<String>,
}

impl Stages {
    /// Runs one stage. It fails when the work fails, and when there was no work.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> Result<Did>) -> Result<()> {
        eprintln!("── {name}");
        let (took, done) = timed(work);
        let Did(amount, unit) =
            done.with_context(|| format!("stage `{name}` failed after {}", shown(took)))?;
        ensure!(
            amount > 0,
            "stage `{name}` had nothing to do: 0 {unit}; a check that checks nothing is broken"
        );
        let line = format!("{name:<10} {amount:>6} {unit:<12} {:>9}", shown(took));
        eprintln!("── {line}");
        self.lines.push(line);
        Ok(())
    }

    /// The table of what was done, on stdout.
    pub(crate) fn finish(self) {
        crate::print(&format!("\n{}\n", self.lines.join("\n")));
    }
}

/// Runs the work and says how long it took.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let before = std::time::Instant::now();
    let result = work();
    (before.elapsed(), result)
}

fn shown(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
