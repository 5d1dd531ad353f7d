//! The search of [`Algorithm::Vegas`](super::Algorithm::Vegas): how long calls take when none waits, and whether they wait
//! now. Limits are in calls, times in nanoseconds, and what is held or counted in cohorts.

use std::time::Duration;

use base::Instant;

use super::rounds::{self, Rounds};

/// After a step that was too much, so many cohorts pass before the next, and at most so many after several.
const FIRST_HOLD: u32 = 16;
const LONGEST_HOLD: u32 = 32;
/// It is clear that calls wait once they have been late by so many standard deviations altogether. One call says so much at
/// most, and each is allowed to be late by so much.
const CLEAR: f64 = 16.0;
const MOST_EVIDENCE: f64 = 12.0;
const DRIFT: f64 = 1.0;
/// Who waits takes longer by steps, for those before him waited too. A call that takes longer than the one before it by more
/// than so many times the usual is slow by itself, and says no more than this.
const JUMP: f64 = 1.5;
const JUMP_EVIDENCE: f64 = 3.0;
/// Calls that vary by no more than this share of their mean are all alike.
const ALL_ALIKE: f64 = 0.05;
/// A raised limit that cannot be judged by so many cohorts is taken for good.
const UNDECIDED: u32 = 8;
/// Times differ by this share of themselves for other reasons.
const SLACK: f64 = 0.05;
/// And hardly ever by less.
const LEAST_VARIATION: f64 = 0.02;
/// Chance is believed up to so many standard errors.
const ERRORS: f64 = 3.0;
/// A step is at least this share of the limit, as less would not be seen.
const LEAST_STEP: f64 = 0.1;
/// Below this share of the limit, cuts must have made calls faster.
const HELPS: f64 = 0.7;
/// What takes so many times as long takes much longer, whatever else is the reason for a little.
const MUCH: f64 = 1.25;
/// What was measured so many cohorts ago at most still holds for small differences.
const FRESH: u32 = 16;
/// A shorter time than before the cuts is at most this share of it.
const SHORTER: f64 = 0.95;
/// With this share of the limit in use from the beginning on, a cohort's time is that under this limit.
const FULL: f64 = 0.8;
/// Where times vary, somebody has to wait lest nobody is there when a call ends early: by their variation and the square
/// root of the limit.
const SPARE: f64 = 1.0;
/// Of calm cohorts the last so many calls count.
const CALM_KEPT: u32 = 200;
/// So many calls tell of all where they vary by no more than this share of their mean.
pub(super) const FEW: u32 = 8;
const ALIKE: f64 = 0.1;
/// So many that are alike are believed to be all there is; of fewer, one in ten may take ten times as long.
const MANY: u32 = 40;
/// What was measured without waiting is taken for true for so long, though calls take longer now while few are in flight.
const TRUE_FOR: Duration = Duration::from_secs(60);
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

    pub(super) fn mean_or_zero(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.mean() }
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

    /// Whether so few of them tell of all, those that come home first included.
    pub(super) fn tell_of_all(&self, samples: u32) -> bool {
        self.are_alike() || (self.count > 0 && self.count >= samples / 2)
    }

    pub(super) fn are_alike(&self) -> bool {
        self.count >= FEW && self.variation() < ALIKE
    }

    /// Whether they are so alike, and so many, that one of another kind is likely to be among them if there are others.
    fn are_all_alike(&self, samples: u32) -> bool {
        self.count >= MANY.min(samples) && self.variation() < ALL_ALIKE
    }

    /// The standard deviation, of the mean.
    pub(super) fn variation(self) -> f64 {
        (self.doubt() * f64::from(self.count)).sqrt() / self.mean()
    }

    /// By so much the means may differ without a reason.
    fn chance(self, other: Self) -> f64 {
        ERRORS * (self.doubt() + other.doubt()).sqrt() + SLACK * other.mean()
    }

    /// The variance of one.
    fn one(self) -> f64 {
        self.doubt() * f64::from(self.count)
    }

    /// By so much the mean of so many of the like may differ without a reason, if all vary as these do.
    fn chance_of(self, count: u32) -> f64 {
        ERRORS * (self.one() / f64::from(count) + self.doubt()).sqrt() + SLACK * self.mean()
    }

    /// The same for these, if they vary as those do that vary more.
    fn chance_with(self, other: Self) -> f64 {
        let one = self.one().max(other.one());
        ERRORS * (one / f64::from(other.count) + self.doubt()).sqrt() + SLACK * self.mean()
    }

    /// The same if what is known here may come from too few calls to have seen how they vary.
    fn chance_if_few(self, other: Self) -> f64 {
        let one = self.one().max(other.one());
        let counts = 1.0 / f64::from(other.count) + 1.0 / f64::from(self.count);
        ERRORS * (one * counts).sqrt() + SLACK * self.mean()
    }

    /// Whether fewer or more of the like are likely to have taken this long. Few that are fast by chance are also alike by
    /// chance, so their own variation is not enough.
    fn is_like(self, other: Self) -> bool {
        (self.mean() - other.mean()).abs() <= self.chance_with(other)
    }

    /// The same if all vary as these do: others vary more where some of them wait.
    fn explains(self, other: Self) -> bool {
        (self.mean() - other.mean()).abs() <= self.chance_of(other.count)
    }

    /// Times of calls that were taken for those of such that do not wait, and these: what is known then. Where these are
    /// shorter and hardly vary, those waited.
    fn with(self, newer: Self, most: u32) -> Self {
        let clearer = newer.are_alike() && newer.count >= MANY.min(most) && newer.mean() < self.mean();
        if clearer || !self.is_like(newer) { newer } else { self.aged(most).and(newer) }
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

/// How far the search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No call has waited so far, so the limit may grow by leaps.
    Starting,
    /// Calls waited, and it is not known whether they still do.
    Settling,
    /// Calls do not wait, or did not when one more was let in.
    Settled,
}

/// What is known, and what is being tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    samples: u32,
    /// Calls that did not wait.
    baseline: Option<Times>,
    measured_at: Instant,
    /// It was not measured, but taken from the first calls there were.
    guessed: bool,
    /// It was measured once more, and took longer.
    longer: Option<Times>,
    /// Cohorts since it was measured under this load; none if it was not.
    age: Option<u32>,
    phase: Phase,
    /// How clear it is that calls wait, in standard deviations.
    evidence: f64,
    /// By so much the last call was late.
    late: f64,
    /// Calls that waited for the whole of another.
    rounds: Rounds,
    /// How much the last calls varied.
    spread: f64,
    /// Few calls without waiting were alike and shorter than what is known, so more are to tell.
    doubted: bool,
    /// Calls since the limit last moved.
    run: Times,
    /// By so much the limit was raised last, while it is not known whether that was right.
    step: Option<f64>,
    /// Windows that pass before it is raised again, and those that have.
    hold: u32,
    held: u32,
    /// The highest limit that was in full use with nobody waiting, while nothing says that this is no longer so.
    able: f64,
    /// The limit and the mean time before the last cuts, while it is not known whether they have helped.
    cut: Option<(f64, f64)>,
}

impl Search {
    pub(super) fn new(samples: u32) -> Self {
        let run = Times::default();
        Self {
            samples,
            baseline: None,
            measured_at: Instant(0),
            guessed: false,
            longer: None,
            age: None,
            phase: Phase::Starting,
            evidence: 0.0,
            late: 0.0,
            rounds: Rounds::default(),
            spread: 0.0,
            doubted: false,
            run,
            step: None,
            hold: 1,
            held: 0,
            able: 0.0,
            cut: None,
        }
    }

    /// How long a call takes when none waits.
    pub(super) fn baseline(&self) -> Option<f64> {
        self.baseline.map(|times| times.mean())
    }

    /// What hardly any call exceeds when none waits.
    pub(super) fn longest(&self) -> Option<Duration> {
        let base = self.baseline?;
        Some(Duration::from_nanos((base.mean() * (1.0 + 2.0 * base.variation())) as u64))
    }

    /// So many calls tell the time without waiting well enough, under this limit.
    pub(super) fn samples_for(&self, limit: u32) -> u32 {
        if self.doubted {
            return self.samples;
        }
        let variation = self.baseline.map_or(1.0, Times::variation).max(self.spread);
        ((variation * 10.0).powi(2) as u32).clamp(limit.max(8).min(self.samples), self.samples)
    }

    /// Calls of a cohort: fewer where the limit has just been cut, lest it stays too low for long.
    pub(super) fn wanted(&self, limit: u32) -> u32 {
        match self.phase {
            Phase::Settling => self.samples_for(2 * limit),
            Phase::Starting | Phase::Settled => self.samples,
        }
        .max(2 * limit)
    }

    /// Hears of one call while a limit is tried; whether it is clear already that they wait.
    pub(super) fn hear(&mut self, time: Duration, peak: u32) -> bool {
        let Some(base) = self.baseline else { return false };
        let usual = base.variation().max(LEAST_VARIATION) * base.mean();
        let late = time.as_nanos() as f64 - base.mean() * (1.0 + SLACK) - 2.0 * base.doubt().sqrt();
        let rises = late - self.late;
        self.late = late.max(0.0);
        if peak <= rounds::MOST && base.are_all_alike(self.samples) {
            self.rounds.hear(late / base.mean(), rises / base.mean());
        }
        if self.step.is_some() && self.rounds.refute() {
            return true;
        }
        // Where whole cohorts were judged, it is for the next one to say whether the cut has helped.
        let judged = self.phase == Phase::Settled || self.cut.is_some() || f64::from(peak) <= self.able;
        if judged && self.step.is_none() {
            return false;
        }
        let jumps = rises > JUMP * base.mean();
        let most = if jumps { JUMP_EVIDENCE } else { MOST_EVIDENCE };
        self.evidence = (self.evidence + (late / usual).min(most) - DRIFT).max(0.0);
        self.evidence > CLEAR
    }

    /// The limit moves for other reasons.
    pub(super) fn forget(&mut self) {
        self.evidence = 0.0;
        self.rounds.forget();
        (self.run, self.step, self.held, self.cut) = (Times::default(), None, 0, None);
    }

    /// Calls that never were near the limit, so that none had to wait for that; where the limit is too high they may have
    /// waited nevertheless.
    pub(super) fn calm(&mut self, times: Times, now: Instant) {
        let base = self.baseline.filter(|_| now < self.measured_at + TRUE_FOR);
        let known = match base {
            Some(base) if base.mean() < times.mean() && !base.explains(times) => base,
            Some(base) => base.with(times, CALM_KEPT),
            None => times,
        };
        if base.is_none_or(|base| base.explains(times) || times.mean() < base.mean()) {
            self.measured_at = now;
        }
        (self.baseline, self.age, self.guessed) = (Some(known), None, false);
        self.forget();
    }

    /// The time without waiting was measured; whether that has to be done again soon. Measures that differ by chance only
    /// are taken together.
    pub(super) fn measured(&mut self, times: Times, now: Instant) -> bool {
        self.measured_at = now;
        // A step that waits for its time goes on waiting: there may be a measure before every one.
        let held = self.held;
        self.forget();
        self.held = held;
        let longer = |base: Times| times.mean() > base.mean() * (1.0 + 2.0 * SLACK) && !base.is_like(times);
        let times = match (self.baseline.is_some_and(longer), self.longer.take()) {
            // A pause of the machine does that too, so it takes two.
            (true, None) => {
                self.longer = Some(times);
                return true;
            }
            (true, Some(first)) if first.mean() < times.mean() => first,
            (true, Some(_)) | (false, _) => times,
        };
        let few = times.are_alike() && times.count < MANY.min(self.samples);
        let shorter = |base: Times| base.mean() * (1.0 - 2.0 * SLACK) > times.mean() && base.is_like(times);
        self.doubted = few && self.baseline.is_some_and(shorter);
        if self.doubted {
            return true;
        }
        // Busy machines take longer, so what was measured in calm is no measure of the same.
        let busy = std::mem::take(&mut self.guessed) || self.age.is_some();
        let kept = self.baseline.filter(|_| busy);
        let known = kept.map_or(times, |before| before.with(times, MEASURES_KEPT * self.samples));
        self.age = Some(0);
        let Some(before) = self.baseline.replace(known) else { return false };
        if known.mean() > MUCH * before.mean() {
            // What was taken for waiting was none.
            (self.phase, self.hold) = (Phase::Starting, 1);
        }
        // Where it is much shorter, those of before waited, so these may have too.
        known.mean() < 0.9 * before.mean()
    }

    /// Takes in a cohort of calls under this limit, of which so many were in flight at once. It may be clear that they
    /// wait.
    pub(super) fn next(&mut self, times: Times, (first, peak): (u32, u32), limit: f64, clear: bool) -> Move {
        self.evidence = 0.0;
        let excess = self.rounds.end(times.count, peak, self.step.is_some());
        self.age = self.age.map(|age| age.saturating_add(1));
        self.run = self.run.and(times);
        self.spread = times.variation();
        let mean = self.run.mean();
        self.guessed |= self.baseline.is_none();
        let mut base = *self.baseline.get_or_insert(self.run);
        if !clear && mean < base.mean() && !base.is_like(self.run) {
            // The service has become faster.
            base = self.run;
            self.baseline = Some(base);
        }
        // So many may wait, and so much longer does a call take then.
        let spare = SPARE * base.variation() * limit.sqrt();
        let free = base.mean() * spare / limit;
        let used = limit.min(f64::from(peak));
        let waits = clear || mean - base.mean() > base.chance_of(self.run.count) + free;
        if self.guessed && waits {
            (self.run, self.phase) = (Times::default(), Phase::Settling);
            return Move::Probe;
        }
        if let Some(step) = self.step.filter(|_| waits) {
            // It is known only that this step was too much.
            (self.run, self.step, self.held) = (Times::default(), None, 0);
            self.put_off();
            // Or how much of it.
            let enough = excess.map_or(1.0, |excess| limit.floor() - f64::from(excess));
            let before = (limit - step).max(enough).max(1.0);
            self.able = self.able.min(before);
            return Move::To(before);
        }
        if self.rounds.last() && self.phase == Phase::Settled {
            self.run = times;
            self.rounds.note_cut();
            return self.fall(limit, used - 1.0, (true, true));
        }
        for run in [self.run, times] {
            let late = run.mean() - base.mean();
            let chance = if clear { base.chance_of(run.count) } else { run.chance(base) };
            if late > chance + free {
                let few = !clear && base.count < self.samples && limit >= 2.0;
                if few && late <= base.chance_if_few(run) + free {
                    // What is known may be too short because of its few calls.
                    self.run = Times::default();
                    return Move::Probe;
                }
                // No more than is certain.
                let certain = used * (late - chance - free) / run.mean();
                self.run = run;
                if !clear
                    && self.phase == Phase::Settled
                    && late < 2.0 * SLACK * base.mean()
                    && !self.is_fresh()
                    && limit >= 2.0
                {
                    self.run = Times::default();
                    return Move::Probe;
                }
                let full = f64::from(first) >= FULL * limit.floor();
                return self.fall(limit, used - certain.max(1.0), (clear, full));
            }
        }
        if clear {
            self.run = Times::default();
            return Move::Stay;
        }
        if f64::from(peak) < limit.floor() {
            // Nobody was kept waiting by it.
            self.able = self.able.max(used);
            return Move::Stay;
        }
        self.in_time(limit, base, free)
    }

    /// The limit is in full use, and none waits as far as that can be seen.
    fn in_time(&mut self, limit: f64, base: Times, free: f64) -> Move {
        let least = limit.log10().max(1.0);
        if self.phase == Phase::Starting {
            self.run = Times::default();
            self.able = limit;
            return Move::To(limit + (6.0 * least).max(limit / 2.0));
        }
        self.phase = Phase::Settled;
        if self.step.is_none() && limit < self.able * SHORTER {
            // It was cut for what has passed.
            let step = self.able - limit;
            (self.run, self.held, self.step) = (Times::default(), 0, Some(step));
            return Move::To(limit + step);
        }
        if self.step.is_none() {
            self.able = self.able.max(limit);
        }
        let (late, chance) =
            (self.run.mean() - base.mean(), base.chance_of(self.run.count) - SLACK * base.mean());
        self.rise(limit, least.max(LEAST_STEP * limit), (late + chance - free, base.mean()))
    }

    /// Calls wait. It may be clear before they have come home; the limit may have been in full use.
    fn fall(&mut self, limit: f64, to: f64, (clear, full): (bool, bool)) -> Move {
        let run = std::mem::take(&mut self.run);
        let mean = run.mean();
        self.phase = Phase::Settling;
        self.held = 0;
        if clear || to < limit * HELPS {
            self.hold = 1;
        }
        if clear {
            return Move::To(to.min(limit - 1.0));
        }
        let (top, time) = *self.cut.get_or_insert((limit, mean));
        // Where calls wait, their time follows the limit, and is at least shorter where that was not in full use.
        let helped = if full { f64::midpoint(1.0, limit / top) } else { SHORTER };
        if limit < HELPS * top && mean > time * helped {
            self.cut = None;
            self.baseline = Some(run);
            (self.step, self.hold) = (None, 1);
            return Move::To(top);
        }
        Move::To(to.min(limit - 1.0))
    }

    fn is_fresh(&self) -> bool {
        self.age.is_some_and(|age| age < FRESH)
    }

    /// Another try is made later.
    fn put_off(&mut self) {
        self.hold = (self.hold * 2).clamp(FIRST_HOLD, LONGEST_HOLD);
    }

    /// More is let in, or it is judged what came of that; calls take at most so much longer.
    fn rise(&mut self, limit: f64, least: f64, (most, base): (f64, f64)) -> Move {
        let step = match self.step {
            Some(step) => {
                // If all that was let in beyond before waited, it would be this.
                let all = base * step / limit;
                if most <= all / 2.0 {
                    self.hold = 1;
                    (step * 2.0).min(limit / 2.0).max(least)
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
