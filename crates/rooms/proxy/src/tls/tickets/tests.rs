//! Tickets through the lives of their keys.

use super::*;

const HOUR: u64 = 3600;

#[test]
fn a_ticket_is_read_by_whoever_was_handed_the_keys_and_by_nobody_else() {
    let now = now_secs();
    let one = Tickets::new(Vec::new()).expect("keys");
    let ticket = one.seal(b"session", now).expect("a ticket");
    let heir = Tickets::new(one.keys()).expect("keys");
    assert_eq!(heir.unseal(&ticket, now).as_deref(), Some(&b"session"[..]));
    let stranger = Tickets::new(Vec::new()).expect("keys");
    assert_eq!(stranger.unseal(&ticket, now), None);
    assert_ne!(one.seal(b"session", now), Some(ticket), "no nonce is used twice");
}

#[test]
fn a_key_makes_tickets_for_six_hours_and_reads_them_for_twelve() {
    let now = now_secs();
    let tickets = Tickets::new(Vec::new()).expect("keys");
    let first = tickets.seal(b"first", now).expect("a ticket");
    let second = tickets.seal(b"second", now + 7 * HOUR).expect("a ticket");
    assert_ne!(first[..16], second[..16], "another key");
    assert_eq!(tickets.unseal(&first, now + 11 * HOUR).as_deref(), Some(&b"first"[..]));
    assert_eq!(tickets.unseal(&first, now + 13 * HOUR), None, "its key is gone");
    assert_eq!(tickets.unseal(&second, now + 13 * HOUR).as_deref(), Some(&b"second"[..]));
}

#[test]
fn a_ticket_that_was_touched_or_cut_is_none() {
    let now = now_secs();
    let tickets = Tickets::new(Vec::new()).expect("keys");
    let good = tickets.seal(b"session", now).expect("a ticket");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(tickets.unseal(&bad, now), None, "byte {at}");
        assert_eq!(tickets.unseal(&good[..at], now), None, "cut at {at}");
    }
    assert_eq!(format!("{tickets:?}"), "Tickets(…)");
}
