//! Sticky sessions: a cookie binds a client to an endpoint for as long as that endpoint serves.
//!
//! MODEL. Some programs keep the state of a session in memory, so its requests must come back to the same instance. A
//! session outlives neither the instance nor its ejection: a new place with a lost session is better than none.
//!
//! SOURCE. Cookie insertion as HAProxy and nginx do it, with two differences: the value says nothing about the
//! endpoint, and a drain moves no session before its time.
//!
//! DEFAULTS. None. What happens to a session depends on how its endpoint stands:
//!
//! - open, or out in a panic: it stays;
//! - draining: it stays, while new sessions go elsewhere. When the time for the drain is over, the owner of the roster
//!   marks the endpoint out or takes it off, and the session moves;
//! - spared ("not now"): this request makes a detour, and the cookie stays as it is, since the endpoint will be back
//!   in seconds;
//! - out or gone: it moves for good. Were the old cookie kept, the client would later return to a state that is old.
//!
//! The value is the endpoint's key in the roster. Whoever wants it to reveal nothing makes that key by a keyed hash of
//! the instance's name (`SipHash` or HMAC, cut to 64 bits, under a secret that all edges share). A forged value is then
//! as good as a guess of 64 bits, and at best picks an endpoint that the client could have got anyway.

use super::{Mode, Roster, Standing};

/// The value of a cookie: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieValue([u8; 16]);

/// Where a request with a cookie goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// To the place that it is bound to. No new cookie.
    Stay(usize),
    /// To any place, this once. No new cookie.
    Detour,
    /// To any place, and a cookie for that.
    Bind(Unbound),
}

/// Why a request is not bound to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbound {
    /// It brought no cookie: a new session.
    New,
    /// What it brought is no value of ours.
    Garbled,
    /// The endpoint is no longer in the roster.
    Gone,
    /// The endpoint is out, or has weight zero.
    Out,
}

/// Where a request goes that brought this value of the cookie, if any.
///
/// ```
/// use base::Instant;
/// use resilience::balance::sticky::{self, Affinity, CookieValue, Unbound};
/// use resilience::balance::{Roster, Rules, Weight};
///
/// let mut roster = Roster::new(Rules::default());
/// roster.replace([(0x5eed, Weight::USUAL)], Instant::from_secs(1));
/// assert_eq!(sticky::resolve(&roster, None), Affinity::Bind(Unbound::New));
/// let cookie = CookieValue::of(0x5eed);
/// assert_eq!(cookie.as_str(), "0000000000005eed");
/// assert_eq!(sticky::resolve(&roster, Some(cookie.as_bytes())), Affinity::Stay(0));
/// ```
pub fn resolve(roster: &Roster, cookie: Option<&[u8]>) -> Affinity {
    let Some(cookie) = cookie else { return Affinity::Bind(Unbound::New) };
    let Some(key) = read(cookie) else { return Affinity::Bind(Unbound::Garbled) };
    let Some(place) = roster.place(key) else { return Affinity::Bind(Unbound::Gone) };
    match roster.seats()[place].standing {
        Standing::Draining => Affinity::Stay(place),
        Standing::Spared => Affinity::Detour,
        Standing::Open if roster.effective(place) > 0 => Affinity::Stay(place),
        Standing::Out if roster.mode() == Mode::Panic && roster.effective(place) > 0 => Affinity::Stay(place),
        Standing::Open | Standing::Out => Affinity::Bind(Unbound::Out),
    }
}

impl CookieValue {
    /// The value that binds to the endpoint with this key.
    pub fn of(key: u64) -> Self {
        let digit = |at: usize| b"0123456789abcdef"[(key >> (60 - 4 * at)) as usize & 15];
        Self(std::array::from_fn(digit))
    }

    /// To be sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// To be shown.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

/// Only what we would write ourselves: 16 digits in lower case.
fn read(cookie: &[u8]) -> Option<u64> {
    let digits: &[u8; 16] = cookie.try_into().ok()?;
    digits.iter().try_fold(0u64, |key, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(key << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests;
