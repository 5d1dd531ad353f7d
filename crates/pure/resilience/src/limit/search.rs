//! The search of [`Algorithm::Vegas`](super::Algorithm::Vegas): how long calls take when none waits, and whether they wait
//! now.

use std::time::Duration;

/// Before the limit is raised again, at most so many windows pass.
const LONGEST_HOLD: u32 = 32;
/// A raised limit that cannot be judged by so many windows is taken for good.
const UNDECIDED: u32 = 8;
/// Times differ by this share of themselves for other reasons.
const SLACK: f64 = 0.02;
/// Chance is believed up to so many standard errors.
const ERRORS: f64 = 3.0;
/// A step is at least this share of the limit, as less would not be seen.
const LEAST_STEP: f64 = 0.06;
/// Below this share of the limit, cuts must have made calls faster.
const HELPS: f64 = 0.7;
/// Where times vary, somebody has to wait lest nobody is there when a call ends early: by their variation and the square
/// root of the limit.
const SPARE: f64 = 1.0;
/// Of calm windows the last so many calls count.
const CALM_KEPT: u32 = 200;
/// Of measures without waiting, the last so many before the newest count.
const MEASURES_KEPT: u32 = 4;

/// Times of calls, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    count: u32,
    sum: f64,
    squares: f64,
}

impl Times {
    pub(super) fn note(&mut self, time: Duration) {
        let nanos = time.as_nanos() as f64;
        self.count += 1;
        self.sum += nanos;
        self.squares += nanos * nanos;
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Of at least one.
    pub(super) fn mean(&self) -> f64 {
        self.sum / f64::from(self.count)
    }

    /// The square of the mean's standard error.
    fn doubt(&self) -> f64 {
        let count = f64::from(self.count);
        (self.squares / count - self.mean().powi(2)).max(0.0) / count
    }

    fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
        }
    }

    /// With the weight of no more calls than that.
    fn aged(self, most: u32) -> Self {
        let share = (f64::from(most) / f64::from(self.count)).min(1.0);
        let count = self.count.min(most);
        Self { count, sum: self.sum * share, squares: self.squares * share }
    }

    /// The standard deviation, of the mean.
    fn variation(self) -> f64 {
        (self.doubt() * f64::from(self.count)).sqrt() / self.mean()
    }

    /// By so much the means may differ without a reason.
    fn chance(self, other: Self) -> f64 {
        ERRORS * (self.doubt() + other.doubt()).sqrt() + SLACK * other.mean()
    }

    fn is_like(self, other: Self) -> bool {
        (self.mean() - other.mean()).abs() <= self.chance(other)
    }
}

/// What becomes of the limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Move {
    Stay,
    To(f64),
    /// The time without waiting has to be measured.
    Probe,
}

/// What is known, and what is being tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    samples: u32,
    /// Calls that did not wait.
    baseline: Option<Times>,
    /// No call has waited so far, so the limit may grow by leaps.
    starting: bool,
    /// Calls since the limit last moved.
    run: Times,
    /// By so much the limit was raised last, while it is not known whether that was right.
    step: Option<f64>,
    /// Windows that pass before it is raised again, and those that have.
    hold: u32,
    held: u32,
    /// The limit and the mean time before the last cuts, while it is not known whether they have helped.
    cut: Option<(f64, f64)>,
}

impl Search {
    pub(super) fn new(samples: u32) -> Self {
        let run = Times::default();
        Self { samples, baseline: None, starting: true, run, step: None, hold: 1, held: 0, cut: None }
    }

    /// How long a call takes when none waits.
    pub(super) fn baseline(&self) -> Option<f64> {
        self.baseline.map(|times| times.mean())
    }

    /// The limit moves for other reasons.
    pub(super) fn forget(&mut self) {
        (self.run, self.step, self.held, self.cut) = (Times::default(), None, 0, None);
    }

    /// A window in which none waited.
    pub(super) fn calm(&mut self, times: Times) {
        self.baseline = Some(self.baseline.map_or(times, |before| before.aged(CALM_KEPT).and(times)));
        self.forget();
    }

    /// The time without waiting was measured; whether it is much shorter than what was taken for it. Measures that differ
    /// by chance only are taken together.
    pub(super) fn measured(&mut self, times: Times) -> bool {
        let before = self.baseline.filter(|before| before.is_like(times));
        let known = before.map_or(times, |before| before.aged(MEASURES_KEPT * self.samples).and(times));
        let before = self.baseline.replace(known);
        self.forget();
        before.is_some_and(|before| known.mean() < 0.9 * before.mean())
    }

    /// Takes in a window of calls under this limit, of which so many were in flight at once.
    pub(super) fn next(&mut self, times: Times, peak: u32, limit: f64) -> Move {
        self.run = self.run.and(times);
        let mean = self.run.mean();
        let mut base = *self.baseline.get_or_insert(self.run);
        if mean < base.mean() && !self.run.is_like(base) {
            // The service has become faster.
            base = self.run;
            self.baseline = Some(base);
        }
        let (late, chance) = (mean - base.mean(), self.run.chance(base));
        // So many may wait, and so much longer does a call take then.
        let spare = SPARE * base.variation() * limit.sqrt();
        let free = base.mean() * spare / limit;
        let log = limit.log10().max(1.0);
        let used = limit.min(f64::from(peak));
        let waiting = used * late / mean;
        if self.starting {
            if waiting <= log {
                self.run = Times::default();
                return Move::To(limit + 6.0 * log);
            }
            self.starting = false;
            return Move::Probe;
        }
        if late > chance + free {
            // No more than is certain.
            let certain = used * (late - chance - free) / mean;
            return self.fall(limit, used - certain.max(1.0));
        }
        self.rise(limit, log.max(LEAST_STEP * limit), (late + chance - free, base.mean()))
    }

    /// Calls wait.
    fn fall(&mut self, limit: f64, to: f64) -> Move {
        let run = std::mem::take(&mut self.run);
        let mean = run.mean();
        let (top, time) = *self.cut.get_or_insert((limit, mean));
        // Where calls wait, their time follows the limit.
        if limit < HELPS * top && mean > time * f64::midpoint(1.0, limit / top) {
            self.cut = None;
            self.baseline = Some(run);
            (self.step, self.hold, self.held) = (None, 1, 0);
            return Move::To(top);
        }
        if self.step.take().is_some() {
            self.put_off();
        }
        self.held = 0;
        Move::To(to.min(limit - 1.0))
    }

    /// Another try is made later.
    fn put_off(&mut self) {
        self.hold = (self.hold * 2).min(LONGEST_HOLD);
    }

    /// None waits, as far as that can be seen; at most so much longer do they take.
    fn rise(&mut self, limit: f64, least: f64, (most, base): (f64, f64)) -> Move {
        let step = match self.step {
            Some(step) => {
                // If all that was let in beyond before waited, it would be this.
                let all = base * step / limit;
                if most <= all / 2.0 {
                    self.hold = 1;
                    step * 2.0
                } else if self.run.count < UNDECIDED * self.samples {
                    return Move::Stay;
                } else {
                    self.put_off();
                    (self.run, self.step) = (Times::default(), None);
                    return Move::Stay;
                }
            }
            None => {
                self.held += 1;
                if self.held < self.hold {
                    return Move::Stay;
                }
                least
            }
        };
        (self.run, self.held, self.step) = (Times::default(), 0, Some(step));
        self.cut = self.cut.filter(|(top, _)| limit + step <= *top);
        Move::To(limit + step)
    }
}
