//! The log: one JSON object a line on stdout.

use std::io::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// Writes lines that carry the service's name and version.
#[derive(Debug, Clone)]
pub struct Log {
    service: &'static str,
    version: Arc<str>,
}

impl Log {
    /// A log of this service.
    pub fn new(service: &'static str, version: &str) -> Self {
        Self { service, version: version.into() }
    }

    /// Something happened as it should.
    pub fn info(&self, message: &str, fields: Value) {
        self.write("info", message, fields);
    }

    /// Something went wrong that we live with.
    pub fn warn(&self, message: &str, fields: Value) {
        self.write("warn", message, fields);
    }

    /// Something went wrong that a person should look at.
    pub fn error(&self, message: &str, fields: Value) {
        self.write("error", message, fields);
    }

    fn write(&self, level: &str, message: &str, fields: Value) {
        let mut line = Map::new();
        line.insert("time".into(), json!(now()));
        line.insert("level".into(), json!(level));
        line.insert("service".into(), json!(self.service));
        line.insert("version".into(), json!(&*self.version));
        line.insert("message".into(), json!(message));
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // Whoever reads the log may be gone; the service runs on without it.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
}

/// The time in UTC, to the millisecond, as in `2026-01-31T12:00:00.123Z`.
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    written(since.as_secs(), since.subsec_millis())
}

fn written(seconds: u64, millis: u32) -> String {
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The date so many days after 1970 began, counted in years that begin in March, so that leap days come last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
