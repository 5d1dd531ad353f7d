//! Who comes in, who waits, and who is sent away.

use std::pin::Pin;
use std::task::Poll;

use spec::Rate;

use super::*;

fn gate(requests: u32, queue: u32, wait: Duration) -> Arc<Gate> {
    let limit = Limit { requests: Some(requests), queue, wait };
    Gate::of(&EdgePolicy { limit: Some(limit), ..EdgePolicy::default() }).expect("a bound is asked for")
}

const LONG: Duration = Duration::from_secs(20);

async fn admitted(gate: &Arc<Gate>) -> Option<Turn> {
    gate.admit(Rank::default()).await.ok().flatten()
}

#[tokio::test]
async fn a_place_goes_to_who_waits_for_it() {
    let gate = gate(2, 1, LONG);
    let first = admitted(&gate).await.expect("a place");
    let second = admitted(&gate).await.expect("another");
    let waits = tokio::spawn({
        let gate = gate.clone();
        async move { admitted(&gate).await }
    });
    while gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.admit(Rank::default()).await.err(), Some(Refusal::OVERLOADED), "the queue has one place");
    drop(first);
    let third = waits.await.expect("no panic").expect("the place of the first");
    drop((second, third));
    assert!(admitted(&gate).await.is_some());
}

#[tokio::test]
async fn who_gives_up_gives_his_place_on() {
    let gate = gate(1, 10, LONG);
    let first = admitted(&gate).await.expect("a place");
    let mut waits: Vec<_> = (0..5)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move { admitted(&gate).await.map(drop) })
        })
        .collect();
    while gate.waiting() < 5 {
        tokio::task::yield_now().await;
    }
    waits.drain(..3).for_each(|wait| wait.abort());
    drop(first);
    for wait in waits {
        let answered = wait.await.expect("no panic");
        // One that stood for too long is sent away, and nobody is forgotten.
        assert!(answered.is_some() || gate.waiting() <= 1);
    }
    assert!(admitted(&gate).await.is_some(), "nothing is lost");
}

#[tokio::test]
async fn nobody_waits_for_longer_than_he_may() {
    let gate = gate(1, 10, Duration::from_millis(20));
    let _first = admitted(&gate).await.expect("a place");
    assert_eq!(gate.admit(Rank::default()).await.err(), Some(Refusal::OVERLOADED));
}

/// A gate for one at a time with room for so many to wait, which knows how urgent they are.
fn ranked(queue: u32) -> Arc<Gate> {
    let limit = Limit { requests: Some(1), queue, wait: LONG };
    let priority = Some(spec::Priority::default());
    let policy = EdgePolicy { limit: Some(limit), priority, ..EdgePolicy::default() };
    Gate::of(&policy).expect("a bound is asked for")
}

/// What becomes of requests of these classes (`c`, `d` and `s`) that come while one is at work, in the order in which it
/// is decided. Each ends as soon as it has its turn.
async fn check(queue: u32, classes: &str, expected: &str) {
    let gate = ranked(queue);
    let first = admitted(&gate).await.expect("a place");
    let mut asks: Vec<(String, Pin<Box<dyn Future<Output = _>>>)> = Vec::new();
    let mut decided = Vec::new();
    let mut first = Some(first);
    let letters: Vec<char> = classes.chars().collect();
    for at in 0..2 * letters.len() {
        if let Some(letter) = letters.get(at) {
            let class = match letter {
                'c' => Class::Critical,
                'd' => Class::Default,
                _ => Class::Sheddable,
            };
            let gate = gate.clone();
            let ask = async move { gate.admit(Rank { class, client: 7 }).await };
            asks.push((format!("{letter}{}", at + 1), Box::pin(ask)));
        } else {
            first = None;
        }
        // One look at each.
        let mut waiting = Vec::new();
        for (name, mut ask) in asks {
            match std::future::poll_fn(|cx| Poll::Ready(ask.as_mut().poll(cx))).await {
                Poll::Pending => waiting.push((name, ask)),
                Poll::Ready(Ok(turn)) => {
                    drop::<Option<Turn>>(turn);
                    decided.push(name);
                }
                Poll::Ready(Err(refusal)) => decided.push(format!("{name} {}", refusal.code)),
            }
        }
        asks = waiting;
    }
    assert!(first.is_none() && asks.is_empty());
    assert_eq!(decided.join(", "), expected, "{classes}");
}

#[tokio::test]
async fn the_more_urgent_go_first_and_take_the_places_of_others() {
    check(5, "sdcsd", "c3, d2, d5, s1, s4").await;
    // All places are taken: the last of the least urgent has to go, and nobody for his like.
    check(2, "ssc", "s2 shed, c3, s1").await;
    check(2, "sdc", "s1 shed, c3, d2").await;
    check(2, "ccd", "d3 overloaded, c1, c2").await;
    check(2, "sss", "s3 overloaded, s1, s2").await;
    check(2, "sdcc", "s1 shed, d2 shed, c3, c4").await;
    check(0, "c", "c1 overloaded").await;
}

#[tokio::test]
async fn where_no_classes_are_known_all_wait_in_one_line() {
    let gate = gate(1, 2, LONG);
    let _first = admitted(&gate).await.expect("a place");
    let urgent = Rank { class: Class::Critical, client: 1 };
    let mut asks: Vec<_> = (0..3).map(|_| Box::pin(gate.admit(urgent))).collect();
    for ask in &mut asks[..2] {
        assert!(std::future::poll_fn(|cx| Poll::Ready(ask.as_mut().poll(cx))).await.is_pending());
    }
    assert_eq!(asks.pop().expect("the third").await.err(), Some(Refusal::OVERLOADED));
    assert!(gate.by_class().is_none());
}

#[tokio::test]
async fn it_is_counted_what_became_of_each_class() {
    let gate = ranked(0);
    let at = |class| Rank { class, client: 1 };
    let first = gate.admit(at(Class::Critical)).await.expect("a place");
    assert!(gate.admit(at(Class::Sheddable)).await.is_err());
    drop(first);
    let counts = gate.by_class().expect("classes").map(|(_, let_in, refused)| (let_in, refused));
    assert_eq!(counts, [(1, 0), (0, 0), (0, 1)]);
}

#[tokio::test]
async fn a_service_without_a_bound_has_no_gate() {
    assert!(Gate::of(&EdgePolicy::default()).is_none());
}

#[test]
fn rates_are_counted_by_what_the_service_says() {
    let gate = |by| {
        let rate = Rate { requests: 2, per: Duration::from_secs(3600), burst: 2, by };
        Gate::of(&EdgePolicy { rate: Some(rate), ..EdgePolicy::default() }).expect("a rate is asked for")
    };
    let taken = |gate: &Gate, asked: &[(u8, Option<&str>)]| {
        let take = |(client, field): &(u8, Option<&str>)| {
            gate.take([10, 0, 0, *client].into(), field.map(str::as_bytes)).is_ok()
        };
        asked.iter().map(|one| if take(one) { '+' } else { '-' }).collect::<String>()
    };
    let (a, b) = ((1, None), (2, None));
    assert_eq!(taken(&gate(RateKey::Client), &[a, a, a, b, b, b]), "++-++-");
    assert_eq!(taken(&gate(RateKey::Service), &[a, b, a, b]), "++--");
    let key = |client, value| (client, Some(value));
    let by_key = gate(RateKey::Header("x-api-key".into()));
    let asked = [key(1, "k"), key(2, "k"), key(1, "k"), key(1, "m"), (1, None), (1, None), (1, None)];
    assert_eq!(taken(&by_key, &asked), "++-+++-");
    let refusal = by_key.take([10, 0, 0, 1].into(), None).expect_err("nothing is left");
    assert_eq!((refusal.code, refusal.retry_after > 1000), ("rate", true));
}
