//! Forms of trace contexts.

use super::*;

#[test]
fn a_context_is_read_as_the_recommendation_says() {
    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (context, fine) in [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", true),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes", true),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", false),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", false),
        ("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
        ("", false),
    ] {
        assert_eq!(id(context.as_bytes()), fine.then(|| ID.as_bytes().try_into().unwrap()), "{context}");
    }
}

#[test]
fn a_new_one_is_well_formed_and_a_share_is_recorded() {
    let mut rng = Rng::seeded(1);
    let mut recorded = 0;
    for _ in 0..10_000 {
        let (trace, line) = begin(&mut rng, 250_000);
        let context = line.strip_prefix("traceparent: ").unwrap().strip_suffix("\r\n").unwrap();
        assert_eq!(id(context.as_bytes()), Some(trace));
        recorded += u32::from(context.ends_with("-01"));
    }
    assert!((2300..2700).contains(&recorded), "{recorded}");
    assert!((0..100).all(|_| begin(&mut rng, 0).1.ends_with("-00\r\n")));
    assert!((0..100).all(|_| begin(&mut rng, 1_000_000).1.ends_with("-01\r\n")));
}
