//! Waiting for a condition, with a deadline.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const ROUND: Duration = Duration::from_millis(20);

/// Waits until this is there; an error after so many seconds.
pub fn until<T>(what: impl Display, seconds: u64, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    until_ok(what, seconds, || look().ok_or_else(|| anyhow::anyhow!("not yet")))
}

/// Waits until this succeeds; the last error after so many seconds.
pub fn until_ok<T>(what: impl Display, seconds: u64, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() > end => bail!("after {seconds} s, {what}: {error:#}"),
            Err(_) => std::thread::sleep(ROUND),
        }
    }
}
