//! What is read in one pass is what the exact reading finds.

use proptest::prelude::*;

use super::super::{Known, field as exact_field, known, line};
use super::*;

/// Bytes of which about one is out of order.
fn nearly(regex: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let flip = (any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    (prop::string::string_regex(regex).expect("a form of text"), flip).prop_map(|(text, (at, byte, odd))| {
        let mut text = text.into_bytes();
        if odd && !text.is_empty() {
            let at = at.index(text.len());
            text[at] = byte;
        }
        text
    })
}

const FIELDS: &str = "(Host|X-a|content-LENGTH|Transfer_Encoding|x-forwarded-[a-z]{1,20}|[!-~]{1,40}):[ \t]{0,2}\
                      ([a-z0-9,;=é\t ]{0,24}|[ -~]{0,200})[ \t]{0,2}\r\n\r\n";
const STATUS_LINES: &str = "HTTP/1\\.[01] [0-9]{2,4} {0,2}[ -~\té]{0,30}\r\n";
const REQUEST_LINES: &str = "(GET|PURGE|[A-Za-z!-]{1,40}) /[a-z0-9./?%#~\\\\ é-]{0,40} HTTP/1\\.[01]\r\n";

proptest! {
    #[test]
    fn fields_are_what_the_exact_reading_finds(text in nearly(FIELDS)) {
        let exact = line(&text, 0).and_then(|(span, next)| Ok((exact_field(&text, span)?, next)));
        match field(&text, 0) {
            Some(found) => prop_assert_eq!(Ok(found), exact),
            // What is in order and short needs no second look.
            None => {
                let name = text.split(|byte| *byte == b':').next().unwrap_or_default();
                let odd = name.iter().any(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-');
                let left = odd || text.len() > VALUE_BYTES;
                prop_assert!(exact.is_err() || left, "{:?} for {:?}", exact, text);
            }
        }
    }

    #[test]
    fn request_lines_are_what_the_exact_reading_finds(text in nearly(REQUEST_LINES)) {
        let exact = line(&text, 0).and_then(|(span, next)| {
            let (method, target, old) = super::super::request::request_line(&text, span)?;
            Ok((method, target, old, next))
        });
        match request_line(&text, 0) {
            Some((method, target, next)) => prop_assert_eq!(Ok((method, target, false, next)), exact),
            None => prop_assert!(exact.is_err() || matches!(exact, Ok((_, _, true, _))), "{:?} for {:?}", exact, text),
        }
    }

    #[test]
    fn status_lines_are_what_the_exact_reading_finds(text in nearly(STATUS_LINES)) {
        let exact = line(&text, 0).and_then(|(span, next)| {
            let (old, status, reason) = super::super::response::status_line(span.of(&text), &text)?;
            Ok((old, status, reason, next))
        });
        match status_line(&text) {
            Some((status, reason, next)) => prop_assert_eq!(Ok((false, status, reason, next)), exact),
            None => {
                let left = text.len() > VALUE_BYTES || text.get(12) != Some(&b' ');
                let old = matches!(exact, Ok((true, ..)));
                prop_assert!(exact.is_err() || left || old, "{:?} for {:?}", exact, text);
            }
        }
    }

    #[test]
    fn paths_that_pass_are_those_that_nobody_misreads(target in nearly("/[a-z0-9./?%;\\\\]{0,30}")) {
        let whole = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let exact = super::super::request::check_path(&target[..whole]);
        match path(&target) {
            Some(length) => prop_assert_eq!((length, exact), (whole, Ok(()))),
            None => prop_assert!(target[..whole].iter().any(|byte| matches!(byte, b'.' | b'%' | b'\\'))),
        }
    }

    #[test]
    fn line_ends_are_found(
        text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(0x0b), Just(0x8a), any::<u8>()], 0..900),
        at in 0..900_usize,
        modulus in 1..7_usize,
    ) {
        let wanted = |found: usize| found.is_multiple_of(modulus);
        let want = (at..text.len()).find(|found| text[*found] == b'\n' && wanted(*found));
        prop_assert_eq!(find_among_line_ends(&text, at, wanted), want);
    }
}

#[test]
fn names_mean_the_same_in_any_case_and_with_underscores() {
    for (name, want) in [
        ("content-length", Known::ContentLength),
        ("CoNtEnT_LeNgTh", Known::ContentLength),
        ("X-Forwarded-Ssl", Known::Forwarded),
        ("x_forwarded_anything-that-is-long", Known::Forwarded),
        ("TE", Known::Te),
        ("", Known::Other),
    ] {
        assert_eq!(known(name.as_bytes()), want, "{name:?}");
    }
}
