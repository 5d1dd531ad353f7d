//! Leave to use devices by their numbers, as `docker run --device-cgroup-rule` writes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `c 13:* rmw`: a kind (`c`, `b`, or `a` for both), two numbers or `*`, and what may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceRule {
    /// `c`, `b`, or `a`.
    pub kind: char,
    /// None for all.
    pub major: Option<u32>,
    /// None for all.
    pub minor: Option<u32>,
    /// It may be read.
    pub read: bool,
    /// It may be written to.
    pub write: bool,
    /// Its node may be made.
    pub make: bool,
}

/// The text is no such rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rule for devices, as in `c 13:* rmw`")]
pub struct InvalidDeviceRule(String);

impl FromStr for DeviceRule {
    type Err = InvalidDeviceRule;

    fn from_str(text: &str) -> Result<Self, InvalidDeviceRule> {
        read(text).ok_or_else(|| InvalidDeviceRule(text.to_owned()))
    }
}

fn read(text: &str) -> Option<DeviceRule> {
    let [kind, numbers, access] = text.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let number = |text: &str| -> Option<Option<u32>> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if text == "*" { Some(None) } else { text.parse().ok().filter(|_| digits).map(Some) }
    };
    let (major, minor) = numbers.split_once(':')?;
    let may = |letter| access.contains(letter);
    let known = (1..=3).contains(&access.len()) && access.chars().all(|letter| "rwm".contains(letter));
    Some(DeviceRule {
        kind: ["a", "b", "c"].contains(&kind).then(|| kind.chars().next()).flatten()?,
        major: number(major)?,
        minor: number(minor)?,
        read: may('r'),
        write: may('w'),
        make: may('m'),
    })
    .filter(|_| known)
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        write!(f, "{} {}:{} ", self.kind, number(self.major), number(self.minor))?;
        let letters = [(self.read, "r"), (self.write, "w"), (self.make, "m")];
        letters.iter().filter(|(has, _)| *has).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl TryFrom<String> for DeviceRule {
    type Error = InvalidDeviceRule;

    fn try_from(text: String) -> Result<Self, InvalidDeviceRule> {
        text.parse()
    }
}

impl From<DeviceRule> for String {
    fn from(rule: DeviceRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceRule;

    #[test]
    fn rules_are_read_and_written() {
        for (text, written) in
            [("c 13:* mr", "c 13:* rm"), ("b 8:0 w", "b 8:0 w"), ("a *:* rwm", "a *:* rwm")]
        {
            assert_eq!(text.parse::<DeviceRule>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in
            ["", "c", "c 1:2", "d 1:2 r", "c 1 r", "c +1:2 r", "c 1:2 x", "c 1:2 rwmr", "c 1:2  r", "c :2 r"]
        {
            assert!(text.parse::<DeviceRule>().is_err(), "{text}");
        }
    }
}
