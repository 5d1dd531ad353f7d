//! Addresses of services: who has them, who may come to them, and what is left of them.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use base::{AppName, Problem, ServiceName};

use crate::order::{AttachOrder, IpamOrder, NetworkOrder, ServedOrder};
use crate::testbed::{Place, ip, joins, network, open, order};

pub(super) fn shop() -> AppName {
    "shop".parse().unwrap()
}

pub(super) fn api() -> ServiceName {
    "api".parse().unwrap()
}

pub(super) fn wish(on: &str) -> ServedOrder {
    ServedOrder { network: network(on), service: api(), names: vec!["api".into()], avoid: Vec::new() }
}

/// A network of 14 addresses.
fn small(name: &str) -> NetworkOrder {
    let range = IpamOrder { subnet: Some("10.77.0.0/28".into()), ..IpamOrder::default() };
    NetworkOrder { ipam: vec![range], ..order(name) }
}

#[test]
fn an_address_is_for_its_network_alone_and_leaves_nothing_behind() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let (one, two, inside) = (Place::new(), Place::new(), Place::new());
    host.shell("ip link set lo up");
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(order("shop")).await.unwrap();
        networks.create(order("else")).await.unwrap();
        networks.create(NetworkOrder { internal: true, ..order("closed") }).await.unwrap();
        networks.attach(&network("shop"), joins(1, &one)).await.unwrap();
        networks.attach(&network("else"), joins(2, &two)).await.unwrap();
        networks.attach(&network("closed"), joins(3, &inside)).await.unwrap();
        let without = host.state();
        networks.serve(&shop(), vec![wish("shop"), wish("closed")]).await.unwrap();
        let [(_, closed), (_, open_one)] = networks.served(&shop())[..] else { panic!("two addresses") };
        let listener = host.inside(|| TcpListener::bind("0.0.0.0:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        let reaches = |place: &Place, address: Ipv4Addr| place.reaches(IpAddr::V4(address), port);
        assert!(reaches(&one, open_one) && reaches(&inside, closed));
        assert!(!reaches(&two, open_one), "a neighbour comes in through the host");
        assert!(!reaches(&one, closed), "an internal network is closed");
        assert!(!reaches(&inside, open_one), "an internal network leads nowhere");
        assert!(!reaches(&host, open_one), "the host comes in");

        networks.serve(&"other".parse().unwrap(), Vec::new()).await.unwrap();
        networks.serve(&shop(), vec![wish("shop"), wish("closed")]).await.unwrap();
        assert_eq!(networks.served(&shop()).len(), 2, "they stay");
        networks.serve(&shop(), Vec::new()).await.unwrap();
        let rest = host
            .state()
            .replace("chain inward {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n", "");
        let plain = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(plain(&rest), plain(&without));
    });
}

#[test]
fn an_address_collides_with_none_and_is_found_again() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(small("shop")).await.unwrap();
        let avoid = vec!["10.77.0.14".parse().unwrap()];
        networks.serve(&shop(), vec![ServedOrder { avoid, ..wish("shop") }]).await.unwrap();
        let address: Ipv4Addr = "10.77.0.13".parse().unwrap();
        assert_eq!(networks.served(&shop()), [(api(), address)]);
        let fixed = |last| AttachOrder { ipv4: Some(Ipv4Addr::new(10, 77, 0, last)), ..joins(1, &one) };
        networks.attach(&network("shop"), fixed(14)).await.expect("it was left free");
        let refused = networks.attach(&network("shop"), AttachOrder { ..fixed(13) }).await;
        assert!(refused.is_ok(), "it is on the network already");
        let taken = AttachOrder { ipv4: Some(address), ..joins(2, &two) };
        let taken = networks.attach(&network("shop"), taken).await.expect_err("the service has it");
        assert!(taken.to_string().contains("10.77.0.13"), "{taken}");

        // A daemon that died before its bridge had the address, and one that died before it was taken back.
        let bridge = networks.inspect("shop").await.unwrap().bridge;
        host.shell(&format!(
            "ip addr del 10.77.0.13/32 dev {bridge}; ip addr add 10.77.0.12/32 dev {bridge}"
        ));
        let next = open(root.path()).await;
        next.settle(&[]).await.unwrap();
        let lies = host.shell(&format!("ip -o -4 addr show dev {bridge}"));
        assert!(lies.contains("10.77.0.13/32") && !lies.contains("10.77.0.12/32"), "{lies}");
        assert_eq!(next.served(&shop()), [(api(), address)]);

        let many: Vec<_> = (0..14)
            .map(|at| ServedOrder { service: format!("s{at}").parse().unwrap(), ..wish("shop") })
            .collect();
        let full = next.serve(&shop(), many).await.expect_err("there are 13 at most");
        assert_eq!(full.kind(), base::Kind::Exhausted);
        assert_eq!(next.served(&shop()), [(api(), address)], "all or nothing");
    });
}

#[test]
fn names_lead_to_the_address_and_tasks_to_the_instances() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(order("shop")).await.unwrap();
        let instance =
            AttachOrder { aliases: vec!["api".into()], instance_of: Some((shop(), api())), ..joins(1, &one) };
        let first = networks.attach(&network("shop"), instance).await.unwrap();
        // Of another app, with the same name on the same network.
        let alike = AttachOrder { aliases: vec!["api".into()], ..joins(2, &two) };
        let second = networks.attach(&network("shop"), alike).await.unwrap();
        networks.serve(&shop(), vec![wish("shop")]).await.unwrap();
        let address = IpAddr::V4(networks.served(&shop())[0].1);
        let table = networks.names_table_for_tests().await;
        let directory = crate::names::table::Directory::of(&table.networks[0]);
        let all = |name: &str| directory.addresses(name).map(<[IpAddr]>::to_vec);
        let mut both = all("api").unwrap();
        both.sort();
        let mut expected = [address, ip(second.ipv4)];
        expected.sort();
        assert_eq!(both, expected);
        assert_eq!(all("tasks.api"), Some(vec![ip(first.ipv4)]));
        assert_eq!(all("c1"), Some(vec![ip(first.ipv4)]));
        assert_eq!(directory.name(address), Some("api.shop"));
        assert_eq!(directory.name(ip(first.ipv4)), Some("c1.shop"));
    });
}

#[test]
fn by_ipv6_names_lead_to_the_instances() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let one = Place::new();
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(NetworkOrder { enable_ipv6: true, ..order("shop") }).await.unwrap();
        let instance =
            AttachOrder { aliases: vec!["api".into()], instance_of: Some((shop(), api())), ..joins(1, &one) };
        let first = networks.attach(&network("shop"), instance).await.unwrap();
        networks.serve(&shop(), vec![wish("shop")]).await.unwrap();
        let (address, own) = (networks.served(&shop())[0].1, IpAddr::V6(first.ipv6.unwrap()));
        let led = async || {
            let table = networks.names_table_for_tests().await;
            let directory = crate::names::table::Directory::of(&table.networks[0]);
            assert_eq!(directory.name(own), Some("c1.shop"));
            directory.addresses("api").unwrap().to_vec()
        };
        assert_eq!(led().await, [own, IpAddr::V4(address)]);
        networks.set_ready(&first.container, false).await.unwrap();
        assert_eq!(led().await, [IpAddr::V4(address)]);
    });
}
