//! How a build is shown while it goes on: line by line, or what runs now with its last lines under it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal, Write};
use std::time::Duration;

use base::{Bytes, Clock, Instant, SystemClock};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use talk::BuildEvent;

use crate::args::ProgressMode;
use crate::output::note;

/// So many of its last lines are shown under a step that runs.
const LAST_LINES: usize = 6;
/// The longest line that is kept whole.
const LINE: usize = 16 << 10;

/// How a build is shown.
pub(super) enum Show {
    Nothing,
    Json,
    Lines(Lines),
    Live(Live),
}

impl Show {
    /// As asked for; `auto` looks where progress goes.
    pub(super) fn new(mode: ProgressMode) -> Self {
        let terminal = std::io::stderr().is_terminal();
        match mode {
            ProgressMode::Quiet => Self::Nothing,
            ProgressMode::Rawjson => Self::Json,
            ProgressMode::Plain => Self::Lines(Lines::default()),
            ProgressMode::Auto if !terminal => Self::Lines(Lines::default()),
            ProgressMode::Tty | ProgressMode::Auto => Self::Live(Live::new()),
        }
    }

    /// Shows an event.
    pub(super) fn event(&mut self, event: &BuildEvent) {
        let now = SystemClock.now();
        match self {
            Self::Nothing => {}
            Self::Json => {
                if let Ok(text) = serde_json::to_string(event) {
                    note(text);
                }
            }
            Self::Lines(lines) => {
                let mut stderr = std::io::stderr().lock();
                for line in lines.event(event, now) {
                    // Nobody is left to tell when standard error is gone.
                    let _ = writeln!(stderr, "{line}");
                }
            }
            Self::Live(live) => live.event(event, now),
        }
    }
}

/// A step as it is shown.
struct Seen {
    title: String,
    /// Its place among those that are shown, once it is.
    number: Option<usize>,
    began: Instant,
    /// What it said since its last end of line.
    part: String,
    /// Its last lines.
    last: VecDeque<String>,
    moved: Option<String>,
}

impl Seen {
    fn new(title: &str, now: Instant) -> Self {
        Self {
            title: title.to_owned(),
            number: None,
            began: now,
            part: String::new(),
            last: VecDeque::new(),
            moved: None,
        }
    }

    /// The lines that are whole now.
    fn lines(&mut self, text: &str) -> Vec<String> {
        self.part.push_str(text);
        let mut whole = Vec::new();
        while let Some(end) = self.part.find('\n') {
            let line: String = self.part.drain(..=end).collect();
            whole.push(visible(&line));
        }
        if self.part.len() > LINE {
            whole.push(visible(&std::mem::take(&mut self.part)));
        }
        whole
    }

    /// What is left when it ends.
    fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.part);
        (!rest.is_empty()).then(|| visible(&rest))
    }
}

/// What a terminal would show in the end of a line that was written over.
fn visible(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    line.rsplit('\r').next().unwrap_or(line).to_owned()
}

fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

/// Line by line, as BuildKit's plain progress has it: `#5 [2/7] RUN make`, `#5 0.231 output`, `#5 DONE 0.4s`.
#[derive(Default)]
pub(super) struct Lines {
    steps: BTreeMap<usize, Seen>,
    shown: usize,
}

impl Lines {
    fn event(&mut self, event: &BuildEvent, now: Instant) -> Vec<String> {
        match event {
            BuildEvent::Bounds { memory, cpu_shares } => bounds(*memory, *cpu_shares).into_iter().collect(),
            BuildEvent::Step { step, title, files, .. } => {
                self.steps.insert(*step, Seen::new(title, now));
                if *files { self.show(*step).1 } else { Vec::new() }
            }
            BuildEvent::Output { step, text, .. } => {
                let (number, mut lines) = self.show(*step);
                let Some(seen) = self.steps.get_mut(step) else { return lines };
                let at = now.since(seen.began).as_secs_f64();
                lines.extend(seen.lines(text).into_iter().map(|line| format!("#{number} {at:.3} {line}")));
                lines
            }
            BuildEvent::Moved { step, what, bytes, of, done } => {
                if !done {
                    return Vec::new();
                }
                let (number, mut lines) = self.show(*step);
                lines.push(format!("#{number} {}", moved(what, *bytes, *of)));
                lines
            }
            BuildEvent::Cached { step } => self.end(*step, now, |_| "CACHED".into()),
            BuildEvent::Done { step, .. } => self.end(*step, now, |time| format!("DONE {}", seconds(time))),
            BuildEvent::Broken { step, why } => {
                // Also one that only changes settings is worth a word now.
                let (_, mut lines) = self.show(*step);
                lines.extend(self.end(*step, now, |_| format!("ERROR: {why}")));
                lines
            }
            BuildEvent::Warning { line, text } => vec![warning(*line, text)],
            BuildEvent::Built { .. } | BuildEvent::Failed { .. } => Vec::new(),
        }
    }

    /// The step's number among those that are shown, and its title if it is new among them.
    fn show(&mut self, step: usize) -> (usize, Vec<String>) {
        let Some(seen) = self.steps.get_mut(&step) else { return (0, Vec::new()) };
        if let Some(number) = seen.number {
            return (number, Vec::new());
        }
        self.shown += 1;
        seen.number = Some(self.shown);
        let gap = (self.shown > 1).then(String::new);
        (self.shown, gap.into_iter().chain([format!("#{} {}", self.shown, seen.title)]).collect())
    }

    fn end(&mut self, step: usize, now: Instant, how: impl FnOnce(Duration) -> String) -> Vec<String> {
        let Some(mut seen) = self.steps.remove(&step) else { return Vec::new() };
        let Some(number) = seen.number else { return Vec::new() };
        let time = now.since(seen.began);
        let rest = seen.rest().map(|line| format!("#{number} {:.3} {line}", time.as_secs_f64()));
        rest.into_iter().chain([format!("#{number} {}", how(time))]).collect()
    }
}

fn bounds(memory: Option<Bytes>, cpu_shares: Option<u64>) -> Option<String> {
    let memory = memory.map(|memory| format!("{memory} of memory together (`--memory`)"));
    let weight = cpu_shares.map(|shares| format!("a processor weight of {shares} of 1024 (`--cpu-shares`)"));
    let said: Vec<String> = memory.into_iter().chain(weight).collect();
    (!said.is_empty()).then(|| format!("commands have {}", said.join(", and ")))
}

fn warning(line: u32, text: &str) -> String {
    if line == 0 { format!("warning: {text}") } else { format!("warning: line {line}: {text}") }
}

fn moved(what: &str, bytes: u64, of: Option<u64>) -> String {
    match of.filter(|of| *of != bytes) {
        Some(of) => format!("{what} {} of {}", Bytes(bytes), Bytes(of)),
        None => format!("{what} {}", Bytes(bytes)),
    }
}

/// What runs now, with its last lines under it; what is over scrolls away above.
pub(super) struct Live {
    bars: MultiProgress,
    steps: BTreeMap<usize, (Seen, bool, Option<ProgressBar>)>,
    colour: bool,
    width: usize,
}

impl Live {
    fn new() -> Self {
        let width = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col.max(20));
        Self {
            bars: MultiProgress::new(),
            steps: BTreeMap::new(),
            colour: std::env::var_os("NO_COLOR").is_none(),
            width: width.into(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&self, text: String) {
        // The terminal may have gone; then nobody reads this.
        let _ = self.bars.println(text);
    }

    fn event(&mut self, event: &BuildEvent, now: Instant) {
        match event {
            BuildEvent::Bounds { memory, cpu_shares } => {
                if let Some(text) = bounds(*memory, *cpu_shares) {
                    self.line(self.paint("2", &text));
                }
            }
            BuildEvent::Step { step, title, files, .. } => {
                self.steps.insert(*step, (Seen::new(title, now), *files, None));
                self.redraw(*step);
            }
            BuildEvent::Output { step, text, .. } => {
                if let Some((seen, shown, _)) = self.steps.get_mut(step) {
                    *shown = true;
                    for line in seen.lines(text) {
                        seen.last.push_back(line);
                        if seen.last.len() > LAST_LINES {
                            seen.last.pop_front();
                        }
                    }
                }
                self.redraw(*step);
            }
            BuildEvent::Moved { step, what, bytes, of, .. } => {
                if let Some((seen, ..)) = self.steps.get_mut(step) {
                    seen.moved = Some(moved(what, *bytes, *of));
                }
                self.redraw(*step);
            }
            BuildEvent::Cached { step } => self.end(*step, |_| ("2", "=".into(), "cached".into())),
            BuildEvent::Done { step, took_ms } => {
                let time = Duration::from_millis(*took_ms);
                self.end(*step, |_| ("32", "\u{2713}".into(), seconds(time)));
            }
            BuildEvent::Broken { step, why } => {
                if let Some((_, shown, _)) = self.steps.get_mut(step) {
                    *shown = true;
                }
                self.end(*step, |_| ("31", "\u{2717}".into(), why.clone()));
            }
            BuildEvent::Warning { line, text } => {
                let text = warning(*line, text);
                self.line(self.paint("33", &text));
            }
            BuildEvent::Built { .. } | BuildEvent::Failed { .. } => {
                self.steps.clear();
                // As above.
                let _ = self.bars.clear();
            }
        }
    }

    /// Draws a step that runs anew.
    fn redraw(&mut self, step: usize) {
        let width = self.width.saturating_sub(4);
        let Some((seen, true, bar)) = self.steps.get_mut(&step) else { return };
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(width).collect::<String>();
        let mut text = cut(&seen.title);
        for line in seen.moved.iter().chain(&seen.last) {
            text.push_str("\n    ");
            text.push_str(&cut(line));
        }
        let bars = &self.bars;
        let bar = bar.get_or_insert_with(|| {
            let style =
                ProgressStyle::with_template("{spinner} {msg}").unwrap_or(ProgressStyle::default_spinner());
            let bar = bars.add(ProgressBar::new_spinner().with_style(style));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(text);
    }

    fn end(&mut self, step: usize, how: impl FnOnce(&Seen) -> (&'static str, String, String)) {
        let Some((seen, shown, bar)) = self.steps.remove(&step) else { return };
        if let Some(bar) = bar {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        if shown {
            let (colour, sign, word) = how(&seen);
            self.line(format!("{} {} {}", self.paint(colour, &sign), seen.title, self.paint("2", &word)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::time::Instant;

    #[test]
    fn plain_lines_name_their_step_even_when_steps_run_together() {
        let mut lines = Lines::default();
        let begin = Instant::from_secs(0);
        let mut now = begin;
        let mut shown = Vec::new();
        let mut tell = |event: BuildEvent, after_ms: u64| {
            now = now + Duration::from_millis(after_ms);
            shown.extend(lines.event(&event, now));
        };
        let step = |step, title: &str, files| BuildEvent::Step { step, title: title.into(), files, line: 1 };
        let says = |step, text: &str| BuildEvent::Output { step, stderr: false, text: text.into() };
        tell(BuildEvent::Bounds { memory: Some(Bytes(1 << 30)), cpu_shares: Some(256) }, 0);
        tell(step(1, "[internal] load build context", true), 0);
        let what = "transferring context:".to_owned();
        tell(BuildEvent::Moved { step: 1, what, bytes: 2048, of: None, done: true }, 10);
        tell(BuildEvent::Done { step: 1, took_ms: 10 }, 0);
        tell(step(2, "[a] ENV A=1", false), 0);
        tell(BuildEvent::Done { step: 2, took_ms: 0 }, 0);
        tell(step(3, "[a 2/2] RUN one", true), 0);
        tell(step(5, "[b 2/2] RUN two", true), 0);
        tell(says(3, "half"), 231);
        tell(says(5, "10%\r100%\nx\n"), 0);
        tell(says(3, " whole\nend"), 100);
        tell(BuildEvent::Warning { line: 3, text: "odd".into() }, 0);
        tell(BuildEvent::Done { step: 3, took_ms: 400 }, 69);
        tell(BuildEvent::Cached { step: 5 }, 0);
        tell(step(6, "[b] USER $X", false), 0);
        tell(BuildEvent::Broken { step: 6, why: "no".into() }, 0);
        expect_test::expect![[r#"
            commands have 1.0 GiB of memory together (`--memory`), and a processor weight of 256 of 1024 (`--cpu-shares`)
            #1 [internal] load build context
            #1 transferring context: 2.0 KiB
            #1 DONE 0.0s

            #2 [a 2/2] RUN one

            #3 [b 2/2] RUN two
            #3 0.231 100%
            #3 0.231 x
            #2 0.331 half whole
            warning: line 3: odd
            #2 0.400 end
            #2 DONE 0.4s
            #3 CACHED

            #4 [b] USER $X
            #4 ERROR: no"#]].assert_eq(&shown.join("\n"));
    }
}
