//! The rules in words, and the batch as bytes.

use expect_test::{Expect, expect};

use super::straight::{hush, services};
use super::{Fence, Served, batch, forward, inward, outward};
use crate::netlink::message::packet;

fn fence(name: &str) -> Fence {
    Fence {
        bridge: name.to_owned(),
        internal: false,
        masquerade: true,
        talk: true,
        subnets: vec!["172.18.0.0/24".parse().unwrap()],
        served: Vec::new(),
    }
}

#[track_caller]
fn check(fences: &[Fence], expected: Expect) {
    let lines = forward(fences).into_iter().chain(outward(fences)).map(|rule| format!("{rule}\n"));
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn networks_are_apart_and_go_out_under_the_hosts_address() {
    let v6 = "fd5e::/64".parse().unwrap();
    let mut front = fence("sea1");
    front.subnets.push(v6);
    check(
        &[front, fence("sea2")],
        expect![[r#"
            ct state established,related accept
            iifname "sea1" oifname "sea1" accept
            iifname "sea2" oifname "sea2" accept
            oifname "sea1" drop
            oifname "sea2" drop
            ip saddr 172.18.0.0/24 oifname != "sea1" masquerade
            ip6 saddr fd5e::/64 oifname != "sea1" masquerade
            ip saddr 172.18.0.0/24 oifname != "sea2" masquerade
        "#]],
    );
}

#[test]
fn addresses_of_services_are_for_their_own_network_and_lead_to_its_instances() {
    let served = |address: &str, instances: &[&str]| Served {
        address: address.parse().unwrap(),
        instances: instances.iter().map(|one| one.parse().unwrap()).collect(),
        answered: if instances.len() > 2 { vec![(80, 61520)] } else { Vec::new() },
    };
    let both = ["172.18.0.2", "fd5e::2", "172.18.0.3"];
    let all = vec![served("172.18.0.254", &both), served("172.18.0.253", &[]), served("fd5e::ffff", &both)];
    let mut front = Fence { served: all, ..fence("sea1") };
    front.subnets.push("fd5e::/64".parse().unwrap());
    let fences = [front, fence("sea2")];
    let ways = services(&fences).into_iter().map(|way| way.rule);
    let rules = ways.chain(inward(&fences)).chain(outward(&fences)).chain(hush(&fences));
    let lines: String = rules.map(|rule| format!("{rule}\n")).collect();
    expect![[r#"
        iifname "sea1" ip saddr 172.18.0.0/24 ip daddr 172.18.0.254 tcp dport 80 dnat ip to 172.18.0.254:61520
        iifname "sea1" ip saddr 172.18.0.0/24 ip daddr 172.18.0.254 dnat to numgen inc mod 2 of 172.18.0.2, 172.18.0.3
        iifname "sea1" ip6 saddr fd5e::/64 ip6 daddr fd5e::ffff tcp dport 80 dnat ip6 to [fd5e::ffff]:61520
        iifname "sea1" ip6 saddr fd5e::/64 ip6 daddr fd5e::ffff dnat to numgen inc mod 1 of fd5e::2
        ct state established,related accept
        iifname != "sea1" ip daddr 172.18.0.254 drop
        iifname != "sea1" ip daddr 172.18.0.253 drop
        iifname != "sea1" ip6 daddr fd5e::ffff drop
        ip saddr 172.18.0.0/24 oifname != "sea1" masquerade
        ip6 saddr fd5e::/64 oifname != "sea1" masquerade
        ip saddr 172.18.0.0/24 oifname != "sea2" masquerade
        oifname "sea1" ct original ip daddr 172.18.0.254 masquerade
        oifname "sea1" ct original ip6 daddr fd5e::ffff masquerade
        oifname "sea1" icmp type redirect drop
        oifname "sea1" icmpv6 type nd-redirect drop
    "#]]
    .assert_eq(&lines);
}

#[test]
fn nothing_leaves_an_internal_network_and_options_are_obeyed() {
    check(
        &[
            Fence { internal: true, ..fence("sea1") },
            Fence { masquerade: false, talk: false, ..fence("sea2") },
        ],
        expect![[r#"
            ct state established,related accept
            iifname "sea1" oifname "sea1" accept
            iifname "sea2" oifname "sea2" drop
            oifname "sea1" drop
            iifname "sea1" drop
            oifname "sea2" drop
        "#]],
    );
}

#[test]
fn a_batch_for_as_many_networks_as_a_root_may_have_fits_a_packet() {
    let of = |n: u32| {
        let address = |at| std::net::Ipv4Addr::from_bits(n << 8 | at).into();
        let wide = |at| std::net::Ipv6Addr::from_bits(u128::from(n) << 64 | at).into();
        let of =
            |address, instances| Served { address, instances, answered: vec![(80, 61520), (443, 61883)] };
        let served = (0..8).map(|at| of(address(at), (100..104).map(address).collect()));
        let wider = (0..8).map(|at| of(wide(at), (100..104).map(wide).collect()));
        let mut fence =
            Fence { served: served.chain(wider).collect(), ..fence(&format!("sea12345678{n:04}")) };
        fence.subnets.push("fd5e::/64".parse().unwrap());
        fence
    };
    let fences: Vec<_> = (0..512).map(of).collect();
    let bytes = packet(&batch(&"12345678".parse().unwrap(), &fences));
    assert!(bytes.len() < 32 << 20, "{}", bytes.len());
}
