//! Addresses that are taken, and what is said about them.

use super::*;

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

#[test]
fn all_threads_listen_on_one_port_and_nobody_else_may() {
    let (address, listeners) = streams(any(), 3, Binding::Alone).expect("a free port");
    assert_eq!(listeners.len(), 3);
    assert!(listeners.iter().all(|l| l.local_addr().is_ok_and(|a| a == address)));
    let error =
        streams(address, 2, Binding::Alone).expect_err("the port is taken, even by sockets that share it");
    let name = std::fs::read_to_string("/proc/self/comm").expect("a name");
    let want =
        format!("TCP address `{address}` is in use by `{}` (process {})", name.trim(), std::process::id());
    // The main thread's name is the process's, and tests run on others; the number tells enough.
    assert!(error.to_string().ends_with(&want[want.find("(process").expect("a number")..]), "{error}");
    assert_eq!(error.kind(), Kind::Conflict);
    drop(listeners);
    streams(address, 1, Binding::Alone).expect("the port is free again");
}

#[test]
fn a_udp_port_is_taken_by_one() {
    let socket = datagrams(any()).expect("a free port");
    let address = socket.local_addr().expect("an address");
    let error = datagrams(address).expect_err("the port is taken");
    assert!(error.to_string().starts_with(&format!("UDP address `{address}` is in use by")), "{error}");
}

#[test]
fn a_foreign_address_is_told_as_such() {
    let error = streams(([192, 0, 2, 1], 0).into(), 1, Binding::Alone).expect_err("nobody has this address");
    assert!(matches!(error, ListenError::NoAddress { .. }), "{error}");
}

#[test]
fn a_denied_port_comes_with_a_hint() {
    let error = explain(io::ErrorKind::PermissionDenied.into(), ([0, 0, 0, 0], 80).into(), "TCP");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.hint().is_some_and(|hint| hint.contains("ip_unprivileged_port_start=80")));
}
