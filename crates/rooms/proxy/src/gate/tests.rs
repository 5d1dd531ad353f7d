//! Who comes in, who waits, and who is sent away.

use spec::Rate;

use super::*;

fn gate(requests: u32, queue: u32, wait: Duration) -> Arc<Gate> {
    let limit = Limit { requests: Some(requests), queue, wait };
    Gate::of(&EdgePolicy { limit: Some(limit), ..EdgePolicy::default() }).expect("a bound is asked for")
}

const LONG: Duration = Duration::from_secs(20);

async fn admitted(gate: &Arc<Gate>) -> Option<Turn> {
    gate.admit().await.ok().flatten()
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
    assert_eq!(gate.admit().await.err(), Some(Refusal::OVERLOADED), "the queue has one place");
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
    assert_eq!(gate.admit().await.err(), Some(Refusal::OVERLOADED));
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
