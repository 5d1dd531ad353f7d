//! When a certificate is ordered from an authority: at once when there is none, in good time before the old one ends,
//! and less and less often while it does not come.
//!
//! It is told the time and the chance. Times are seconds since 1970, as in certificates; they may jump when a clock is
//! set, so nothing here depends on how much time has passed between two calls.
//!
//! Authorities count failed tries (Let's Encrypt: five an hour for a name) and shut out who repeats them, so the first
//! pause is 5 minutes, each next one twice as long, up to 12 hours, each up to a quarter longer by chance; and never
//! shorter than the authority asks for. In the first hour that makes four tries. A person who has set something right
//! need not wait, a few times an hour and no more.

use base::Rng;

/// The pause after the first failure, and the longest that comes of failures alone.
const FIRST_PAUSE: u64 = 5 * 60;
const LONGEST_PAUSE: u64 = 12 * 3600;
/// An authority may ask for a week's patience; more is taken for a mistake.
const MOST_PATIENCE: u64 = 7 * 86_400;
/// How often an authority is asked when to renew, unless it says so: RFC 9773 has six hours as a rule, and these bounds.
const ASK_EVERY: u64 = 6 * 3600;
const ASK_LEAST: u64 = 60;
const ASK_MOST: u64 = 86_400;

/// So many tries are begun by hand in so many seconds.
const BY_HAND: usize = 3;
const BY_HAND_WITHIN: u64 = 3600;

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The first second.
    pub from: u64,
    /// The last one.
    pub until: u64,
}

/// What to do about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Order it now.
    Order,
    /// Ask the authority when it wants the present one renewed.
    Ask,
    /// Nothing before this time.
    Wait(u64),
}

/// Why a try is not begun by hand, and from when on it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooSoon {
    /// The authority has asked to be left alone until then.
    Asked(u64),
    /// It was begun by hand too often.
    Often(u64),
}

/// One certificate's course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Renewal {
    /// The certificate that there is.
    pub life: Option<Life>,
    /// Orders in a row that came to nothing.
    pub failures: u32,
    /// Nothing is ordered before; kept over a restart, so that a daemon that is started again and again is as patient.
    pub pause_until: u64,
    /// When the authority wants it renewed, drawn out of the time that it named.
    pub wished: Option<u64>,
    /// When it is asked again.
    pub ask_at: u64,
    /// Where in the time for renewal this one's turn is, in thousandths: many that were ordered together are not renewed
    /// together.
    pub turn: u32,
    /// Nothing is ordered before, also not by hand, as the authority has asked for that.
    pub asked_until: u64,
    /// When the last tries were begun by hand, from the oldest to the newest; 0 where there were fewer.
    pub by_hand: [u64; BY_HAND],
}

impl Renewal {
    /// Of a certificate that there is not yet.
    pub fn missing() -> Self {
        Self::default()
    }

    /// When it is renewed: as the authority wishes, else after two thirds of its life and up to a thirtieth more.
    pub fn due(&self) -> u64 {
        let Some(life) = self.life else { return 0 };
        let length = life.until.saturating_sub(life.from);
        let usual = life.from + length * 2 / 3 + length / 30 * u64::from(self.turn.min(1000)) / 1000;
        // What is wished for after the end is no help.
        self.wished.filter(|wished| *wished < life.until).unwrap_or(usual)
    }

    /// What to do now; `asks` is whether the authority says when to renew.
    pub fn next(&self, now: u64, asks: bool) -> Next {
        if self.life.is_none() || now >= self.due() {
            return if now >= self.pause_until { Next::Order } else { Next::Wait(self.pause_until) };
        }
        match asks {
            true if now >= self.ask_at => Next::Ask,
            true => Next::Wait(self.due().min(self.ask_at)),
            false => Next::Wait(self.due()),
        }
    }

    /// A certificate was issued.
    pub fn issued(&mut self, life: Life, rng: &mut Rng) {
        *self = Self { life: Some(life), turn: rng.below(1001) as u32, ..Self::default() };
    }

    /// An order came to nothing; gives the time of the next try.
    pub fn failed(&mut self, now: u64, patience: Option<u64>, rng: &mut Rng) -> u64 {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        let pause = pause + rng.below(pause / 4 + 1);
        let patience = patience.unwrap_or(0).min(MOST_PATIENCE);
        self.asked_until = if patience > 0 { now + patience } else { 0 };
        self.pause_until = now + pause.max(patience);
        self.pause_until
    }

    /// Whether a person may have it ordered now, before the pause after a failure is over.
    pub fn may_retry(&self, now: u64) -> Result<(), TooSoon> {
        if now < self.asked_until {
            return Err(TooSoon::Asked(self.asked_until));
        }
        // A clock that was set back would make it wait for longer than is meant.
        let again = self.by_hand[0].saturating_add(BY_HAND_WITHIN);
        if self.by_hand[0] > 0 && self.by_hand[0] <= now && now < again {
            return Err(TooSoon::Often(again));
        }
        Ok(())
    }

    /// A person wants it ordered now.
    pub fn retry(&mut self, now: u64) {
        self.pause_until = self.pause_until.min(now);
        self.by_hand.rotate_left(1);
        self.by_hand[BY_HAND - 1] = now;
    }

    /// The authority has named a time in which it wants the certificate renewed, or could not be asked.
    pub fn advised(&mut self, window: Option<(u64, u64)>, again: Option<u64>, now: u64, rng: &mut Rng) {
        self.ask_at = now + again.unwrap_or(ASK_EVERY).clamp(ASK_LEAST, ASK_MOST);
        let Some((start, end)) = window.filter(|(start, end)| start < end) else { return };
        // A time that was drawn from it before stays.
        if self.wished.is_none_or(|wished| !(start..=end).contains(&wished)) {
            self.wished = Some(start + rng.below(end - start + 1));
        }
    }
}

#[cfg(test)]
mod tests;
