//! Active checks: when to ask an endpoint whether it is well, and what to believe of the answers.
//!
//! MODEL. A single answer may be chance, so a change of mind takes several in a row: `fall` failures or `rise`
//! successes. What is asked (HTTP, TCP, gRPC, a command) is the caller's; here an answer is a success or a failure, and
//! no answer in time is a failure.
//!
//! SOURCE. The checks of HAProxy (`inter`, `fastinter`, `rise`, `fall`) and of Envoy (jitter, first answer decides).
//!
//! DEFAULTS. Every 5 s, each time up to 10 % sooner or later, so that many checks that began together drift apart.
//! Timeout 2 s: a program that needs longer to say that it is well is not. 3 failures, as one lost packet or one long
//! pause is none; 2 successes, for one may be the last of a program that falls over under load. While in doubt, that is
//! between the first answer that contradicts and the change of mind, every 1 s: a dead endpoint is out within some
//! 5 + 2 · 1 s and its timeouts, without paying for checks each second on all the others. The first answer decides at
//! once, and until then nothing is known and no traffic is sent.

use std::time::Duration;

use base::{Instant, Rng};

/// How often is asked, and what is believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckPolicy {
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// The same while answers contradict what is believed, and before the first.
    pub interval_in_doubt: Duration,
    /// Part of an interval by which it may be shorter or longer, from 0 to 1.
    pub jitter: f64,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Successes in a row that make an endpoint well; at least 1.
    pub rise: u32,
    /// Failures in a row that make it sick; at least 1.
    pub fall: u32,
    /// What is believed before the first answer.
    pub at_first: Health,
}

impl Default for CheckPolicy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            interval_in_doubt: Duration::from_secs(1),
            jitter: 0.1,
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            at_first: Health::Unknown,
        }
    }
}

/// What is believed of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nothing yet: the first answer decides.
    Unknown,
    /// It may get traffic.
    Well,
    /// It should not.
    Sick,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint said that it is well.
    Success,
    /// It said that it is not, or could not be asked.
    Failure,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Begin a check, and [`Check::settle`] it with this.
    Begin(Ticket),
    /// Nothing before then.
    Wait(Instant),
}

/// One check that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// The checks of one endpoint.
///
/// ```
/// use base::{Instant, Rng};
/// use resilience::health::checks::{Check, CheckPolicy, Due, Health, Verdict};
///
/// let (now, mut rng) = (Instant::from_secs(1), Rng::seeded(1));
/// let mut check = Check::new(CheckPolicy::default(), now);
/// let (due, _) = check.poll(now, &mut rng);
/// let Due::Begin(ticket) = due else { panic!("the first check is due at once") };
/// assert_eq!(check.settle(ticket, Verdict::Success, now, &mut rng), Some(Health::Well));
/// ```
#[derive(Debug, Clone)]
pub struct Check {
    policy: CheckPolicy,
    health: Health,
    /// Answers in a row that contradict what is believed.
    doubts: u32,
    phase: Phase,
    begun: u64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Waiting { until: Instant },
    Asking { since: Instant, until: Instant },
}

impl Check {
    /// Checks that begin now.
    pub fn new(policy: CheckPolicy, now: Instant) -> Self {
        Self { policy, health: policy.at_first, doubts: 0, phase: Phase::Waiting { until: now }, begun: 0 }
    }

    /// What is believed.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Whether recent answers contradict what is believed.
    pub fn is_in_doubt(&self) -> bool {
        self.doubts > 0 || self.health == Health::Unknown
    }

    /// What to do now, and what is believed if that changed because a check took too long.
    pub fn poll(&mut self, now: Instant, rng: &mut Rng) -> (Due, Option<Health>) {
        let mut change = None;
        if let Phase::Asking { until, .. } = self.phase
            && now >= until
        {
            change = self.settle(Ticket(self.begun), Verdict::Failure, now, rng);
        }
        match self.phase {
            Phase::Asking { until, .. } => (Due::Wait(until), change),
            Phase::Waiting { until } if now < until => (Due::Wait(until), change),
            Phase::Waiting { .. } => {
                self.begun += 1;
                self.phase = Phase::Asking { since: now, until: now + self.policy.timeout };
                (Due::Begin(Ticket(self.begun)), change)
            }
        }
    }

    /// Notes how a check ended, and tells what is believed if that changed. A check that was given up, as it took too
    /// long, decides nothing any more.
    pub fn settle(
        &mut self,
        ticket: Ticket,
        verdict: Verdict,
        now: Instant,
        rng: &mut Rng,
    ) -> Option<Health> {
        let Phase::Asking { since, .. } = self.phase else { return None };
        if ticket.0 != self.begun {
            return None;
        }
        let change = self.believe(verdict);
        let interval = if self.is_in_doubt() { self.policy.interval_in_doubt } else { self.policy.interval };
        // A check that outlasts the interval is not followed by the next without a pause.
        let next = (since + jittered(interval, self.policy.jitter, rng)).max(now + interval / 10);
        self.phase = Phase::Waiting { until: next };
        change
    }

    fn believe(&mut self, verdict: Verdict) -> Option<Health> {
        let (opposite, enough) = match (self.health, verdict) {
            (Health::Unknown, Verdict::Success) => (Health::Well, 1),
            (Health::Unknown, Verdict::Failure) => (Health::Sick, 1),
            (Health::Sick, Verdict::Success) => (Health::Well, self.policy.rise),
            (Health::Well, Verdict::Failure) => (Health::Sick, self.policy.fall),
            (Health::Well, Verdict::Success) | (Health::Sick, Verdict::Failure) => {
                self.doubts = 0;
                return None;
            }
        };
        self.doubts += 1;
        if self.doubts < enough {
            return None;
        }
        self.doubts = 0;
        self.health = opposite;
        Some(opposite)
    }
}

/// Shorter or longer by up to this part.
fn jittered(interval: Duration, part: f64, rng: &mut Rng) -> Duration {
    let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    interval.mul_f64(1.0 + part.clamp(0.0, 1.0) * (2.0 * unit - 1.0))
}

#[cfg(test)]
mod tests;
