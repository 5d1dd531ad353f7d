//! What comes to a service's address where nobody listens: it goes to the instances that are ready, and to no others.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use super::served::{api, both, shop, wish, with_ipv6};
use crate::networks::{Answered, Networks};
use crate::order::{AttachOrder, NetworkOrder};
use crate::testbed::{Place, container, joins, network, open, wait_for};

/// Answers every datagram at this port with the place's number.
fn answers(place: &Place, port: u16, number: u8) {
    let socket = place.inside(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 16];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&[number], from);
        }
    });
}

/// A socket there, to speak to this address.
fn socket(place: &Place, to: SocketAddr) -> UdpSocket {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = place.inside(|| UdpSocket::bind(any).unwrap());
    socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    socket
}

/// Who answers a datagram; the answer must come from where the question went.
fn ask(socket: &UdpSocket, at: SocketAddr) -> Option<u8> {
    socket.send_to(b"?", at).unwrap();
    let mut buffer = [0; 16];
    let (_, from) = socket.recv_from(&mut buffer).ok()?;
    assert_eq!(from, at);
    Some(buffer[0])
}

/// The kind of what comes back on an echo request.
fn echo(place: &Place, to: IpAddr) -> u8 {
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let raw = place.inside(|| {
        rustix::net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol)).unwrap()
    });
    sockopt::set_socket_timeout(&raw, sockopt::Timeout::Recv, Some(Duration::from_secs(5))).unwrap();
    // A request of number 1 and sequence 1, with its sum; in IPv6 the kernel writes that.
    let request = if to.is_ipv4() { [8, 0, 0xf7, 0xfd, 0, 1, 0, 1] } else { [128, 0, 0, 0, 0, 1, 0, 1] };
    rustix::net::sendto(&raw, &request, SendFlags::empty(), &SocketAddr::from((to, 0))).unwrap();
    loop {
        let mut packet = [0; 256];
        let (_, _, from) = rustix::net::recvfrom(&raw, packet.as_mut_slice(), RecvFlags::empty()).unwrap();
        // In IPv4 the packet's own head comes first.
        let kind = packet[if to.is_ipv4() { 20 } else { 0 }];
        // Neighbours ask for each other, and routers for themselves.
        if to.is_ipv6() && (130..137).contains(&kind) {
            continue;
        }
        let from = from.and_then(|from| SocketAddr::try_from(from).ok()).map(|from| from.ip());
        assert_eq!(from, Some(to), "it comes from the address");
        return kind;
    }
}

fn instance(number: u8, place: &Place) -> AttachOrder {
    AttachOrder { aliases: vec!["api".into()], instance_of: Some((shop(), api())), ..joins(number, place) }
}

#[test]
fn datagrams_and_other_ports_go_to_ready_instances_in_turn() {
    lead(&Place::new(), both_v4);
}

#[test]
fn they_do_so_by_ipv6() {
    lead(&Place::new(), both_v6);
}

/// Where the machine has packets on bridges pass its filters, they are led without leaving the bridge; else over the host.
#[test]
fn they_go_the_same_way_where_bridges_do_not_ask_filters() {
    let host = Place::new();
    host.shell("echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables || true");
    lead(&host, both_v4);
}

#[test]
fn they_go_the_same_way_by_ipv6_where_bridges_do_not_ask_filters() {
    let host = Place::new();
    host.shell("echo 0 > /proc/sys/net/bridge/bridge-nf-call-ip6tables || true");
    lead(&host, both_v6);
}

fn both_v4(networks: &Networks) -> IpAddr {
    both(networks).0
}

fn both_v6(networks: &Networks) -> IpAddr {
    both(networks).1
}

fn lead(host: &Place, of: fn(&Networks) -> IpAddr) {
    let root = tempfile::tempdir().unwrap();
    let (one, two, caller, stranger) = (Place::new(), Place::new(), Place::new(), Place::new());
    host.shell("ip link set lo up");
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(with_ipv6("else", None)).await.unwrap();
        networks.attach(&network("else"), joins(9, &stranger)).await.unwrap();
        // Nothing comes out of it, but within it packets pass all the same.
        networks.create(NetworkOrder { internal: true, ..with_ipv6("shop", None) }).await.unwrap();
        networks.attach(&network("shop"), joins(3, &caller)).await.unwrap();
        networks.serve(&shop(), vec![wish("shop")]).await.unwrap();
        let address = of(&networks);
        let at = SocketAddr::new(address, 8125);
        let socket = |place: &Place| socket(place, at);
        let lasting = socket(&caller);
        assert_eq!(ask(&lasting, at), None, "there is no instance");

        for (number, place) in [(1, &one), (2, &two)] {
            answers(place, 8125, number);
            networks.attach(&network("shop"), instance(number, place)).await.unwrap();
        }
        let greeter = one.greets();
        let first = ask(&lasting, at).expect("it is led now, though it was not when its flow began");
        assert_eq!(ask(&lasting, at), Some(first), "a flow stays with its instance");
        let mut seen: Vec<_> = (0..4).map(|_| ask(&socket(&caller), at)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [Some(1), Some(1), Some(2), Some(2)], "one after another");
        assert_eq!(
            echo(&caller, address),
            if address.is_ipv4() { 0 } else { 129 },
            "an instance answers, and no redirect comes"
        );

        // Who is not ready is spared, also by flows that were led there.
        let other = 3 - first;
        networks.set_ready(&container(first), false).await.unwrap();
        assert_eq!(ask(&lasting, at), Some(other));
        assert!((0..3).all(|_| ask(&socket(&caller), at) == Some(other)));
        networks.set_ready(&container(first), true).await.unwrap();
        networks.set_ready(&container(2), false).await.unwrap();
        assert_eq!(caller.asks(address, greeter).as_deref(), Some(gateway(address).as_str()));

        // The edge has a port as long as it listens, and behind it; who listens at all addresses of the host has not.
        let asks = || caller.asks(address, greeter);
        let all = host.inside(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, greeter)).unwrap());
        assert!(asks().is_some_and(|said| !said.is_empty()), "straight");
        let wish = Answered::from([(SocketAddr::new(address, greeter), 63000)]);
        networks.answer("shop", wish.clone()).await;
        assert!(asks().is_some_and(|said| !said.is_empty()), "the edge does not listen");
        let edge = host.inside(|| TcpListener::bind((address, 63000)).unwrap());
        let edge = std::thread::spawn(move || edge.accept().map(drop).map(|()| edge));
        networks.answer("shop", wish.clone()).await;
        assert_eq!(asks().as_deref(), Some(""), "the edge answers");
        assert!(networks.keep_answered("else", Answered::new()).await.is_empty());
        assert_eq!(networks.keep_answered("shop", Answered::new()).await, wish);
        assert!(asks().is_some_and(|said| !said.is_empty()), "straight again");
        drop((all, edge.join().unwrap()));

        assert_eq!(ask(&socket(&stranger), at), None, "another network is led nowhere");
        assert_eq!(ask(&socket(host), at), None, "and so is the host");
        networks.detach(&network("shop"), &container(1)).await.unwrap();
        assert_eq!(ask(&lasting, at), None, "there is no instance any more");
    });
}

/// The address of the bridge, from which instances are called.
fn gateway(address: IpAddr) -> String {
    // The networks of a test are as large as by default: of 4,096 addresses, and of half of an address.
    let range = match address {
        IpAddr::V4(v4) => IpAddr::from((v4.to_bits() & !0xfff | 1).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((v6.to_bits() >> 64 << 64 | 1).to_be_bytes()),
    };
    range.to_string()
}

/// What neighbours ask each other is none of the conversations that are led.
#[test]
fn a_neighbour_that_is_asked_again_for_a_services_address_says_its_own() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let (one, caller) = (Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(with_ipv6("shop", None)).await.unwrap();
        networks.attach(&network("shop"), joins(3, &caller)).await.unwrap();
        networks.attach(&network("shop"), instance(1, &one)).await.unwrap();
        networks.serve(&shop(), vec![wish("shop")]).await.unwrap();
        let address = both_v6(&networks);
        assert_eq!(echo(&caller, address), 129);
        // A question to the neighbour alone, which looks like any other packet to its address.
        let mac =
            || caller.shell(&format!("ip -6 neigh show {address} | sed 's/.*lladdr \\([^ ]*\\).*/\\1/'"));
        let before = mac();
        caller.shell(&format!("ip -6 neigh change {address} lladdr {} dev eth0 nud probe", before.trim()));
        wait_for("the neighbour to answer", || {
            let state = caller.shell(&format!("ip -6 neigh show {address}"));
            assert!(!state.contains("FAILED"), "{state}");
            state.contains("REACHABLE")
        });
        let bridge = networks.inspect("shop").await.unwrap().bridge;
        assert_eq!(mac(), before);
        assert!(host.shell(&format!("ip -o link show {bridge}")).contains(before.trim()));
    });
}

#[test]
fn the_next_daemon_leads_as_its_record_says() {
    found_again(both_v4);
    found_again(both_v6);
}

fn found_again(of: fn(&Networks) -> IpAddr) {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let (one, caller) = (Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(with_ipv6("shop", None)).await.unwrap();
        networks.attach(&network("shop"), joins(3, &caller)).await.unwrap();
        networks.attach(&network("shop"), instance(1, &one)).await.unwrap();
        networks.serve(&shop(), vec![wish("shop")]).await.unwrap();
        let at = SocketAddr::new(of(&networks), 8125);
        let socket = |place: &Place| socket(place, at);
        answers(&one, 8125, 1);
        assert_eq!(ask(&socket(&caller), at), Some(1));
        host.shell("nft flush ruleset");
        let next = open(root.path()).await;
        assert_eq!(ask(&socket(&caller), at), None, "nobody leads");
        next.settle(&[container(1), container(3)]).await.unwrap();
        assert_eq!(ask(&socket(&caller), at), Some(1));
        // Its instance died while nobody looked.
        let last = open(root.path()).await;
        last.settle(&[container(3)]).await.unwrap();
        let lasting = socket(&caller);
        assert_eq!(ask(&lasting, at), None);
        last.attach(&network("shop"), instance(1, &one)).await.unwrap();
        assert_eq!(ask(&lasting, at), Some(1));
    });
}

/// Where only networks that lead nowhere have IPv6, nothing else has the machine pass its packets on.
#[test]
fn an_internal_network_alone_is_led_by_ipv6() {
    let host = Place::new();
    host.shell("echo 0 > /proc/sys/net/bridge/bridge-nf-call-ip6tables || true");
    let root = tempfile::tempdir().unwrap();
    let (one, caller) = (Place::new(), Place::new());
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(NetworkOrder { internal: true, ..with_ipv6("shop", None) }).await.unwrap();
        networks.attach(&network("shop"), joins(3, &caller)).await.unwrap();
        networks.attach(&network("shop"), instance(1, &one)).await.unwrap();
        networks.serve(&shop(), vec![wish("shop")]).await.unwrap();
        let at = SocketAddr::new(both_v6(&networks), 8125);
        answers(&one, 8125, 1);
        assert_eq!(ask(&socket(&caller, at), at), Some(1));
        // The next daemon finds it so, or makes it so.
        host.shell("for one in /proc/sys/net/ipv6/conf/sea*/force_forwarding; do echo 0 > $one; done");
        let next = open(root.path()).await;
        next.settle(&[container(1), container(3)]).await.unwrap();
        assert_eq!(ask(&socket(&caller, at), at), Some(1));
    });
}
