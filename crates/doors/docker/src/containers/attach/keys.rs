//! The keys by which a client leaves a terminal without ending what runs there.

use crate::answer::Refusal;

/// Docker's usual ones.
const USUAL: [u8; 2] = [0x10, 0x11];

/// A sequence of keys, and how much of it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    sequence: Vec<u8>,
    typed: usize,
}

impl Keys {
    /// `ctrl-p,ctrl-q`: letters by themselves, or with `ctrl-`. Without a word the usual ones.
    pub(crate) fn parse(text: Option<&str>) -> Result<Option<Self>, Refusal> {
        let Some(text) = text else { return Ok(Some(Self { sequence: USUAL.to_vec(), typed: 0 })) };
        let wrong = || Refusal::invalid(format!("Invalid detach keys ({text}) provided"));
        let key = |word: &str| -> Option<u8> {
            match word.strip_prefix("ctrl-").map(str::as_bytes) {
                Some([letter @ b'a'..=b'z']) => Some(letter - b'a' + 1),
                Some(b"@") => Some(0),
                Some([sign @ (b'[' | b'\\' | b']' | b'^' | b'_')]) => Some(sign - b'[' + 27),
                Some(_) => None,
                None => match word.as_bytes() {
                    [byte] => Some(*byte),
                    _ => None,
                },
            }
        };
        let sequence: Vec<u8> = text.split(',').map(key).collect::<Option<_>>().ok_or_else(wrong)?;
        Ok(Some(Self { sequence, typed: 0 }))
    }

    /// What of some input is for the program, and whether the sequence is complete with it.
    pub(crate) fn pass(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(input.len());
        for byte in input {
            if self.sequence.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.sequence.len() {
                    return (out, true);
                }
                continue;
            }
            // It was no sequence after all, so its keys were meant for the program.
            out.extend_from_slice(&self.sequence[..self.typed]);
            self.typed = usize::from(self.sequence.first() == Some(byte));
            if self.typed == 0 {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    fn keys(text: Option<&str>) -> Keys {
        Keys::parse(text).ok().flatten().expect("keys")
    }

    #[test]
    fn keys_are_found_in_one_piece_and_in_several() {
        let mut usual = keys(None);
        assert_eq!(usual.pass(b"ab\x10\x11rest"), (b"ab".to_vec(), true));
        let mut usual = keys(None);
        assert_eq!(usual.pass(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(usual.pass(b"\x11"), (Vec::new(), true));
        let mut usual = keys(None);
        assert_eq!(usual.pass(b"\x10x\x10\x10\x11"), (b"\x10x\x10".to_vec(), true));
    }

    #[test]
    fn other_keys_are_read_or_refused() {
        assert_eq!(keys(Some("ctrl-x")).pass(b"a\x18"), (b"a".to_vec(), true));
        assert_eq!(keys(Some("a,ctrl-[")).pass(b"xa\x1b"), (b"x".to_vec(), true));
        assert!(Keys::parse(Some("ctrl-!")).is_err() && Keys::parse(Some("ab")).is_err());
    }
}
