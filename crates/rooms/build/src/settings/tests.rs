//! Tests of the small rules; whole configurations are in the tests of builds.

use super::*;

#[test]
fn durations_print_as_go_prints_them() {
    for (ns, text) in [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (250_000_000, "250ms"),
        (1_000_000_000, "1s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (5_400_500_000_000, "1h30m0.5s"),
    ] {
        assert_eq!(go_duration(ns), text);
    }
}

#[test]
fn paths_are_joined_to_the_folder_and_keep_their_last_slash() {
    let mut settings = Settings::scratch('\\');
    for (folder, path, joined) in [
        ("/", "a", "/a"),
        ("/w", "a/", "/w/a/"),
        ("/w", ".", "/w/"),
        ("/w", "./a/.", "/w/a/"),
        ("/w", "/b/../c", "/c"),
        ("/w", "../..", "/"),
        ("", "/", "/"),
    ] {
        settings.config.config.working_dir = folder.into();
        assert_eq!(settings.absolute(path), joined, "{path} in {folder}");
    }
}

#[test]
fn ports_are_single_or_ranges() {
    let read = |text: &str| port_range(text).map_err(drop);
    assert_eq!(read("80"), Ok(vec!["80/tcp".to_owned()]));
    assert_eq!(read("127.0.0.1:8080:81/UDP"), Ok(vec!["81/udp".to_owned()]));
    assert_eq!(read("1-2/sctp"), Ok(vec!["1/sctp".to_owned(), "2/sctp".to_owned()]));
    for bad in ["0", "70000", "2-1", "x", "80/icmp", "", "-"] {
        assert_eq!(read(bad), Err(()), "{bad}");
    }
}
