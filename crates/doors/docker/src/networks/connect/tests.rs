//! What an endpoint's settings become, or with which words they are refused.

use serde_json::json;

use super::wish;
use crate::loose;

fn read(endpoint: serde_json::Value, predefined: bool) -> Result<spec::Attachment, (u16, String)> {
    wish(&loose::read(endpoint).expect("settings"), predefined)
        .map_err(|refusal| (refusal.status.as_u16(), refusal.message))
}

#[test]
fn settings_are_taken_over() {
    // What docker fills in itself comes back from clients that send what they were given.
    let asked = json!({
        "IPAMConfig": { "IPv4Address": "10.20.0.9", "IPv6Address": "fd00::9" }, "Aliases": ["db"], "Links": null,
        "DriverOpts": null, "GwPriority": 7, "NetworkID": "abc", "IPAddress": "", "MacAddress": "02:42:ac:11:00:02",
    });
    let wish = read(asked, false).expect("taken");
    assert_eq!(wish.ipv4_address.as_deref(), Some("10.20.0.9"));
    assert_eq!(wish.ipv6_address.as_deref(), Some("fd00::9"));
    assert_eq!(wish.aliases, ["db"]);
    assert_eq!(wish.gw_priority, 7);
    assert_eq!(wish.mac_address.as_deref(), Some("02:42:ac:11:00:02"));
}

#[test]
fn settings_are_refused_in_dockers_words() {
    let fixed = json!({ "IPAMConfig": { "IPv4Address": "10.20.0.9" }, "Aliases": ["db"] });
    assert_eq!(
        read(fixed, true).expect_err("refused"),
        (
            400,
            "invalid endpoint settings:\nuser-specified IP address is supported on user-defined networks only\nnetwork-scoped aliases are only supported for user-defined networks"
                .to_owned()
        )
    );
    let no_address = json!({ "IPAMConfig": { "IPv4Address": "nine" } });
    assert_eq!(
        read(no_address, false).expect_err("refused"),
        (400, "invalid endpoint settings:\ninvalid IPv4 address: nine".to_owned())
    );
    for (asked, said) in [
        (json!({ "Links": ["a:b:c"] }), "bad format for links: a:b:c"),
        (json!({ "IPAMConfig": { "LinkLocalIPs": ["nine"] } }), "nine is not an IP address"),
    ] {
        assert_eq!(read(asked, false).expect_err("refused"), (400, said.to_owned()));
    }
}

#[test]
fn links_addresses_and_options_are_kept() {
    let asked = json!({
        "links": ["/db:/web/store", "cache"], "IPAMConfig": { "LinkLocalIPs": ["169.254.8.8"] },
        "driverOpts": { "com.docker.network.endpoint.ifname": "lan0", "other": "kept" },
    });
    let wish = read(asked, false).expect("taken");
    let links: Vec<_> = wish.links.iter().map(|link| (link.target.as_str(), link.alias.as_str())).collect();
    assert_eq!(links, [("db", "store"), ("cache", "cache")]);
    assert_eq!(wish.link_local_ips, ["169.254.8.8"]);
    assert_eq!(wish.interface_name.as_deref(), Some("lan0"));
    assert_eq!(wish.driver_opts.len(), 2);
}
