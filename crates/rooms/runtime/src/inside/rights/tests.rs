//! Capabilities as flags ask for them.

use super::*;

#[test]
fn flags_give_the_sets_that_docker_gives() {
    let default = bits(DEFAULT).unwrap();
    // What docker's own containers show in /proc/self/status.
    assert_eq!(default, 0xa804_25fb);
    check(&[], &[], default);
    check(&["net_admin"], &["CAP_MKNOD"], (default | 1 << 12) & !(1 << 27));
    check(&[], &["ALL"], 0);
    check(&["CHOWN"], &["ALL"], 1);
    check(&["ALL"], &["SYS_ADMIN"], ALL & !(1 << 21));
    check(&["ALL"], &["ALL"], 0);
    assert!(bit("CAP_NOTHING").is_err());
}

#[track_caller]
fn check(add: &[&str], drop: &[&str], expected: u64) {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let wanted = Capabilities { privileged: false, add: texts(add), drop: texts(drop) };
    assert_eq!(capabilities(&wanted).map_err(|f| f.line()), Ok(expected));
}
