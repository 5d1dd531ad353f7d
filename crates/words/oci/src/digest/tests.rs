//! Tests of digests: what parses, what verifies, and how chains are named.

use std::io::{Read, Write};

use proptest::prelude::*;

use super::*;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn only_whole_lower_case_digests_parse() {
    assert_eq!(EMPTY.parse::<Digest>().unwrap().to_string(), EMPTY);
    for text in ["", "sha256", "sha256:", "md5:00", &EMPTY[7..], &EMPTY.to_uppercase(), &format!("{EMPTY}0")]
    {
        let problem = text.parse::<Digest>().unwrap_err();
        assert_eq!(problem.kind(), Kind::Invalid, "{text}");
    }
    assert!(format!("sha512:{}", "a".repeat(128)).parse::<Digest>().is_ok());
    assert!(format!("sha512:{}", "a".repeat(64)).parse::<Digest>().is_err());
}

#[test]
fn content_that_is_not_its_digest_is_told_apart() {
    let mut right = Verifier::new(&b""[..], EMPTY.parse().unwrap());
    io::copy(&mut right, &mut io::sink()).unwrap();
    assert!(right.finish().is_ok());
    let mut wrong = Verifier::new(Vec::new(), EMPTY.parse().unwrap());
    wrong.write_all(b"x").unwrap();
    assert_eq!(wrong.finish().unwrap_err().got, Digest::sha256(b"x"));
    let long = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
    assert!(Verifier::new(&b""[..], long).finish().is_err());
}

#[test]
fn a_chain_of_one_is_its_diff_and_of_two_is_the_hash_of_both() {
    let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
    let chain = chain_ids(&[a.clone(), b.clone()]);
    assert_eq!(chain, [a.clone(), Digest::sha256(format!("{a} {b}").as_bytes())]);
    assert!(chain_ids(&[]).is_empty());
}

proptest! {
    #[test]
    fn a_hasher_names_what_passed_through(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut read = Vec::new();
        let mut hasher = Sha256Hasher::new(&bytes[..]);
        hasher.read_to_end(&mut read).unwrap();
        let (_, digest, len) = hasher.finish();
        prop_assert_eq!(digest, Digest::sha256(&bytes));
        prop_assert_eq!(len, bytes.len() as u64);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        let _ = text.parse::<Digest>();
    }
}
