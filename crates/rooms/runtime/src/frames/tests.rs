//! Frames, whole, cut and hostile.

use proptest::prelude::*;

use super::*;

#[test]
fn hostile_bytes_are_refused_before_they_are_kept() {
    assert_eq!(cut(&[0, 0, 0, 0, 1]), Err(BadFrame::Empty));
    assert_eq!(cut(&[0xff, 0xff, 0xff, 0xff]), Err(BadFrame::TooLong(0xffff_ffff)));
    assert_eq!(cut(&[2, 0, 0, 0, 9, 1]), Err(BadFrame::Unknown(9)));
    assert_eq!(cut(&[2, 0, 0]), Ok(None));
    assert_eq!(cut(&[2, 0, 0, 0, 3]), Ok(None));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic_or_take_more_than_there_are(bytes: Vec<u8>) {
        if let Ok(Some((_, body, taken))) = cut(&bytes) {
            prop_assert!(taken <= bytes.len() && body.len() < taken);
        }
    }

    #[test]
    fn what_was_pushed_is_cut_again(bodies: Vec<Vec<u8>>) {
        let mut all = Vec::new();
        for body in &bodies {
            push(&mut all, Kind::Stdout, body);
        }
        let mut rest = all.as_slice();
        for body in &bodies {
            let (kind, got, taken) = cut(rest).unwrap().unwrap();
            prop_assert_eq!((kind, got), (Kind::Stdout, body.as_slice()));
            rest = &rest[taken..];
        }
        prop_assert!(rest.is_empty());
    }
}
