//! Prices move as people expect.

use super::price_cents;

#[test]
fn a_longer_ship_and_a_longer_stay_cost_more() {
    for day in 20_000..20_060 {
        assert!(price_cents(8, 1, day) < price_cents(12, 1, day));
        assert!(price_cents(8, 1, day) < price_cents(8, 2, day));
    }
}

#[test]
fn a_price_is_round_and_the_same_when_it_is_asked_again() {
    assert_eq!(price_cents(10, 3, 20_000) % 50, 0);
    assert_eq!(price_cents(10, 3, 20_000), price_cents(10, 3, 20_000));
}

#[test]
fn tides_move_a_night_by_less_than_a_quarter() {
    let prices: Vec<u64> = (20_000..20_060).map(|day| price_cents(10, 1, day)).collect();
    let (low, high) = (prices.iter().min().unwrap(), prices.iter().max().unwrap());
    assert!(low < high && *low > 1_050 && *high < 1_750, "{low} to {high}");
}
