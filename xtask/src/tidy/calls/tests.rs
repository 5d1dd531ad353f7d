//! Calls that are refused, and where they are not.

use super::offences;
use crate::tidy::source::Source;

const LIB: &str = "crates/rooms/images/src/lib.rs";

#[test]
fn a_hidden_failure_is_refused_outside_tests() {
    check(LIB, "fn a() { b().unwrap() }", "unwrap");
    check(LIB, "fn a() { b().unwrap_or(c) }", "");
    check(LIB, "fn a() { panic!(\"no\") }", "panic");
    check(LIB, "fn a() { todo!() }", "panic");
    check(LIB, "#[cfg(test)]\nmod tests { fn a() { b().unwrap() } }", "");
    check("crates/rooms/images/src/lib/tests.rs", "fn a() { b().unwrap() }", "");
}

#[test]
fn the_time_and_chance_are_asked_for_in_base_alone() {
    check(LIB, "fn a() { let now = Instant::now(); }", "clock");
    check(LIB, "fn a() { let now = std::time::SystemTime::now(); }", "clock");
    check(LIB, "fn a() { let n = fastrand::u8(..); }", "chance");
    check(LIB, "fn a(clock: &dyn Clock) { clock.now(); }", "");
    check("crates/ground/base/src/time.rs", "fn a() { SystemTime::now(); }", "");
}

#[test]
fn unsafe_code_has_its_two_rooms_and_tests_are_no_third() {
    check(LIB, "fn a() { unsafe { b() } }", "unsafe");
    check("crates/rooms/images/src/lib/tests.rs", "fn a() { unsafe { b() } }", "unsafe");
    check("crates/rooms/runtime/src/sys/mount.rs", "fn a() { unsafe { b() } }", "");
}

#[test]
fn libraries_do_not_print() {
    check(LIB, "fn a() { println!(\"a\") }", "print");
    check("crates/doors/cli/src/show.rs", "fn a() { println!(\"a\") }", "");
}

#[test]
fn a_lint_is_silenced_with_a_reason() {
    check(LIB, "#[allow(dead_code)]\nfn a() {}", "allow");
    check(LIB, "#![expect(dead_code)]\nfn a() {}", "allow");
    check(LIB, "#[allow(dead_code, reason = \"the kernel fills it\")]\nfn a() {}", "");
    check(LIB, "// The kernel fills it.\n#[allow(dead_code)]\nfn a() {}", "");
    check(LIB, "fn a() { b.expect(\"c\"); }", "");
}

#[test]
fn work_left_in_a_comment_is_told() {
    check(LIB, &["// TO", "DO: later"].concat(), "todo");
    check(LIB, "// Everything is done.", "");
}

#[track_caller]
fn check(path: &str, text: &str, told: &str) {
    let found: Vec<_> = offences(&Source::read(path, text)).iter().map(|o| o.rule).collect();
    assert_eq!(found.join(", "), told, "{text}");
}
