//! Rate limits.

use std::time::Duration;

use expect_test::expect;
use resilience::rate::Quota;
use tower::Layer;
use tower_resilience::rate::RateLayer;

use crate::support::{Puppet, Request, timeline, world};

#[tokio::test(start_paused = true)]
async fn each_client_has_its_own_quota_and_is_told_when_to_come_back() {
    let quota = Quota::new(10, Duration::from_secs(1), 2);
    let rate = RateLayer::new(quota, &world(1), |request: &Request| request.client.clone()).with_keys(100);
    let calls = "0 ok@ann\n0 ok@ann\n0 ok@ann\n0 ok@bob\n50 ok@ann\n100 ok@ann\n100 ok@ann";
    let told = expect![[r#"
        0 ok@ann -> 0 ok
        0 ok@ann -> 0 ok
        0 ok@ann -> 0 RateExceeded 100
        0 ok@bob -> 0 ok
        50 ok@ann -> 50 RateExceeded 50
        100 ok@ann -> 100 ok
        100 ok@ann -> 100 RateExceeded 100
    "#]];
    told.assert_eq(&timeline(rate.layer(Puppet::default()), calls).await);
}

#[tokio::test(start_paused = true)]
async fn a_new_quota_holds_for_all_services_of_the_layer() {
    let quota = Quota::new(1, Duration::from_secs(1), 1);
    let rate = RateLayer::new(quota, &world(1), |request: &Request| request.client.clone());
    let service = rate.layer(Puppet::default());
    rate.set_quota(Quota::new(1, Duration::from_secs(1), 3));
    let told = expect![[r#"
        0 ok@ann -> 0 ok
        0 ok@ann -> 0 ok
        0 ok@ann -> 0 ok
        0 ok@ann -> 0 RateExceeded 1000
    "#]];
    told.assert_eq(&timeline(service, &"0 ok@ann\n".repeat(4)).await);
}
