//! Tests of reading the query of an old client.

use std::net::Ipv4Addr;

use super::*;

fn order(query: &str) -> Result<Asked, Report> {
    Query::parse(query).order("ref", None, Some(Ipv4Addr::new(10, 0, 0, 1).into()))
}

fn attrs(query: &str) -> HashMap<String, String> {
    order(query).map_err(|report| report.message).expect("nothing is wrong").request.frontend_attrs
}

#[test]
fn a_query_becomes_options_of_the_frontend() {
    let query = "dockerfile=a%2FFile&target=t&platform=linux%2Famd64&nocache=1&pull=true&networkmode=none&shmsize=9\
                 &buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D&labels=%7B%22l%22%3A%22v%22%7D&extrahosts=x%3A1.2.3.4\
                 &extrahosts=g%3Ahost-gateway&ulimits=%5B%7B%22Name%22%3A%22nofile%22%2C%22Soft%22%3A1%2C%22Hard%22%3A2%7D%5D\
                 &cachefrom=%5B%22one%22%2C%22two%22%5D";
    let attrs = attrs(query);
    let expected = [
        ("filename", "a/File"),
        ("target", "t"),
        ("platform", "linux/amd64"),
        ("no-cache", ""),
        ("image-resolve-mode", "pull"),
        ("force-network-mode", "none"),
        ("shm-size", "9"),
        ("build-arg:A", "1"),
        ("label:l", "v"),
        ("add-hosts", "x=1.2.3.4,g=10.0.0.1"),
        ("ulimit", "nofile=1:2"),
        ("cache-from", "one,two"),
    ];
    for (name, value) in expected {
        assert_eq!(attrs.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!attrs.contains_key("build-arg:B"), "an argument without a value is none");
}

#[test]
fn names_go_to_the_exporter_of_images_alone() {
    let asked = order("t=a%3A1&t=b").expect("nothing is wrong");
    assert_eq!(asked.request.exporters[0].kind, "moby");
    assert_eq!(asked.request.exporters[0].attrs["name"], "a:1,b");
    assert!(asked.wants_image);
    let asked = order("t=a&outputs=%5B%7B%22Type%22%3A%22local%22%2C%22Attrs%22%3Anull%7D%5D")
        .expect("nothing is wrong");
    assert_eq!(asked.request.exporters[0].kind, "local");
    assert!(asked.request.exporters[0].attrs.is_empty());
    assert!(!asked.wants_image);
}

#[test]
fn the_host_s_network_needs_leave() {
    let asked = order("networkmode=host").expect("nothing is wrong");
    assert_eq!(asked.request.entitlements, ["network.host"]);
}

#[test]
fn nonsense_is_refused() {
    let cases = [
        ("buildargs=x", "`buildargs` of the build cannot be read"),
        ("squash=1", "squash is only supported with experimental mode"),
        ("securityopt=x", "security options are not supported on linux"),
        ("networkmode=mine", "network mode \"mine\" not supported by buildkit"),
        ("extrahosts=x", "invalid host x"),
        ("outputs=%5B%7B%7D%2C%7B%7D%5D", "multiple outputs not supported"),
    ];
    for (query, expected) in cases {
        assert_eq!(order(query).err().map(|report| report.message).as_deref(), Some(expected), "{query}");
    }
}

#[test]
fn truths_are_read_as_docker_reads_them() {
    let flag = |value: &str| Query(vec![("q".into(), value.into())]).flag("q");
    assert!(["1", "true", "yes", "x"].into_iter().all(flag));
    assert!(!["", "0", "no", "false", "None"].into_iter().any(flag));
}
