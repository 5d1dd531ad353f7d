//! How many places each gets.

use super::*;

fn client(number: u8) -> Holder {
    Holder::of([192, 0, 2, number].into())
}

/// Each of them in turn takes what it can of 1,000 places, until none can; how many each has then.
fn taken(holders: &[Holder]) -> Vec<usize> {
    let mut places = Places::new(1000);
    let mut has = vec![0; holders.len()];
    loop {
        let before = has.clone();
        for (holder, has) in holders.iter().zip(&mut has) {
            *has += usize::from(places.take(*holder));
        }
        if has == before {
            return has;
        }
    }
}

#[test]
fn some_places_are_free_however_many_a_client_wants() {
    assert_eq!(taken(&[client(1)]), [889]);
    assert_eq!(taken(&[client(1), client(2)]), [471, 471]);
    assert_eq!(taken(&[client(1), client(2), client(3), client(4)]), [243, 243, 242, 242]);
}

#[test]
fn proxies_of_ours_may_have_all_of_them() {
    assert_eq!(taken(&[Holder::MANY]), [1000]);
}

#[test]
fn who_comes_beside_a_crowd_finds_a_place_and_gives_it_back() {
    let mut places = Places::new(9);
    while places.take(client(1)) {}
    assert_eq!(places.taken, 8);
    for _ in 0..3 {
        assert!(places.take(client(2)), "the last one is nobody's for long");
        assert!(!places.take(client(3)), "there is none beyond all");
        places.give_back(client(2));
    }
    (0..8).for_each(|_| places.give_back(client(1)));
    assert_eq!((places.taken, places.by.len()), (0, 0), "nothing is remembered of who is gone");
}
