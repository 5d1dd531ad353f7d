//! What a Dockerfile says of its checks: `# check=skip=RULE,…;error=true;experimental=RULE,…`.
//!
//! At the top of the file it holds for all; in the comments above an instruction its rules are added for that one.

/// The settings of checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    skip: Rules,
    experimental: Rules,
    /// Whether a finding fails the build.
    pub error: bool,
}

/// Rules by name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rules {
    All,
    Some(Vec<String>),
}

impl Default for Rules {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Rules {
    fn parse(text: &str) -> Self {
        match text.trim() {
            "all" => Self::All,
            list => Self::Some(list.split(',').map(|rule| rule.trim().to_owned()).collect()),
        }
    }

    fn has(&self, rule: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(rules) => rules.iter().any(|one| one == rule),
        }
    }

    fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Some(ours), Self::Some(theirs)) => Self::Some([ours.as_slice(), theirs].concat()),
            (Self::All, _) | (_, Self::All) => Self::All,
        }
    }
}

impl Settings {
    /// Reads what stands behind `check=`, or why it cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        if text.trim().is_empty() {
            return Ok(settings);
        }
        for part in text.trim().splitn(3, ';') {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("invalid check option {part:?}"))?;
            match name.trim() {
                "skip" => settings.skip = Rules::parse(value),
                "experimental" => settings.experimental = Rules::parse(value),
                "error" => {
                    settings.error = match value.trim() {
                        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                        _ => return Err(format!("failed to parse check option {part:?}")),
                    }
                }
                other => return Err(format!("invalid check option {other:?}")),
            }
        }
        Ok(settings)
    }

    /// With what the comments above an instruction add. What cannot be read there adds nothing.
    pub(super) fn with(&self, comments: &[String]) -> Self {
        let Some(value) = comments.iter().find_map(|comment| directive(comment)) else { return self.clone() };
        let Ok(other) = Self::parse(value.split(' ').next().unwrap_or_default()) else { return self.clone() };
        Self {
            skip: self.skip.and(&other.skip),
            experimental: self.experimental.and(&other.experimental),
            error: self.error,
        }
    }

    /// Whether findings of a rule count.
    pub(super) fn take(&self, rule: &str, experimental: bool) -> bool {
        if experimental { self.experimental.has(rule) } else { !self.skip.has(rule) }
    }
}

/// The value of a comment that says `check=…`.
fn directive(comment: &str) -> Option<&str> {
    let (name, value) = comment.split_once('=')?;
    name.trim().eq_ignore_ascii_case("check").then(|| value.trim())
}

#[cfg(test)]
mod tests {
    //! Tests of what can be said of checks.

    use super::*;

    fn comments(text: &str) -> Vec<String> {
        vec!["more".to_owned(), text.to_owned()]
    }

    #[test]
    fn rules_are_skipped_and_asked_for() {
        let settings = Settings::parse("skip=A, B;error=true;experimental=all").unwrap();
        assert!(settings.error);
        assert_eq!(["A", "B", "C"].map(|rule| settings.take(rule, false)), [false, false, true]);
        assert!(settings.take("E", true));
        let all = Settings::parse(" skip=all ").unwrap();
        assert!(!all.take("A", false) && !all.take("E", true) && !all.error);
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
    }

    #[test]
    fn a_comment_adds_rules_for_one_instruction() {
        let settings = Settings::parse("skip=A;error=true").unwrap();
        let with = settings.with(&comments("check=skip=B;experimental=E because"));
        assert_eq!(["A", "B", "C"].map(|rule| with.take(rule, false)), [false, false, true]);
        assert!(with.take("E", true) && with.error);
        assert_eq!(settings.with(&comments("check=nonsense")), settings);
        assert_eq!(settings.with(&comments("skip=B")), settings);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (text, why) in [
            ("skip", "invalid check option \"skip\""),
            ("leave=A", "invalid check option \"leave\""),
            ("error=maybe", "failed to parse check option \"error=maybe\""),
        ] {
            assert_eq!(Settings::parse(text), Err(why.to_owned()));
        }
    }
}
