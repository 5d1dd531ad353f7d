//! Addresses of services: who has them, who may come to them, and what is left of them.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use base::{AppName, Problem, ServiceName};

use crate::Networks;
use crate::order::{AttachOrder, IpamOrder, NetworkOrder, ServedOrder};
use crate::testbed::{Place, container, ip, joins, network, open, order};

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
        networks.create(with_ipv6("shop", None)).await.unwrap();
        networks.create(with_ipv6("else", None)).await.unwrap();
        networks.create(NetworkOrder { internal: true, ..with_ipv6("closed", None) }).await.unwrap();
        networks.attach(&network("shop"), joins(1, &one)).await.unwrap();
        networks.attach(&network("else"), joins(2, &two)).await.unwrap();
        networks.attach(&network("closed"), joins(3, &inside)).await.unwrap();
        let without = host.state();
        networks.serve(&shop(), vec![wish("shop"), wish("closed")]).await.unwrap();
        let served: Vec<_> = networks.served(&shop()).into_iter().map(|(_, address)| address).collect();
        let [closed, closed_wide, open_one, open_wide] = served[..] else { panic!("{served:?}") };
        let listener = host.inside(|| TcpListener::bind("[::]:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        let reaches = |place: &Place, address| place.reaches(address, port);
        for (closed, open_one) in [(closed, open_one), (closed_wide, open_wide)] {
            assert!(reaches(&one, open_one) && reaches(&inside, closed));
            assert!(!reaches(&two, open_one), "a neighbour comes in through the host");
            assert!(!reaches(&one, closed), "an internal network is closed");
            assert!(!reaches(&inside, open_one), "an internal network leads nowhere");
            assert!(!reaches(&host, open_one), "the host comes in");
        }

        networks.serve(&"other".parse().unwrap(), Vec::new()).await.unwrap();
        networks.serve(&shop(), vec![wish("shop"), wish("closed")]).await.unwrap();
        let stayed: Vec<_> = networks.served(&shop()).into_iter().map(|(_, address)| address).collect();
        assert_eq!(stayed, served);
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
        let address: IpAddr = "10.77.0.13".parse().unwrap();
        assert_eq!(networks.served(&shop()), [(api(), address)]);
        let fixed = |last| AttachOrder { ipv4: Some(Ipv4Addr::new(10, 77, 0, last)), ..joins(1, &one) };
        networks.attach(&network("shop"), fixed(14)).await.expect("it was left free");
        let refused = networks.attach(&network("shop"), AttachOrder { ..fixed(13) }).await;
        assert!(refused.is_ok(), "it is on the network already");
        let taken = AttachOrder { ipv4: "10.77.0.13".parse().ok(), ..joins(2, &two) };
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
        let address = networks.served(&shop())[0].1;
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

/// A network with IPv6, of which a range may be given.
pub(super) fn with_ipv6(name: &str, subnet: Option<&str>) -> NetworkOrder {
    let range = |subnet: &str| IpamOrder { subnet: Some(subnet.into()), ..IpamOrder::default() };
    NetworkOrder { enable_ipv6: true, ipam: subnet.map(range).into_iter().collect(), ..order(name) }
}

/// The address in IPv4 and that in IPv6 of the only service that has some.
pub(super) fn both(networks: &Networks) -> (IpAddr, IpAddr) {
    let [(_, v4 @ IpAddr::V4(_)), (_, v6 @ IpAddr::V6(_))] = networks.served(&shop())[..] else {
        panic!("one of each family: {:?}", networks.served(&shop()))
    };
    (v4, v6)
}

#[test]
fn by_ipv6_names_lead_to_an_address_of_the_service_too() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let one = Place::new();
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(with_ipv6("shop", None)).await.unwrap();
        let instance =
            AttachOrder { aliases: vec!["api".into()], instance_of: Some((shop(), api())), ..joins(1, &one) };
        let first = networks.attach(&network("shop"), instance).await.unwrap();
        let own = [ip(first.ipv4), IpAddr::V6(first.ipv6.unwrap())];
        let table = async || {
            let table = networks.names_table_for_tests().await;
            crate::names::table::Directory::of(&table.networks[0])
        };
        assert_eq!(table().await.addresses("api").unwrap(), own);
        networks.serve(&shop(), vec![wish("shop")]).await.unwrap();
        let (v4, v6) = both(&networks);
        for ready in [true, false] {
            networks.set_ready(&first.container, ready).await.unwrap();
            let table = table().await;
            assert_eq!(table.addresses("api").unwrap(), [v4, v6]);
            assert_eq!(table.addresses("c1").unwrap(), own);
            assert_eq!(table.addresses("tasks.api").unwrap(), if ready { &own[..] } else { &[] });
            assert_eq!((table.name(v6), table.name(own[1])), (Some("api.shop"), Some("c1.shop")));
        }
        networks.serve(&shop(), Vec::new()).await.unwrap();
        networks.set_ready(&first.container, true).await.unwrap();
        assert_eq!(table().await.addresses("api").unwrap(), own);
    });
}

#[test]
fn an_ipv6_address_comes_to_services_that_had_none_and_goes_with_them() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(with_ipv6("shop", Some("fd77::/124"))).await.unwrap();
        let bridge = networks.inspect("shop").await.unwrap().bridge;
        let without = host.shell(&format!("ip -o -6 addr show dev {bridge} scope global"));
        networks
            .serve(&shop(), vec![ServedOrder { avoid: vec!["fd77::f".parse().unwrap()], ..wish("shop") }])
            .await
            .unwrap();
        let (v4, v6) = both(&networks);
        assert_eq!(v6, "fd77::e".parse::<IpAddr>().unwrap());
        let fixed = |number, place, last: &str| AttachOrder {
            ipv6: Some(last.parse().unwrap()),
            ..joins(number, place)
        };
        networks.attach(&network("shop"), fixed(1, &one, "fd77::f")).await.expect("it was left free");
        let taken = networks
            .attach(&network("shop"), fixed(2, &two, "fd77::e"))
            .await
            .expect_err("it is the service's");
        assert!(taken.to_string().contains("fd77::e"), "{taken}");

        // A record of before, and an address on the bridge that a daemon which died had taken back.
        let record = root.path().join("network/networks.json");
        let text = std::fs::read_to_string(&record).unwrap();
        let before = text.replace(r#""ipv6":"fd77::e","#, "");
        assert_ne!(before, text);
        std::fs::write(&record, before).unwrap();
        host.shell(&format!("ip addr del fd77::e/128 dev {bridge}; ip addr add fd77::d/128 dev {bridge}"));
        let next = open(root.path()).await;
        assert_eq!(next.served(&shop()), [(api(), v4)]);
        let alone = next.names_table_for_tests().await;
        let alone = crate::names::table::Directory::of(&alone.networks[0]);
        assert_eq!(alone.addresses("api").unwrap(), [v4], "no instance of its is there");
        next.settle(&[container(1)]).await.unwrap();
        assert_eq!(both(&next), (v4, v6), "the highest that is free");
        assert_eq!(std::fs::read_to_string(&record).unwrap(), text);
        let lies = host.shell(&format!("ip -o -6 addr show dev {bridge}"));
        assert!(lies.contains("fd77::e/128") && !lies.contains("fd77::d/128"), "{lies}");
        let own = host.shell(&format!("ip -o -6 addr show dev {bridge} scope link"));
        assert!(
            own.lines().count() == 1 && !own.contains("tentative"),
            "neighbours are asked from it: {own}"
        );
        // The host does not speak from it.
        assert!(host.shell("ip -6 route get fd77::5").contains(" src fd77::1 "));

        let many =
            (0..14).map(|at| ServedOrder { service: format!("s{at}").parse().unwrap(), ..wish("shop") });
        let full = next.serve(&shop(), many.collect()).await.expect_err("there are 13 at most");
        assert_eq!(
            full.to_string(),
            "could not give services their addresses: the network `shop` has no IPv6 address left"
        );
        assert_eq!(both(&next), (v4, v6), "all or nothing");
        next.serve(&shop(), Vec::new()).await.unwrap();
        assert_eq!(next.served(&shop()), []);
        assert_eq!(host.shell(&format!("ip -o -6 addr show dev {bridge} scope global")), without);
    });
}

#[test]
fn where_no_ipv6_address_is_left_for_a_service_of_before_its_name_leads_to_instances() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(with_ipv6("shop", Some("fd77::/126"))).await.unwrap();
        networks.serve(&shop(), vec![wish("shop")]).await.unwrap();
        let (v4, v6) = both(&networks);
        let instance = |number, place| AttachOrder {
            aliases: vec!["api".into()],
            instance_of: Some((shop(), api())),
            ..joins(number, place)
        };
        let first = networks.attach(&network("shop"), instance(1, &one)).await.unwrap();
        let record = root.path().join("network/networks.json");
        let text = std::fs::read_to_string(&record).unwrap();
        std::fs::write(&record, text.replace(r#""ipv6":"fd77::3","#, "")).unwrap();
        let next = open(root.path()).await;
        let second = next.attach(&network("shop"), instance(2, &two)).await.unwrap();
        assert_eq!(second.ipv6.map(IpAddr::V6), Some(v6), "the last one");
        next.settle(&[container(1), container(2)]).await.unwrap();
        assert_eq!(next.served(&shop()), [(api(), v4)]);
        let table = next.names_table_for_tests().await;
        let directory = crate::names::table::Directory::of(&table.networks[0]);
        let own = [first.ipv6, second.ipv6].map(|address| IpAddr::V6(address.unwrap()));
        assert_eq!(directory.addresses("api").unwrap(), [own[0], own[1], v4]);
    });
}

#[test]
fn a_machine_without_ipv6_has_services_by_ipv4() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    host.shell("for one in all default; do echo 1 > /proc/sys/net/ipv6/conf/$one/disable_ipv6; done");
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(order("shop")).await.unwrap();
        networks.serve(&shop(), vec![wish("shop")]).await.unwrap();
        let [(_, IpAddr::V4(_))] = networks.served(&shop())[..] else { panic!("one of IPv4") };
        networks.settle(&[]).await.unwrap();
        let refused = networks.create(with_ipv6("wide", None)).await.expect_err("it has no IPv6");
        assert!(refused.to_string().contains("wide"), "{refused}");
        assert_eq!(networks.list().await.len(), 1, "nothing is left of it");
    });
}
