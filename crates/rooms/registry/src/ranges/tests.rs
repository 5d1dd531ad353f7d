//! Tests of ranges.

use proptest::prelude::*;

use super::*;

#[test]
fn ranges_that_are_asked_for_are_cut_to_what_is_there() {
    for (header, length, expected) in [
        (None, 10, Asked::Whole),
        (Some("bytes=0-"), 10, Asked::Part(0..=9)),
        (Some("bytes=3-5"), 10, Asked::Part(3..=5)),
        (Some("bytes=3-500"), 10, Asked::Part(3..=9)),
        (Some("bytes=-4"), 10, Asked::Part(6..=9)),
        (Some("bytes=-40"), 10, Asked::Part(0..=9)),
        (Some("bytes=-0"), 10, Asked::Beyond),
        (Some("bytes=10-"), 10, Asked::Beyond),
        (Some("bytes=0-"), 0, Asked::Beyond),
        (Some("bytes=5-3"), 10, Asked::Whole),
        (Some("bytes=0-1,3-4"), 10, Asked::Whole),
        (Some("lines=0-1"), 10, Asked::Whole),
        (Some("bytes=-"), 10, Asked::Whole),
        (Some("bytes=+1-2"), 10, Asked::Whole),
    ] {
        assert_eq!(asked(header, length), expected, "{header:?} of {length}");
    }
}

#[test]
fn chunks_and_parts_are_read_in_every_form() {
    assert_eq!(chunk("0-99"), Some(0..=99));
    assert_eq!(chunk("bytes 100-199/200"), Some(100..=199));
    assert_eq!(chunk("bytes=1-1/*"), Some(1..=1));
    assert_eq!(chunk("5-3"), None);
    assert_eq!(chunk("a-3"), None);
    assert_eq!(part("bytes 5-9/10"), Some((5, Some(10))));
    assert_eq!(part("bytes 5-9/*"), Some((5, None)));
    assert_eq!(part("5-9/10"), None);
    assert_eq!(received("0-99"), Some(100));
    assert_eq!(received("bytes=0-99"), Some(100));
    assert_eq!(received("0-0"), Some(0));
    assert_eq!(received("1-9"), None);
}

proptest! {
    #[test]
    fn what_is_answered_lies_within(header in "bytes=[0-9]{0,21}-[0-9]{0,21}", length in 0u64..1000) {
        if let Asked::Part(part) = asked(Some(&header), length) {
            prop_assert!(part.start() <= part.end() && *part.end() < length);
        }
    }

    #[test]
    fn any_text_ends(text in "\\PC{0,60}") {
        let _ = (asked(Some(&text), 9), chunk(&text), part(&text), received(&text));
    }
}
