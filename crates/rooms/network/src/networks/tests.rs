//! The networks as the daemon uses them, on machines of their own.

use crate::testbed::{Place, ip, joins, network, open, order};

#[test]
fn two_containers_of_a_network_reach_each_other_and_removal_leaves_nothing() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let before = host.state();
    let (one, two) = (Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(order("shop")).await.unwrap();
        let first = networks.attach(&network("shop"), joins(1, &one)).await.unwrap();
        let second = networks.attach(&network("shop"), joins(2, &two)).await.unwrap();
        assert_ne!(first.ipv4, second.ipv4);
        let port = two.greets();
        assert_eq!(one.asks(ip(second.ipv4), port), Some(ip(first.ipv4).to_string()));
        assert!(host.reaches(ip(second.ipv4), port), "the host reaches containers");

        networks.remove(&network("shop")).await.expect_err("it is in use");
        networks.detach_all(&first.container).await.unwrap();
        networks.detach_all(&second.container).await.unwrap();
        networks.detach_all(&second.container).await.expect("once more is no harm");
        networks.remove(&network("shop")).await.unwrap();
    });
    assert_eq!(host.state(), before);
}
