//! Ports in addresses, roots in command lines.

use super::{is_role, port_of};

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

#[test]
fn only_processes_of_sea_with_this_root_are_the_demo() {
    role("/x/release/sea daemon --root /x/demo", true);
    role("sea shim /x/demo/containers/a", true);
    role("sea daemon --root /x/demo2", false);
    role("less /x/demo/daemon.log", false);
}

#[track_caller]
fn role(line: &str, is: bool) {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    assert_eq!(is_role(&words, "/x/demo"), is, "{line}");
}

#[track_caller]
fn check(address: &str, port: Option<u16>) {
    assert_eq!(port_of(address), port, "{address}");
}
