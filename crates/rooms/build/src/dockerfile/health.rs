//! HEALTHCHECK, and durations as Go writes them.

use std::time::Duration;

use super::command::{Health, Healthcheck};
use super::error::Fault;
use super::flags::Flags;
use super::instruction::Line;
use super::words;

const FORM: &str = "HEALTHCHECK [--interval=30s] CMD command, or HEALTHCHECK NONE";

pub(super) fn healthcheck(mut line: Line<'_>) -> Result<Healthcheck, Fault> {
    const FLAGS: &[&str] = &["interval", "timeout", "start-period", "start-interval", "retries"];
    let flags = Flags::check(line.instruction, FLAGS, std::mem::take(&mut line.flags))?;
    let (kind, rest) = words::split_first(line.rest);
    if kind.eq_ignore_ascii_case("NONE") && rest.is_empty() {
        return Ok(Healthcheck::None);
    }
    if !kind.eq_ignore_ascii_case("CMD") {
        return Err(line.wrong(FORM));
    }
    let time = |name| -> Result<Option<Duration>, Fault> {
        let Some(text) = flags.one(name)? else { return Ok(None) };
        let fits = |time: &Duration| time.is_zero() || *time >= Duration::from_millis(1);
        let read = duration(&text).filter(fits);
        read.map(Some).ok_or_else(|| flags.bad(name, &text, "a time of at least 1ms, as in `1m30s`"))
    };
    let retries = match flags.one("retries")? {
        None => None,
        Some(text) => match text.parse() {
            Ok(number) => Some(number),
            Err(_) => return Err(flags.bad("retries", &text, "a number from 0 up")),
        },
    };
    let (interval, timeout) = (time("interval")?, time("timeout")?);
    let (start_period, start_interval) = (time("start-period")?, time("start-interval")?);
    let command = Line { rest, heredocs: Vec::new(), flags: Vec::new(), ..line }.form(false, FORM)?;
    Ok(Healthcheck::Check(Health { command, interval, timeout, start_period, start_interval, retries }))
}

/// Reads a duration as Go writes it: `1h30m`, `1.5s`, `250ms`; `0` needs no unit.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum_ns = 0f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit_ns = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[end..];
        sum_ns += number * unit_ns;
    }
    // Go keeps durations in 63 bits of nanoseconds.
    (!text.is_empty() && sum_ns < i64::MAX as f64).then(|| Duration::from_nanos(sum_ns as u64))
}
