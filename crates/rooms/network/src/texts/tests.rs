//! The texts that containers get.

use std::net::IpAddr;

use expect_test::expect;

use super::{HostsOrder, ResolverOrder, hosts, nameservers, resolv_conf};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn hosts_names_the_container_and_what_was_added() {
    let extra = [("db".to_owned(), "10.0.0.5".to_owned()), ("host".to_owned(), "host-gateway".to_owned())];
    let order = HostsOrder {
        base: None,
        hostname: "web1",
        domainname: Some("example.org"),
        addresses: &[ip("172.18.0.2"), ip("fd00::2")],
        extra_hosts: &extra,
        host_gateway: Some(ip("172.18.0.1")),
    };
    expect![[r#"
        127.0.0.1	localhost
        ::1	localhost ip6-localhost ip6-loopback
        fe00::	ip6-localnet
        ff00::	ip6-mcastprefix
        ff02::1	ip6-allnodes
        ff02::2	ip6-allrouters
        10.0.0.5	db
        172.18.0.1	host
        172.18.0.2	web1.example.org web1
        fd00::2	web1.example.org web1
    "#]]
    .assert_eq(&hosts(&order));
    let alone = HostsOrder { hostname: "web1", extra_hosts: &extra[1..], ..HostsOrder::default() };
    assert!(hosts(&alone).ends_with("127.0.1.1\tweb1\n"), "without a gateway there is no `host-gateway`");
}

#[test]
fn resolv_conf_names_the_gateway_on_a_network_and_the_hosts_servers_off_it() {
    let host =
        "# comment\nnameserver 10.0.0.53\nnameserver  fe80::1%eth0\nsearch corp.example lan\noptions edns0\n";
    let order = ResolverOrder { gateways: &[ip("172.18.0.1")], host, ..ResolverOrder::default() };
    assert_eq!(resolv_conf(&order), "nameserver 172.18.0.1\nsearch corp.example lan\noptions ndots:0\n");
    let off = ResolverOrder { host, ..ResolverOrder::default() };
    assert_eq!(resolv_conf(&off), "nameserver 10.0.0.53\nsearch corp.example lan\n");
    let (search, options) = ([".".to_owned()], ["ndots:5".to_owned(), "rotate".to_owned()]);
    let asked = ResolverOrder { dns: &[ip("1.1.1.1")], dns_search: &search, dns_opt: &options, ..off };
    assert_eq!(resolv_conf(&asked), "nameserver 1.1.1.1\noptions ndots:5 rotate\n");
    assert_eq!(nameservers("nameserver\nnameserverx 1.1.1.1\n  nameserver 1.1.1.1 # a\n"), [ip("1.1.1.1")]);
}

#[test]
fn a_container_on_the_hosts_network_has_the_hosts_names() {
    let extra = [("db".to_owned(), "10.0.0.7".to_owned())];
    let order = HostsOrder {
        base: Some("127.0.0.1 localhost\n10.1.1.1 printer"),
        hostname: "web1",
        extra_hosts: &extra,
        ..HostsOrder::default()
    };
    assert_eq!(hosts(&order), "127.0.0.1 localhost\n10.1.1.1 printer\n10.0.0.7\tdb\n");
}
