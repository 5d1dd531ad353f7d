//! Frames, whole, cut and hostile.

use super::*;

#[test]
fn frames_come_out_as_they_went_in() {
    let mut bytes = Vec::new();
    encode(&mut bytes, FrameKind::Stdout, b"hello");
    encode(&mut bytes, FrameKind::Stdin, b"");
    assert_eq!(decode(&bytes), Ok(Some(Frame { kind: FrameKind::Stdout, body: b"hello" })));
    assert_eq!(decode(&bytes[HEAD + 5..]), Ok(Some(Frame { kind: FrameKind::Stdin, body: b"" })));
    assert_eq!(decode(&bytes[..HEAD + 4]), Ok(None));
}

#[test]
fn what_nobody_may_send_is_refused() {
    assert_eq!(decode(&[9, 0, 0, 0, 0]), Err(BadFrame::Unknown(9)));
    assert_eq!(decode(&[1, 0xff, 0, 0, 0]), Err(BadFrame::TooLong(0xff00_0000)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
        let _ = decode(&bytes);
    }

    #[test]
    fn long_bodies_arrive_in_pieces(length in 0usize..(3 * LIMIT)) {
        let body = vec![7u8; length];
        let mut bytes = Vec::new();
        encode(&mut bytes, FrameKind::Stderr, &body);
        let mut got = Vec::new();
        let mut rest = &bytes[..];
        while let Ok(Some(frame)) = decode(rest) {
            got.extend_from_slice(frame.body);
            rest = &rest[HEAD + frame.body.len()..];
        }
        proptest::prop_assert!(rest.is_empty() && got == body);
    }
}
