//! Tests of the short forms.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{ports, volume, words};

#[track_caller]
fn port(spec: &str, want: Expect) {
    let got = match ports(spec) {
        Ok(all) => all
            .iter()
            .map(|p| format!("[{}]:{}->{}/{}", p.host_ip, p.published, p.target, p.protocol))
            .collect::<Vec<_>>()
            .join(" "),
        Err(what) => what,
    };
    want.assert_eq(&got);
}

#[test]
fn ports_are_taken_apart() {
    port("80", expect!["[]:->80/tcp"]);
    port("127.0.0.1:8080:80/udp", expect!["[127.0.0.1]:8080->80/udp"]);
    port("[::1]:1:2", expect!["[::1]:1->2/tcp"]);
    port("9000-9005:90", expect!["[]:9000-9005->90/tcp"]);
    port("1-2:3-4", expect!["[]:1->3/tcp []:2->4/tcp"]);
    port("1-2:3-5", expect!["the ranges `1-2` and `3-5` are not of one length"]);
    port("a:80", expect!["`a` is not a port or a range"]);
    port("80:70000", expect!["`70000` is not a port or a range"]);
    port("1.2.3:80:80", expect!["`1.2.3` is not an address"]);
    port("80/xyz", expect!["`80/xyz` has the protocol `xyz`, and only tcp, udp and sctp are known"]);
}

#[test]
fn commands_are_split_as_a_shell_would() {
    let check = |line: &str, want: &[&str]| assert_eq!(words(line).unwrap(), want, "{line}");
    check("a 'b c' \"d e\" f\\ g", &["a", "b c", "d e", "f g"]);
    check("a '' b", &["a", "", "b"]);
    check("a | b", &["a"]);
    check("sh -c 'a && b'", &["sh", "-c", "a && b"]);
    assert_eq!(words("a 'b"), None);
    assert_eq!(words("a (b)"), None);
}

proptest! {
    #[test]
    fn no_text_makes_them_panic(text in r#"[0-9:/\-.\[\]a-c$ {}'"\\(|ü,]{0,30}"#) {
        let _ = (ports(&text), volume(&text), words(&text));
    }
}
