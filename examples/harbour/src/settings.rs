//! What a service is told by its environment.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The settings that all three services have.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `web`, `booking` or `pricing`.
    pub service: &'static str,
    /// `VERSION`, else what it was compiled as.
    pub version: String,
    /// `PORT`: where it listens, on all addresses.
    pub port: u16,
    /// `DRAIN_MS`: after a stop signal it is not ready, but serves on for so long.
    pub drain: Duration,
    /// `GRACE_MS`: after that, requests in flight have so long to end.
    pub grace: Duration,
}

/// Why the environment makes no sense.
#[derive(Debug)]
pub struct SettingError {
    name: &'static str,
    problem: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

impl std::error::Error for SettingError {}

impl Settings {
    /// Reads them from the process's environment.
    pub fn from_environment(service: &'static str, port: u16) -> Result<Self, SettingError> {
        Ok(Self {
            service,
            version: text("VERSION", option_env!("VERSION").unwrap_or(env!("CARGO_PKG_VERSION"))),
            port: number("PORT", port)?,
            drain: Duration::from_millis(number("DRAIN_MS", 300)?),
            grace: Duration::from_millis(number("GRACE_MS", 8_000)?),
        })
    }
}

/// A text, or what it is when nothing is said.
pub(crate) fn text(name: &str, otherwise: &str) -> String {
    std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| otherwise.to_owned())
}

/// A number, or what it is when nothing is said.
pub(crate) fn number<T: FromStr>(name: &'static str, otherwise: T) -> Result<T, SettingError> {
    match std::env::var(name).ok().filter(|value| !value.is_empty()) {
        Some(value) => {
            value.parse().map_err(|_| SettingError { name, problem: format!("`{value}` is no number") })
        }
        None => Ok(otherwise),
    }
}

/// A secret: the text in the file that this variable names.
pub(crate) fn secret(name: &'static str, otherwise: &str) -> Result<String, SettingError> {
    let file = text(name, otherwise);
    match std::fs::read_to_string(&file) {
        Ok(secret) if !secret.trim().is_empty() => Ok(secret.trim().to_owned()),
        Ok(_) => Err(SettingError { name, problem: format!("`{file}` is empty") }),
        Err(error) => Err(SettingError { name, problem: format!("could not read `{file}`: {error}") }),
    }
}
