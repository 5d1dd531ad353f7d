//! The date of answers that have none of their own (RFC 9110, section 6.6.1): whoever passes one on says when it came, and
//! what the edge answers by itself says when that was.

use std::cell::{Cell, Ref, RefCell};

use base::Timestamp;
use resilience::http_date;

const NAME: &[u8] = b"date: ";

/// The line that says what time it is, as a thread last looked: it is right to a tick.
pub(crate) struct Today {
    second: Cell<i64>,
    line: RefCell<Vec<u8>>,
}

impl Today {
    pub(crate) fn new(now: Timestamp) -> Self {
        let today = Self { second: Cell::new(i64::MIN), line: RefCell::default() };
        today.look(now);
        today
    }

    /// Takes in what time it is.
    pub(crate) fn look(&self, now: Timestamp) {
        if self.second.replace(now.secs()) == now.secs() {
            return;
        }
        let mut line = self.line.borrow_mut();
        line.clear();
        line.extend_from_slice(NAME);
        line.extend_from_slice(http_date::write(now).as_bytes());
        line.extend_from_slice(b"\r\n");
    }

    /// The whole line.
    pub(crate) fn line(&self) -> Ref<'_, [u8]> {
        Ref::map(self.line.borrow(), Vec::as_slice)
    }

    /// Puts the line into the answer that begins at `from` and has its whole head, unless it has one.
    pub(crate) fn date(&self, out: &mut Vec<u8>, from: usize) {
        let head = &out[from..];
        let end = memchr::memmem::find(head, b"\r\n\r\n").unwrap_or(head.len());
        let mut lines = head[..(end + 2).min(head.len())].split_inclusive(|c| *c == b'\n');
        let first = lines.next().map_or(0, <[u8]>::len);
        let has_one = |line: &[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"date:"));
        if !lines.any(has_one) {
            out.splice(from + first..from + first, self.line().iter().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_gets_one_date_behind_its_first_line() {
        let today = Today::new(Timestamp::from_secs(784_111_777));
        for (answer, want) in [
            (
                "HTTP/1.1 200 OK\r\na: b\r\n\r\nx",
                "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\na: b\r\n\r\nx",
            ),
            ("HTTP/1.1 204 \r\n\r\n", "HTTP/1.1 204 \r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\nDATE: then\r\n\r\n", "HTTP/1.1 200 OK\r\nDATE: then\r\n\r\n"),
        ] {
            let mut out = format!("before{answer}").into_bytes();
            today.date(&mut out, 6);
            assert_eq!(String::from_utf8_lossy(&out), format!("before{want}"));
        }
    }

    #[test]
    fn it_goes_with_the_time() {
        let today = Today::new(Timestamp::from_secs(0));
        assert_eq!(&*today.line(), b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
        today.look(Timestamp::from_secs(86_400));
        assert_eq!(&*today.line(), b"date: Fri, 02 Jan 1970 00:00:00 GMT\r\n");
    }
}
