//! `--chmod`: octal digits, or clauses as chmod(1) has them: `u+rwX,go-w`.
//!
//! Pure.

use crate::error::StepFault;

/// A change of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    /// These and no others.
    Octal(u32),
    /// Clauses, from the left to the right.
    Clauses(Vec<Clause>),
}

/// `go+rX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Bits of `u`, `g` and `o`, whose permissions change.
    who: u32,
    /// `+`, `-` or `=`.
    act: char,
    /// `rwx` as a digit, the same for all who are meant.
    bits: u32,
    /// `X`: execute, where it is a folder or somebody may execute it already.
    execute_if: bool,
    /// `s`.
    set_id: bool,
    /// `t`.
    sticky: bool,
    /// `u`, `g` or `o` behind the sign: the permissions of these, by the shift of their bits.
    like: Option<u32>,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHER: u32 = 0o1007;

impl Chmod {
    pub(crate) fn parse(text: &str) -> Result<Self, StepFault> {
        let wrong = || StepFault::Value {
            value: text.to_owned(),
            what: "permissions",
            allowed: "octal digits up to 7777, as in `0755`, or clauses, as in `u=rwX,go-w`",
        };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let read = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return read.map(Self::Octal).ok_or_else(wrong);
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            let at = part.find(['+', '-', '=']).ok_or_else(wrong)?;
            let (who, mut rest) = part.split_at(at);
            let mut mask = 0;
            for letter in who.chars() {
                mask |= match letter {
                    'u' => USER,
                    'g' => GROUP,
                    'o' => OTHER,
                    'a' => USER | GROUP | OTHER,
                    _ => return Err(wrong()),
                };
            }
            if who.is_empty() {
                mask = USER | GROUP | OTHER;
            }
            // Several signs may follow one another: `u+r-w`.
            while let Some(act) = rest.chars().next() {
                let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |end| end + 1);
                clauses.push(Clause::new(mask, act, &rest[1..end]).ok_or_else(wrong)?);
                rest = &rest[end..];
            }
        }
        Ok(Self::Clauses(clauses))
    }

    /// The permissions that come of these.
    pub(crate) fn apply(&self, mode: u32, folder: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Clauses(clauses) => clauses.iter().fold(mode & 0o7777, |mode, one| one.apply(mode, folder)),
        }
    }
}

impl Clause {
    fn new(who: u32, act: char, letters: &str) -> Option<Self> {
        let mut clause =
            Self { who, act, bits: 0, execute_if: false, set_id: false, sticky: false, like: None };
        let mut chars = letters.chars();
        if let (Some(one @ ('u' | 'g' | 'o')), None) = (chars.next(), chars.next()) {
            let shift = match one {
                'u' => 6,
                'g' => 3,
                _ => 0,
            };
            return Some(Self { like: Some(shift), ..clause });
        }
        for letter in letters.chars() {
            match letter {
                'r' => clause.bits |= 4,
                'w' => clause.bits |= 2,
                'x' => clause.bits |= 1,
                'X' => clause.execute_if = true,
                's' => clause.set_id = true,
                't' => clause.sticky = true,
                _ => return None,
            }
        }
        Some(clause)
    }

    fn apply(&self, mode: u32, folder: bool) -> u32 {
        let mut digit = self.like.map_or(self.bits, |shift| (mode >> shift) & 7);
        if self.execute_if && (folder || mode & 0o111 != 0) {
            digit |= 1;
        }
        let mut bits = digit * 0o111;
        if self.set_id {
            bits |= 0o6000;
        }
        if self.sticky {
            bits |= 0o1000;
        }
        bits &= self.who;
        match self.act {
            '+' => mode | bits,
            '-' => mode & !bits,
            // A folder's set-id bits stay unless they are named, as chmod(1) has it.
            _ => {
                let kept = if folder { mode & 0o6000 } else { 0 };
                (mode & !(self.who & 0o6777)) | bits | kept
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, before: u32, file: u32, folder: u32) {
        let chmod = Chmod::parse(text).expect("it makes sense");
        assert_eq!(
            (format!("{:o}", chmod.apply(before, false)), format!("{:o}", chmod.apply(before, true))),
            (format!("{file:o}"), format!("{folder:o}")),
            "`{text}` of {before:o}"
        );
    }

    #[test]
    fn permissions_change_as_chmod_changes_them() {
        check("0755", 0o644, 0o755, 0o755);
        check("7", 0o644, 0o007, 0o007);
        check("u+x", 0o644, 0o744, 0o744);
        check("+x", 0o644, 0o755, 0o755);
        check("a=rX", 0o640, 0o444, 0o555);
        check("go-rwx,u=rw", 0o755, 0o600, 0o600);
        check("u+X", 0o644, 0o644, 0o744);
        check("u+X", 0o645, 0o745, 0o745);
        check("g=u", 0o640, 0o660, 0o660);
        check("o=g-w", 0o660, 0o664, 0o664);
        check("u+s,g+s,+t", 0o755, 0o7755, 0o7755);
        check("=", 0o755, 0, 0);
        check("g=rx", 0o2775, 0o755, 0o2755);
    }

    #[test]
    fn what_is_no_permission_is_refused() {
        for text in ["8", "10000", "u", "z+x", "u+z", "u+x,", ""] {
            assert!(Chmod::parse(text).is_err(), "`{text}`");
        }
    }
}
