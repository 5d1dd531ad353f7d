//! The networks as the daemon uses them, on machines of their own.

mod crash;
mod names;
mod served;
mod speed;
mod straight;

use std::net::IpAddr;

use base::Problem;

use crate::order::{AttachOrder, IpamOrder, NetworkOrder};
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

#[test]
fn two_roots_live_side_by_side_and_one_that_goes_leaves_the_other_alone() {
    let host = Place::new();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two, three) = (Place::new(), Place::new(), Place::new());
    host.run(async || {
        let (ours, theirs) = (open(here.path()).await, open(there.path()).await);
        // Both at the same moment, several times: their subnets must never meet.
        for round in 0..8 {
            let name = format!("net{round}");
            let (a, b) = tokio::join!(ours.create(order(&name)), theirs.create(order(&name)));
            assert!(!a.unwrap().subnets[0].subnet.overlaps(&b.unwrap().subnets[0].subnet));
        }
        ours.attach(&network("net0"), joins(1, &one)).await.unwrap();
        let second = theirs.attach(&network("net0"), joins(1, &two)).await.unwrap();
        let third = theirs.attach(&network("net0"), joins(3, &three)).await.unwrap();
        let port = two.greets();
        assert!(three.reaches(ip(second.ipv4), port));
        assert!(!one.reaches(ip(second.ipv4), port), "roots are apart");
        ours.destroy_all().await.unwrap();
        assert!(three.reaches(ip(second.ipv4), port), "the other root is untouched");
        assert_eq!(theirs.attachments(&third.container).await.len(), 1);
        theirs.destroy_all().await.unwrap();
    });
    assert!(!host.state().contains("sea"), "{}", host.state());
}

/// A machine with a way out: an internet that greets, behind a link of the host.
fn machine_with_internet() -> (Place, Place, u16) {
    let (host, internet) = (Place::new(), Place::new());
    host.shell(&format!(
        "ip link set lo up; ip link add up0 type veth peer name up1 netns {}",
        internet.pid()
    ));
    host.shell(
        "ip addr add 203.0.113.2/24 dev up0; ip -6 addr add 2001:db8::2/64 dev up0 nodad; ip link set up0 up",
    );
    internet.shell(
        "ip link set lo up; ip addr add 203.0.113.1/24 dev up1; ip -6 addr add 2001:db8::1/64 dev up1 nodad; ip link set up1 up",
    );
    host.shell("ip route add default via 203.0.113.1; ip -6 route add default via 2001:db8::1");
    let port = internet.greets();
    (host, internet, port)
}

const OUTSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

#[test]
fn containers_go_out_under_the_hosts_address_and_nobody_comes_in() {
    let (host, internet, port) = machine_with_internet();
    let root = tempfile::tempdir().unwrap();
    let (one, two, hidden) = (Place::new(), Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(NetworkOrder { enable_ipv6: true, ..order("front") }).await.unwrap();
        networks.create(order("back")).await.unwrap();
        networks.create(NetworkOrder { internal: true, ..order("vault") }).await.unwrap();
        let first = networks.attach(&network("front"), joins(1, &one)).await.unwrap();
        let second = networks.attach(&network("back"), joins(2, &two)).await.unwrap();
        let third = networks.attach(&network("vault"), joins(3, &hidden)).await.unwrap();
        assert_eq!(one.asks(OUTSIDE, port).as_deref(), Some("203.0.113.2"));
        assert_eq!(two.asks(OUTSIDE, port).as_deref(), Some("203.0.113.2"));
        let outside_v6 = "2001:db8::1".parse().unwrap();
        assert_eq!(one.asks(outside_v6, port).as_deref(), Some("2001:db8::2"));
        assert_eq!(hidden.asks(OUTSIDE, port), None);

        let (inner, deepest) = (one.greets(), hidden.greets());
        // Routes such as a hostile neighbour would set.
        let gateways = "ip route add 172.16.0.0/12 via 203.0.113.2";
        internet.shell(gateways);
        assert!(host.reaches(ip(first.ipv4), inner));
        assert!(!internet.reaches(ip(first.ipv4), inner), "nobody outside speaks first");
        assert!(!two.reaches(ip(first.ipv4), inner), "networks are apart");
        let gateway = ip(third.ipv4_gateway);
        hidden.shell(&format!("ip route add default via {gateway}"));
        assert_eq!(hidden.asks(OUTSIDE, port), None, "also with a route there is no way out");
        assert!(!one.reaches(ip(third.ipv4), deepest));
        assert!(host.reaches(ip(third.ipv4), deepest), "the host reaches internal networks");
        assert!(!hidden.reaches(ip(second.ipv4), two.greets()));
        networks.destroy_all().await.unwrap();
    });
}

#[test]
fn a_container_on_two_networks_reaches_both_and_goes_out_by_the_chosen_one() {
    let (host, _internet, port) = machine_with_internet();
    let root = tempfile::tempdir().unwrap();
    let (both, one, two) = (Place::new(), Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(order("front")).await.unwrap();
        networks.create(order("back")).await.unwrap();
        let first = networks.attach(&network("front"), joins(1, &one)).await.unwrap();
        let second = networks.attach(&network("back"), joins(2, &two)).await.unwrap();
        let order = |index, default_route| AttachOrder { index, default_route, ..joins(3, &both) };
        networks.attach(&network("front"), order(0, false)).await.unwrap();
        let way = networks.attach(&network("back"), order(1, true)).await.unwrap();
        assert_eq!(way.interface, "eth1");
        assert!(both.reaches(ip(first.ipv4), one.greets()));
        assert!(both.reaches(ip(second.ipv4), two.greets()));
        assert!(both.shell("ip route show default").contains("dev eth1"));
        assert_eq!(both.asks(OUTSIDE, port).as_deref(), Some("203.0.113.2"));
        networks.destroy_all().await.unwrap();
    });
}

#[test]
fn fixed_addresses_are_given_and_conflicts_are_told() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (Place::new(), Place::new());
    let asked = |subnet: &str| NetworkOrder {
        enable_ipv6: true,
        ipam: vec![
            IpamOrder { subnet: Some(subnet.to_owned()), ..IpamOrder::default() },
            IpamOrder { subnet: Some("fd00:5ea::/64".to_owned()), ..IpamOrder::default() },
        ],
        ..order("fixed")
    };
    host.run(async || {
        let networks = open(root.path()).await;
        let made = networks.create(asked("10.77.0.0/29")).await.unwrap();
        assert_eq!(
            networks.create(asked("10.77.0.0/29")).await.unwrap(),
            made,
            "an equal order changes nothing"
        );
        let differs = networks.create(asked("10.78.0.0/29")).await.unwrap_err();
        assert_eq!(
            differs.to_string(),
            "network `fixed` is there and differs: subnet is 10.77.0.0/29, not 10.78.0.0/29"
        );
        let overlaps = NetworkOrder { name: network("other"), ..asked("10.77.0.0/24") };
        let overlaps = networks.create(overlaps).await.unwrap_err();
        assert!(overlaps.to_string().contains("overlaps 10.77.0.0/29 of network `fixed`"), "{overlaps}");

        let fixed = AttachOrder {
            ipv4: Some("10.77.0.5".parse().unwrap()),
            ipv6: Some("fd00:5ea::5".parse().unwrap()),
            mac: Some("02:42:00:00:00:07".parse().unwrap()),
            ..joins(1, &one)
        };
        let first = networks.attach(&network("fixed"), fixed.clone()).await.unwrap();
        assert_eq!((first.ipv4, first.ipv6), (fixed.ipv4, fixed.ipv6));
        assert!(one.shell("ip link show eth0").contains("02:42:00:00:00:07"));
        let taken = AttachOrder { ipv4: fixed.ipv4, ..joins(2, &two) };
        let taken = networks.attach(&network("fixed"), taken).await.unwrap_err();
        assert_eq!(taken.kind(), base::Kind::Conflict);
        let foreign = AttachOrder { ipv4: Some("10.99.0.5".parse().unwrap()), ..joins(2, &two) };
        let foreign = networks.attach(&network("fixed"), foreign).await.unwrap_err();
        assert_eq!(foreign.kind(), base::Kind::Invalid);
        // A /29 has six hosts: the gateway, the fixed one, and four more.
        for number in 2..6 {
            networks.attach(&network("fixed"), joins(number, &Place::new())).await.unwrap();
        }
        let full = networks.attach(&network("fixed"), joins(6, &two)).await.unwrap_err();
        assert_eq!(full.kind(), base::Kind::Exhausted, "{full}");
        networks.detach(&network("fixed"), &crate::testbed::container(2)).await.unwrap();
        let second = networks.attach(&network("fixed"), joins(6, &two)).await.unwrap();
        assert!(one.reaches(second.ipv6.unwrap().into(), two.greets()), "over IPv6");
        networks.destroy_all().await.unwrap();
    });
}

#[test]
fn a_restarted_container_keeps_its_addresses() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(order("shop")).await.unwrap();
        let first = Place::new();
        let before = networks.attach(&network("shop"), joins(1, &first)).await.unwrap();
        let same = networks.attach(&network("shop"), joins(1, &first)).await.unwrap();
        assert_eq!(before, same);
        drop(first);
        let second = Place::new();
        let after = networks.attach(&network("shop"), joins(1, &second)).await.unwrap();
        assert_eq!((before.ipv4, before.mac), (after.ipv4, after.mac));
        assert!(host.reaches(ip(after.ipv4), second.greets()));
        let missing = networks.attach(&network("none"), joins(1, &second)).await.unwrap_err();
        assert_eq!(missing.to_string(), "no network `none`");
        let gone =
            networks.attach(&network("shop"), AttachOrder { pid: u32::MAX, ..joins(4, &second) }).await;
        assert_eq!(gone.unwrap_err().kind(), base::Kind::Unavailable);
        networks.destroy_all().await.unwrap();
    });
}
