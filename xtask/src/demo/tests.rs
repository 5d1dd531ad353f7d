//! Ports in addresses.

use super::port_of;

#[test]
fn a_port_is_found_in_what_status_shows() {
    check("http://harbour.localhost:8080/", Some(8080));
    check("http://*:80/", Some(80));
    check("http://harbour.localhost/", Some(80));
    check("127.0.0.1:7000", Some(7000));
    check("http://[::]:8080/x", Some(8080));
    check("http://[::1]/", Some(80));
    check("https://harbour.localhost/", None);
    check("", None);
}

#[track_caller]
fn check(address: &str, port: Option<u16>) {
    assert_eq!(port_of(address), port, "{address}");
}
