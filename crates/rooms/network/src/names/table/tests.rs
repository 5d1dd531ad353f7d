//! Finding names.

use std::net::IpAddr;

use super::{Directory, Member, NamesOfNetwork, NamesTable};

fn member(name: &str, alias: &str, address: &str, ready: bool) -> Member {
    Member {
        names: vec![name.to_owned()],
        aliases: vec![alias.to_owned()],
        addresses: vec![address.parse().unwrap()],
        ready,
        ..Member::default()
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

#[test]
fn who_is_on_two_networks_sees_the_names_of_both_and_nobody_else_does() {
    let address = |last: u8| IpAddr::from([10, 0, 0, last]);
    let member = |name: &str, last: u8| Member {
        names: vec![name.into()],
        addresses: vec![address(last)],
        ready: true,
        ..Member::default()
    };
    let network = |name: &str, internal: bool, members: Vec<Member>| NamesOfNetwork {
        network: name.into(),
        bridge: format!("br-{name}"),
        listen: Vec::new(),
        subnets: Vec::new(),
        internal,
        members,
    };
    let table = NamesTable {
        networks: vec![
            network("outer", false, vec![member("front", 1), member("guest", 2)]),
            network("inner", true, vec![member("front", 11), member("store", 12)]),
        ],
        ..NamesTable::default()
    };
    let directories = Directory::all(&table);
    let sees = |network: usize, asker: u8, name: &str| {
        directories[network].for_asker(address(asker)).addresses(name).map(<[IpAddr]>::to_vec)
    };
    assert_eq!(sees(0, 1, "store"), Some(vec![address(12)]));
    assert_eq!(sees(1, 11, "guest"), Some(vec![address(2)]));
    assert_eq!(sees(0, 1, "front"), Some(vec![address(1)]));
    assert_eq!(sees(0, 2, "store"), None);
    assert_eq!(sees(1, 12, "guest"), None);
    // Its way out is open from either side; that of the others on the internal network is not.
    assert!(!directories[1].for_asker(address(11)).internal);
    assert!(directories[1].for_asker(address(12)).internal);
}

#[test]
fn links_lead_for_their_owner_alone() {
    let address = |last: u8| IpAddr::from([10, 0, 0, last]);
    let linked = |name: &str, last: u8, links: &[(&str, &str)]| Member {
        names: vec![name.into()],
        aliases: vec!["all".into()],
        addresses: vec![address(last)],
        ready: true,
        links: links.iter().map(|(alias, target)| ((*alias).into(), (*target).into())).collect(),
        ..Member::default()
    };
    let table = NamesTable {
        networks: vec![NamesOfNetwork {
            network: "shop".into(),
            bridge: "br-shop".into(),
            listen: Vec::new(),
            subnets: Vec::new(),
            internal: false,
            members: vec![
                linked("web", 1, &[("Store", "/db"), ("peers", "all"), ("later", "none"), ("db", "web")]),
                linked("db", 2, &[]),
            ],
        }],
        ..NamesTable::default()
    };
    let directories = Directory::all(&table);
    let sees = |asker: u8, name: &str| {
        directories[0].for_asker(address(asker)).addresses(name).map(<[IpAddr]>::to_vec)
    };
    assert_eq!(sees(1, "store"), Some(vec![address(2)]));
    assert_eq!(sees(1, "peers"), Some(vec![address(1), address(2)]));
    assert_eq!(sees(1, "later"), Some(Vec::new()), "it is known, and leads nowhere yet");
    assert_eq!(sees(1, "db"), Some(vec![address(1)]), "its own names come first");
    assert_eq!(sees(2, "store"), None);
    assert_eq!(sees(2, "db"), Some(vec![address(2)]));
}
