//! The looks at the machine, on one of our own.

use super::doctor_facts;
use crate::testbed::Place;

#[test]
fn a_look_finds_what_is_wrong_and_leaves_nothing_behind() {
    let host = Place::new();
    host.shell("ip link set lo up");
    let before = host.state();
    let facts = host.inside(doctor_facts);
    let bad: Vec<_> = facts.iter().filter(|f| !f.fine).collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(host.state(), before);
    // As docker has it.
    host.shell("nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'");
    let facts = host.inside(doctor_facts);
    let strict = facts.iter().find(|f| f.what == "filters of others").unwrap();
    assert!(!strict.fine && strict.found.contains("chain `FORWARD` of table `filter`"), "{strict:?}");
    let taken = host.inside(|| std::net::UdpSocket::bind("0.0.0.0:53").unwrap());
    let facts = host.inside(doctor_facts);
    assert!(facts.iter().any(|f| f.what == "port 53" && !f.fine));
    drop(taken);
}
