//! Whatever order places come back and waiters leave in, no doorbell and no place is left over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use base::Rng;

use super::*;

type Entering = Pin<Box<dyn Future<Output = Told>>>;

fn poll(entering: &mut Entering) -> Poll<Told> {
    entering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn hall(limits: Limits) -> (Arc<Hall>, Part) {
    let hall = Arc::new(Hall::new(&World::real()));
    let part = hall.add(Limits { client_share: 1.0, ..limits });
    (hall, part)
}

#[track_caller]
fn is_empty(hall: &Hall, part: Part) {
    assert_eq!(hall.load(part), (0, 0));
    assert!(lock(&hall.state).bells.is_empty());
}

#[tokio::test]
async fn a_place_that_was_told_to_one_who_has_gone_goes_to_the_next() {
    let (hall, part) = hall(Limits { at_once: 1, ..Limits::default() });
    let enter = || -> Entering {
        let hall = Arc::clone(&hall);
        Box::pin(async move { hall.enter(&[part], 1).await })
    };
    let (mut first, mut second, mut third) = (enter(), enter(), enter());
    let Poll::Ready(place) = poll(&mut first) else { panic!("it is empty") };
    assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
    // The second is told, goes without hearing it, and its place comes back by that.
    drop(place);
    assert_eq!(hall.load(part), (1, 1));
    drop(second);
    assert_eq!(hall.load(part), (1, 0));
    assert!(matches!(poll(&mut third), Poll::Ready(Ok(_))));
    is_empty(&hall, part);
}

#[tokio::test]
async fn a_place_whose_bell_rings_for_nobody_goes_to_the_next() {
    let (hall, part) = hall(Limits { at_once: 1, ..Limits::default() });
    let mut place = hall.enter(&[part], 1).await.expect("it is empty");
    let mut next: Entering = {
        let hall = Arc::clone(&hall);
        Box::pin(async move { hall.enter(&[part], 1).await })
    };
    assert!(poll(&mut next).is_pending());
    let (bell, told) = oneshot::channel();
    drop(told);
    // As if the one who was told had gone between the lock and the bell.
    let permit = place.permit.take().expect("it was let in");
    hall.tell(vec![(Some(bell), Ok(permit))]);
    assert!(matches!(poll(&mut next), Poll::Ready(Ok(_))));
    is_empty(&hall, part);
}

#[tokio::test]
async fn random_comings_and_goings_leave_nothing_behind() {
    for seed in 1..=20 {
        let mut rng = Rng::seeded(seed);
        let (hall, part) = hall(Limits { at_once: 3, waiting: 10, ..Limits::default() });
        let mut entering: Vec<Entering> = Vec::new();
        let mut places = Vec::new();
        for _ in 0..2_000 {
            let at = rng.below(entering.len() as u64) as usize;
            match rng.below(4) {
                0 => {
                    let hall = Arc::clone(&hall);
                    entering.push(Box::pin(async move { hall.enter(&[part], 1).await }));
                }
                1 if !entering.is_empty() => {
                    if let Poll::Ready(told) = poll(&mut entering[at]) {
                        places.extend(told.ok());
                        drop(entering.swap_remove(at));
                    }
                }
                2 if !entering.is_empty() => drop(entering.swap_remove(at)),
                _ => drop(places.pop()),
            }
            let (running, waiting) = hall.load(part);
            assert!(running <= 3 && waiting <= 10, "seed {seed}: {running} run and {waiting} wait");
            assert_eq!(lock(&hall.state).bells.len() as u32, waiting, "seed {seed}");
        }
        drop((entering, places));
        is_empty(&hall, part);
    }
}
