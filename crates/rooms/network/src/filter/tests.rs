//! The rules in words, and the batch as bytes.

use expect_test::{Expect, expect};

use super::{Fence, batch, forward, inward, outward};
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
fn addresses_of_services_are_for_their_own_network() {
    let served = Fence { served: vec!["172.18.0.254".parse().unwrap()], ..fence("sea1") };
    let lines: String = inward(&[served, fence("sea2")]).iter().map(|rule| format!("{rule}\n")).collect();
    expect![[r#"
        iifname != "sea1" ip daddr 172.18.0.254 drop
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
    let fences: Vec<_> = (0..512).map(|n| fence(&format!("sea12345678{n:04}"))).collect();
    let bytes = packet(&batch(&"12345678".parse().unwrap(), &fences));
    assert!(bytes.len() < 3 << 20, "{}", bytes.len());
}
