//! Where to die is read from a text, and a process that nobody armed never dies.

use super::*;

#[test]
fn where_to_die_is_a_role_a_count_and_a_name() {
    let at = |role: &str, times, name: &str| Some(At { role: role.into(), times, name: name.into() });
    assert_eq!(At::parse("serving 2 network: bridge made"), at("serving", 2, "network: bridge made"));
    assert_eq!(At::parse("shim 1 x"), at("shim", 1, "x"));
    assert_eq!(At::parse("shim one x"), None);
    assert_eq!(At::parse("shim"), None);
}

#[test]
fn a_process_that_was_not_armed_goes_on() {
    point("nobody waits here");
}
