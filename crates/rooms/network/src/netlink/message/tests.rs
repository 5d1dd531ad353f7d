//! The form of messages.

use proptest::prelude::*;

use super::{ACK, Answer, Body, answers, attributes, packet, text};

#[test]
fn attributes_come_back_as_they_were_written() {
    let inner = Body::default().with(1, &[7]).with_number(2, 9);
    let body = Body::of(&[1, 2, 3, 4]).with_text(3, "eth0").with_nested(18, inner);
    let found: Vec<_> = attributes(&body.bytes()[4..]).collect();
    assert_eq!(found[0].0, 3);
    assert_eq!(text(found[0].1), "eth0");
    assert_eq!(attributes(found[1].1).map(|(kind, v)| (kind, v.len())).collect::<Vec<_>>(), [(1, 1), (2, 4)]);
}

#[test]
fn requests_are_numbered_from_one() {
    let request = Body::of(&[0; 4]).request(16, ACK);
    let bytes = packet(&[request.clone(), request]);
    assert_eq!(bytes.len(), 40);
    assert_eq!((bytes[8], bytes[28]), (1, 2));
}

proptest! {
    #[test]
    fn any_bytes_are_taken_apart_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut found: Vec<Answer> = Vec::new();
        let _ = answers(&bytes, &mut found);
        let inside: usize = attributes(&bytes).map(|(_, value)| value.len()).sum();
        prop_assert!(inside <= bytes.len());
    }
}
