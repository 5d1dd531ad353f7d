//! Finding names.

use std::net::IpAddr;

use super::{Directory, Member, NamesOfNetwork};

fn member(name: &str, alias: &str, address: &str, ready: bool) -> Member {
    Member {
        names: vec![name.to_owned()],
        aliases: vec![alias.to_owned()],
        addresses: vec![address.parse().unwrap()],
        ready,
        dns: Vec::new(),
    }
}

#[track_caller]
fn check(members: &[Member], name: &str, expected: Option<&[&str]>) {
    let directory = Directory::of(&NamesOfNetwork {
        network: "Shop_default".to_owned(),
        bridge: "sea1".to_owned(),
        listen: Vec::new(),
        subnets: vec!["10.0.0.0/24".parse().unwrap()],
        internal: false,
        members: members.to_vec(),
    });
    let expected: Option<Vec<IpAddr>> = expected.map(|e| e.iter().map(|a| a.parse().unwrap()).collect());
    assert_eq!(directory.addresses(name).map(<[IpAddr]>::to_vec), expected);
}

#[test]
fn shared_names_lead_to_the_ready_and_own_names_always() {
    let members = [
        member("web-1", "web", "10.0.0.2", true),
        member("web-2", "web", "10.0.0.3", false),
        member("db-1", "db", "10.0.0.4", false),
        // Its own name is also a shared one of somebody, and of itself.
        member("web", "web", "10.0.0.5", true),
    ];
    check(&members, "web", Some(&["10.0.0.2", "10.0.0.5"]));
    check(&members, "WEB.shop_default", Some(&["10.0.0.2", "10.0.0.5"]));
    check(&members, "web-2", Some(&["10.0.0.3"]));
    check(&members, "db", Some(&[]));
    check(&members, "db.other", None);
    check(&members, "", None);
}
