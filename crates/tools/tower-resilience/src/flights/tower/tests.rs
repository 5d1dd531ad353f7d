//! Whatever order leaders land and followers leave in, no radio and no flight is left over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use base::Rng;

use super::*;

type Waiting = Pin<Box<dyn Future<Output = Told<u64>>>>;

fn poll(waiting: &mut Waiting) -> Poll<Told<u64>> {
    waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn tower() -> Arc<Tower<u64>> {
    Arc::new(Tower::new(Policy::default(), &World::real()))
}

fn follow(tower: &Arc<Tower<u64>>) -> Waiting {
    let Joined::Follow(following) = tower.join(1) else { panic!("another leads") };
    Box::pin(following.told())
}

#[tokio::test]
async fn one_who_is_told_to_lead_and_has_gone_makes_the_next_lead() {
    let tower = tower();
    let Joined::Lead(aloft) = tower.join(1) else { panic!("nobody was there") };
    let (second, mut third) = (follow(&tower), follow(&tower));
    aloft.land(Landing::Failed, None);
    drop(second);
    let Poll::Ready(Told::Lead(aloft)) = poll(&mut third) else { panic!("it is its turn") };
    drop(third);
    aloft.land(Landing::Shared, Some(&7));
    assert_eq!(tower.load(), (0, 0));
    assert!(lock(&tower.state).radios.is_empty());
}

#[tokio::test]
async fn one_who_is_told_to_lead_and_hears_nothing_makes_the_next_lead() {
    let tower = tower();
    let Joined::Lead(mut aloft) = tower.join(1) else { panic!("nobody was there") };
    let mut next = follow(&tower);
    let flight = aloft.flight.take().expect("it has not landed");
    let (radio, told) = oneshot::channel();
    drop(told);
    // As if the follower had gone between the lock and the radio.
    tower.tell(vec![(Some(radio), Next::Lead(flight))], || None);
    assert!(matches!(poll(&mut next), Poll::Ready(Told::Lead(_))));
    assert_eq!(tower.load(), (0, 0));
}

#[tokio::test]
async fn random_landings_and_departures_leave_nothing_behind() {
    for seed in 1..=20 {
        let mut rng = Rng::seeded(seed);
        let tower = tower();
        let (mut waiting, mut leading) = (Vec::<Waiting>::new(), Vec::new());
        for _ in 0..2_000 {
            let at = rng.below(waiting.len() as u64) as usize;
            match rng.below(6) {
                0 | 1 => match tower.join(rng.below(5)) {
                    Joined::Lead(aloft) => leading.push(aloft),
                    Joined::Follow(following) => waiting.push(Box::pin(following.told())),
                    Joined::Alone => {}
                },
                2 if !waiting.is_empty() => {
                    if let Poll::Ready(told) = poll(&mut waiting[at]) {
                        leading.extend(Some(told).and_then(|told| match told {
                            Told::Lead(aloft) => Some(aloft),
                            Told::Answer(_) | Told::Alone => None,
                        }));
                        drop(waiting.swap_remove(at));
                    }
                }
                3 if !waiting.is_empty() => drop(waiting.swap_remove(at)),
                4 => drop(leading.pop()),
                _ => {
                    let landings = [Landing::Shared, Landing::Failed, Landing::Differs];
                    let landing = *rng.pick(&landings).unwrap_or(&Landing::Shared);
                    leading.pop().into_iter().for_each(|aloft| aloft.land(landing, Some(&7)));
                }
            }
            let radios = lock(&tower.state).radios.len();
            assert_eq!(radios, tower.load().1, "seed {seed}");
        }
        drop((waiting, leading));
        assert_eq!(tower.load(), (0, 0), "seed {seed}");
        assert!(lock(&tower.state).radios.is_empty(), "seed {seed}");
    }
}
