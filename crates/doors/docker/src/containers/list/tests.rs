//! Lengths of time and ports as `docker ps` has them.

use std::time::Duration;

use super::{covers, human};

#[test]
fn a_length_of_time_is_said_as_docker_says_it() {
    let check = |seconds: u64, text: &str| assert_eq!(human(Duration::from_secs(seconds)), text, "{seconds}");
    check(0, "Less than a second");
    check(1, "1 second");
    check(59, "59 seconds");
    check(60, "About a minute");
    check(119, "About a minute");
    check(120, "2 minutes");
    check(3600, "About an hour");
    check(2 * 3600, "2 hours");
    check(47 * 3600, "47 hours");
    check(48 * 3600, "2 days");
    check(14 * 24 * 3600, "2 weeks");
    check(60 * 24 * 3600, "2 months");
    check(730 * 24 * 3600, "2 years");
}

#[test]
fn a_port_is_covered_by_itself_and_by_a_range_of_its_protocol() {
    assert!(covers("80", 80, "tcp") && covers("80/tcp", 80, "tcp") && covers("70-90", 80, "tcp"));
    assert!(!covers("80", 80, "udp") && !covers("81-90", 80, "tcp") && !covers("web", 80, "tcp"));
}
