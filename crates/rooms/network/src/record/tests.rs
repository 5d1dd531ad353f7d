//! The files as they lie on disk: a change of these texts is a change of the format.

use std::collections::BTreeMap;

use base::{ContainerId, NetworkName, Timestamp};
use expect_test::expect;

use super::{AttachmentRecord, Folder, NetworkRecord, ServedRecord, SubnetRecord};
use crate::order::Remarks;
use crate::problems::OpenError;

fn network() -> NetworkRecord {
    NetworkRecord {
        id: "ab".repeat(32),
        name: NetworkName::new("shop_default").unwrap(),
        bridge: "sea0123abcdk3f9".to_owned(),
        mac: "02:42:ac:12:00:01".parse().unwrap(),
        mtu: 1500,
        created: Timestamp(1_700_000_000_000_000_000),
        internal: false,
        enable_ipv6: false,
        subnets: vec![SubnetRecord {
            subnet: "172.18.0.0/24".parse().unwrap(),
            gateway: "172.18.0.1".parse().unwrap(),
            ip_range: None,
            aux_addresses: BTreeMap::from([("router".to_owned(), "172.18.0.9".parse().unwrap())]),
        }],
        labels: BTreeMap::new(),
        app: Some("shop".parse().unwrap()),
        driver_opts: BTreeMap::new(),
        remarks: Remarks::default(),
        served: Vec::new(),
    }
}

fn attachment() -> AttachmentRecord {
    AttachmentRecord {
        network_id: "ab".repeat(32),
        interface: "eth0".to_owned(),
        host_interface: "sev0123abcdk3f9".to_owned(),
        mac: "02:42:ac:12:00:02".parse().unwrap(),
        ipv4: "172.18.0.2".parse().ok(),
        ipv6: None,
        default_route: true,
        names: vec!["shop-web-1".to_owned()],
        aliases: vec!["web".to_owned()],
        ready: true,
        dns: Vec::new(),
        links: Vec::new(),
        link_local: Vec::new(),
        instance_of: None,
        pid: 4711,
        namespace: 4_026_532_000,
        made: true,
    }
}

#[test]
fn the_files_are_written_and_read_as_the_golden_ones() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let container = ContainerId::from_bytes([7; 32]);
    folder.write_networks(vec![network()]).unwrap();
    folder.write_attached(&container, &[attachment()]).unwrap();
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    expect![[r#"
        {"version":1,"networks":[{"id":"abababababababababababababababababababababababababababababababab","name":"shop_default","bridge":"sea0123abcdk3f9","mac":"02:42:ac:12:00:01","mtu":1500,"created":1700000000000000000,"internal":false,"enable_ipv6":false,"subnets":[{"subnet":"172.18.0.0/24","gateway":"172.18.0.1","ip_range":null,"aux_addresses":{"router":"172.18.0.9"}}],"labels":{},"app":"shop","driver_opts":{}}]}
    "#]]
    .assert_eq(&text("networks.json"));
    expect![[r#"
        {"version":1,"container":"0707070707070707070707070707070707070707070707070707070707070707","attachments":[{"network_id":"abababababababababababababababababababababababababababababababab","interface":"eth0","host_interface":"sev0123abcdk3f9","mac":"02:42:ac:12:00:02","ipv4":"172.18.0.2","ipv6":null,"default_route":true,"names":["shop-web-1"],"aliases":["web"],"ready":true,"dns":[],"pid":4711,"namespace":4026532000,"made":true}]}
    "#]]
    .assert_eq(&text(&format!("attached/{container}.json")));
    assert_eq!(folder.networks().unwrap(), [network()]);
    assert_eq!(folder.attached().unwrap().0[0].attachments, [attachment()]);
    folder.write_attached(&container, &[]).unwrap();
    folder.write_attached(&container, &[]).expect("once more is no harm");
    assert!(folder.attached().unwrap().0.is_empty());
}

#[test]
fn services_are_written_with_the_addresses_that_they_have_and_read_from_before_there_was_ipv6() {
    let served = |service: &str, address: &str, ipv6: Option<&str>| ServedRecord {
        app: "shop".parse().unwrap(),
        service: service.parse().unwrap(),
        address: address.parse().unwrap(),
        ipv6: ipv6.map(|text| text.parse().unwrap()),
        names: vec![service.to_owned()],
    };
    let both = vec![
        served("api", "172.18.0.254", Some("fd5e::ffff:ffff:ffff:ffff")),
        served("db", "172.18.0.253", None),
    ];
    let golden = expect![[r#"
        [{"app":"shop","service":"api","address":"172.18.0.254","ipv6":"fd5e::ffff:ffff:ffff:ffff","names":["api"]},{"app":"shop","service":"db","address":"172.18.0.253","names":["db"]}]"#]];
    golden.assert_eq(&serde_json::to_string(&both).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    folder.write_networks(vec![NetworkRecord { served: both.clone(), ..network() }]).unwrap();
    assert_eq!(folder.networks().unwrap()[0].served, both);
}

#[test]
fn a_damaged_or_newer_file_is_told_and_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let path = dir.path().join("networks.json");
    std::fs::write(&path, "{\"version\":1,\"netw").unwrap();
    assert!(matches!(folder.networks(), Err(OpenError::Damaged { .. })));
    std::fs::write(&path, "{\"version\":9}").unwrap();
    assert!(matches!(folder.networks(), Err(OpenError::TooNew { version: 9, .. })));
    std::fs::write(dir.path().join("attached/x.json"), "").unwrap();
    assert_eq!(folder.attached().unwrap().1, [dir.path().join("attached/x.json")]);
}
