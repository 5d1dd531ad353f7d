//! A deadline that goes along with a request, from service to service, and only ever comes nearer.
//!
//! Model: clocks of two machines need not agree, so what travels is the time that is left, not a point in time. Each
//! hop counts from the moment the request arrived, takes off what it used itself and a margin for the answer's way
//! back, and tells the rest to the next. A hop may make the time shorter and never longer. What is too late is refused
//! before any work is done for it.
//!
//! Source: gRPC over HTTP/2 (`grpc-timeout`, gRPC core documentation, `PROTOCOL-HTTP2.md`); "deadline propagation" in
//! Beyer et al., "Site Reliability Engineering", 2016, chapter 22.
//!
//! Defaults of [`Policy`]: `timeout` 60 s, as the edge waits for an answer; `margin` 5 ms, some ten times the way there
//! and back within a data centre, so that the answer "too late" of the inner hop still arrives; `least` 1 ms, for less
//! time than that hardly any request can be answered.
//!
//! ```
//! use std::time::Duration;
//! use base::Instant;
//! use resilience::deadline::{self, Policy};
//!
//! let (arrived, now) = (Instant::from_secs(10), Instant::from_secs(12));
//! let told = deadline::parse_grpc(b"5S").ok();
//! let deadline = Policy::default().enter(told, arrived, now)?;
//! assert_eq!(deadline.left(now)?, Duration::from_secs(3));
//! let mut field = Vec::new();
//! deadline::write_grpc(Policy::default().onward(deadline, now)?, &mut field);
//! assert_eq!(field, b"2995000u");
//! # Ok::<(), deadline::Expired>(())
//! ```

use std::time::Duration;

use base::Instant;

use crate::refusal::sentences;

/// gRPC's field: at most eight digits and a unit.
pub const GRPC_HEADER: &str = "grpc-timeout";
/// The plain field: milliseconds in digits.
pub const MILLIS_HEADER: &str = "x-timeout-ms";

/// The moment after which nobody waits for the answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// The deadline has passed, or comes too soon for any work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired;

/// The field holds no time in its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

sentences! {
    Expired: |_it, f| f.write_str("the deadline of the request has passed");
    Unreadable: |_it, f| f.write_str("the time that a request may take is not readable");
}

/// How a hop treats the deadlines of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The longest that this hop lets a request take.
    pub timeout: Duration,
    /// Kept back from the next hop, for the answer's way.
    pub margin: Duration,
    /// With less than this left a request is not begun.
    pub least: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            margin: Duration::from_millis(5),
            least: Duration::from_millis(1),
        }
    }
}

impl Policy {
    /// The deadline of a request that arrived with `told` left, or without a word of it; looked at `now`.
    ///
    /// # Errors
    /// When less than `least` is left: refuse it, for its client has gone.
    pub fn enter(&self, told: Option<Duration>, arrived: Instant, now: Instant) -> Result<Deadline, Expired> {
        let time = told.map_or(self.timeout, |told| told.min(self.timeout));
        let deadline = Deadline(arrived + time);
        if deadline.left(now)? < self.least { Err(Expired) } else { Ok(deadline) }
    }

    /// What to tell the next hop: the time left without the margin.
    ///
    /// # Errors
    /// When less than `least` would be left there.
    pub fn onward(&self, deadline: Deadline, now: Instant) -> Result<Duration, Expired> {
        let left = deadline.left(now)?.checked_sub(self.margin).ok_or(Expired)?;
        if left < self.least || left.is_zero() { Err(Expired) } else { Ok(left) }
    }
}

impl Deadline {
    /// At this moment.
    pub fn at(moment: Instant) -> Self {
        Self(moment)
    }

    /// The moment.
    pub fn moment(self) -> Instant {
        self.0
    }

    /// The same or sooner: at most `timeout` from now.
    #[must_use]
    pub fn within(self, timeout: Duration, now: Instant) -> Self {
        self.min(Self(now + timeout))
    }

    /// The time left, never zero.
    ///
    /// # Errors
    /// When none is left.
    pub fn left(self, now: Instant) -> Result<Duration, Expired> {
        if now < self.0 { Ok(self.0.since(now)) } else { Err(Expired) }
    }
}

/// Reads `grpc-timeout`: one to eight digits, then `H`, `M`, `S`, `m`, `u` or `n`.
///
/// # Errors
/// When it has another form; treat the field as absent then, so that the hop's own limit holds.
pub fn parse_grpc(value: &[u8]) -> Result<Duration, Unreadable> {
    let (unit, digits) = value.split_last().ok_or(Unreadable)?;
    let number = parse_digits(digits, 8)?;
    Ok(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return Err(Unreadable),
    })
}

/// Reads milliseconds in plain digits, at most twelve (31 years).
///
/// # Errors
/// When it has another form; treat the field as absent then.
pub fn parse_millis(value: &[u8]) -> Result<Duration, Unreadable> {
    parse_digits(value, 12).map(Duration::from_millis)
}

/// Appends the value of `grpc-timeout`, in the finest unit whose number has eight digits; rounded down, so that the
/// time never grows on its way.
pub fn write_grpc(left: Duration, out: &mut Vec<u8>) {
    const MOST: u128 = 99_999_999;
    let nanos = left.as_nanos();
    let units: [(u128, u8); 6] = [
        (1, b'n'),
        (1_000, b'u'),
        (1_000_000, b'm'),
        (1_000_000_000, b'S'),
        (60_000_000_000, b'M'),
        (3_600_000_000_000, b'H'),
    ];
    let fitting = units.into_iter().find(|(size, _)| nanos / size <= MOST);
    let (number, unit) = fitting.map_or((MOST, b'H'), |(size, unit)| (nanos / size, unit));
    push_digits(u64::try_from(number).unwrap_or(u64::MAX), out);
    out.push(unit);
}

/// Appends whole milliseconds, rounded down.
pub fn write_millis(left: Duration, out: &mut Vec<u8>) {
    push_digits(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).min(999_999_999_999), out);
}

fn parse_digits(digits: &[u8], most: usize) -> Result<u64, Unreadable> {
    if digits.is_empty() || digits.len() > most || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Unreadable);
    }
    Ok(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Appends a number in decimal digits, without a formatter.
pub(crate) fn push_digits(mut number: u64, out: &mut Vec<u8>) {
    let from = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[from..].reverse();
}

#[cfg(test)]
mod tests;
