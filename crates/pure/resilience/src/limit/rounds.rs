//! One call too many where calls are alike and end together: it waits for nearly the whole of another and all others for
//! nothing, which hardly moves their mean. So those that waited are counted. Counts are in calls and cohorts.

/// A call that took longer by this share of the usual waited for another. Where it was longer by as much than the one before
/// it, a round of calls has ended; those of a pause of the machine are one.
const LATE: f64 = 0.4;
/// Of more calls one in each round is too few to be told from what is slow by itself now and then.
pub(super) const MOST: u32 = 40;
/// Where such calls come without a reason too, in less than so many cohorts, they say nothing of a trial.
const UNWAITED: u32 = 2;
/// Those that a lower limit does not spare are slow by themselves, and not asked again for so many cohorts.
const SLOW_ANYWAY: u32 = 64;

/// What is known of such calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rounds {
    /// Those of this cohort, and the rounds that they were in.
    waited: u32,
    rounds: u32,
    /// Cohorts in a row with as many as one in each round.
    full: u32,
    /// Cohorts in a row without any, trials aside.
    unwaited: u32,
    /// The limit was cut because of them, and it is not known whether that has helped.
    cut: bool,
    /// For so many cohorts they are not believed to wait.
    slow_anyway: u32,
}

impl Rounds {
    /// Hears of a call that took longer than usual, and than the one before it, by these shares of the usual.
    pub(super) fn hear(&mut self, late: f64, rises: f64) {
        if late > LATE {
            self.waited += 1;
            self.rounds += u32::from(rises > LATE);
        }
    }

    /// Whether it is clear that a trial was too much.
    pub(super) fn refute(&self) -> bool {
        self.rounds > 1 && self.unwaited >= UNWAITED
    }

    /// The calls of a cohort say nothing.
    pub(super) fn forget(&mut self) {
        (self.waited, self.rounds) = (0, 0);
    }

    /// Ends a cohort of so many calls, so many of them at once, of a trial or not; how many are too many, if it says so.
    pub(super) fn end(&mut self, count: u32, peak: u32, trial: bool) -> Option<u32> {
        let told = self.refute().then(|| self.waited.div_ceil(self.rounds));
        // As many as if one in each round waited, or nearly.
        let full = self.rounds > 1 && self.rounds * 2 * peak >= count;
        if std::mem::take(&mut self.cut) && full {
            self.slow_anyway = SLOW_ANYWAY;
        }
        self.slow_anyway = self.slow_anyway.saturating_sub(1);
        self.full = if full && self.slow_anyway == 0 { self.full + 1 } else { 0 };
        if !trial {
            self.unwaited = if self.waited == 0 { self.unwaited.saturating_add(1) } else { 0 };
        }
        self.forget();
        told
    }

    /// Whether one call too many is let in all the time.
    pub(super) fn last(&self) -> bool {
        self.full > 1
    }

    /// The limit is cut because of them.
    pub(super) fn note_cut(&mut self) {
        (self.full, self.cut) = (0, true);
    }
}
