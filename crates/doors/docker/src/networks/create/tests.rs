//! What a request to make a network becomes, or with which words it is refused.

use serde_json::json;

use super::{Request, order};
use crate::version::ApiVersion;

fn read(request: serde_json::Value) -> Result<network::NetworkOrder, (u16, String)> {
    let request: Request = serde_json::from_value(request).expect("a request");
    order(request, ApiVersion(1, 48)).map_err(|refusal| (refusal.status.as_u16(), refusal.message))
}

#[test]
fn a_whole_request_is_taken_over() {
    let order = read(json!({
        "Name": "front", "CheckDuplicate": true, "Driver": "bridge", "Internal": true, "Attachable": true,
        "EnableIPv6": true, "Labels": { "a": "b" }, "Options": { "com.docker.network.driver.mtu": "1400" },
        "IPAM": { "Driver": "default", "Options": {}, "Config": [{
            "Subnet": "10.20.0.0/16", "IPRange": "10.20.5.0/24", "Gateway": "10.20.0.254",
            "AuxiliaryAddresses": { "router": "10.20.5.1" },
        }] },
    }))
    .expect("it is taken");
    assert_eq!(order.name.as_str(), "front");
    assert!(order.internal && order.enable_ipv6 && order.remarks.attachable);
    assert_eq!(order.labels["a"], "b");
    assert_eq!(order.driver_opts["com.docker.network.driver.mtu"], "1400");
    assert_eq!(order.remarks.ipam_options, Some(Default::default()));
    let range = &order.ipam[0];
    assert_eq!(range.subnet.as_deref(), Some("10.20.0.0/16"));
    assert_eq!(range.ip_range.as_deref(), Some("10.20.5.0/24"));
    assert_eq!(range.gateway.as_deref(), Some("10.20.0.254"));
    assert_eq!(range.aux_addresses["router"], "10.20.5.1");
}

#[test]
fn nothing_said_is_nothing_asked() {
    let order = read(json!({ "Name": "n", "IPAM": { "Config": [{}] }, "Labels": null, "Options": null }));
    let order = order.expect("it is taken");
    assert!(order.ipam.is_empty() && order.labels.is_empty() && order.driver_opts.is_empty());
    assert_eq!(order.remarks.ipam_options, None);
}

#[test]
fn requests_are_refused_in_dockers_words() {
    let subnet = |config: serde_json::Value| json!({ "Name": "n", "IPAM": { "Config": config } });
    for (request, status, text) in [
        (json!({ "Name": "" }), 400, "invalid name: name is empty"),
        (json!({ "Name": "bridge" }), 403, "operation is not permitted on predefined bridge network "),
        (json!({ "Name": "n", "Driver": "null" }), 403, "only one instance of \"null\" network is allowed"),
        (json!({ "Name": "n", "Driver": "nosuch" }), 404, "plugin \"nosuch\" not found"),
        (json!({ "Name": "n", "IPAM": { "Driver": "foo" } }), 404, "plugin \"foo\" not found"),
        (
            subnet(json!([{ "Subnet": "10.1.0.0/33" }])),
            400,
            "invalid network config:\ninvalid subnet 10.1.0.0/33: invalid CIDR block notation",
        ),
        (
            subnet(json!([{ "Subnet": "10.1.0.5/24" }])),
            400,
            "invalid network config:\ninvalid subnet 10.1.0.5/24: it should be 10.1.0.0/24",
        ),
        (
            subnet(json!([{ "Subnet": "10.1.0.0/24", "Gateway": "10.2.3.4", "IPRange": "10.0.0.0/8" }])),
            400,
            "invalid network config:\ninvalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.1.0.0/24\ninvalid gateway 10.2.3.4: parent subnet 10.1.0.0/24 doesn't contain this address",
        ),
        (
            subnet(json!([{ "Subnet": "10.1.0.0/24", "AuxiliaryAddresses": { "a": "fd00::1" } }])),
            400,
            "invalid network config:\ninvalid auxiliary address a: parent subnet is an IPv4 block",
        ),
        (
            subnet(json!([{ "Subnet": "10.1.0.0/24" }, { "Subnet": "10.2.0.0/24" }])),
            403,
            "bridge driver doesn't support multiple subnets",
        ),
    ] {
        assert_eq!(read(request.clone()).expect_err("it is refused"), (status, text.to_owned()), "{request}");
    }
}

#[test]
fn what_is_not_had_is_refused_and_not_dropped() {
    for request in [
        json!({ "Name": "n", "Driver": "macvlan" }),
        json!({ "Name": "n", "ConfigOnly": true }),
        json!({ "Name": "n", "ConfigFrom": { "Network": "m" } }),
        json!({ "Name": "n", "Ingress": true }),
        json!({ "Name": "n", "EnableIPv4": false }),
    ] {
        assert_eq!(read(request.clone()).expect_err("it is refused").0, 501, "{request}");
    }
    let request: Request = serde_json::from_value(json!({ "Name": "n", "EnableIPv4": false })).expect("read");
    assert!(order(request, ApiVersion(1, 47)).is_ok(), "clients of before do not mean it");
}
