//! The machine's clock: certificates, logs and timeouts go by it.

use std::path::Path;

use base::{Clock, SystemClock, Timestamp};
use talk::Check;

use super::{good, machine, weak};

/// A machine that believes to live before this has lost its clock.
const EARLIEST: i64 = 1_735_689_600; // 2025 begins.
/// Clock sources that cost a call into the kernel or the machine below for every reading.
const SLOW: &[&str] = &["acpi_pm", "hpet", "jiffies", "refined-jiffies"];

pub(super) fn check() -> Check {
    let source = machine::read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let synchronised = Path::new("/run/systemd/timesync/synchronized").exists();
    judge(SystemClock.wall(), source.trim(), synchronised)
}

/// What is said of a clock that tells this time and counts by this source.
pub(super) fn judge(now: Timestamp, source: &str, synchronised: bool) -> Check {
    let name = "clock";
    let day = now.to_string().get(..19).unwrap_or_default().replace('T', " ");
    let kept = if synchronised { ", kept by systemd-timesyncd" } else { "" };
    let found = format!(
        "{day} UTC, counted by {}{kept}",
        if source.is_empty() { "an unknown source" } else { source }
    );
    if now.secs() < EARLIEST {
        return weak(name, found, "set the clock, and keep it with chrony or systemd-timesyncd");
    }
    match SLOW.contains(&source) {
        true => {
            weak(name, found, "each reading is slow; boot with `clocksource=tsc` where the processor allows")
        }
        false => good(name, found),
    }
}
