//! Files and functions of every wrong shape.

use super::offences;
use crate::tidy::source::Source;

#[test]
fn each_wrong_shape_is_told_with_its_rule() {
    check("//! A.\nfn a() {}\n", "");
    check("fn a() {}\n", "1 header");
    check(&format!("//! A.\n{}", "\n".repeat(800)), "801 file length");
    check(&format!("//! A.\nfn a() {{\n{}}}\n", "b();\n".repeat(69)), "2 function length");
    check(&format!("//! A.\nfn a() {{\n{}}}\n", "b();\n// why\n\n".repeat(68)), "");
    check("//! A.\nfn a() { {{{{{ }}}}} }\n", "");
    check("//! A.\nfn a() { {{{{{{ }}}}}} }\n", "2 nesting");
    check("//! A.\nfn a(&self, b: u8, c: (u8, u8), d: M<u8, u8>, e: u8, f: u8) {}\n", "");
    check("//! A.\nfn a(&self, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8) {}\n", "2 parameters");
}

#[test]
fn the_functions_of_tests_may_be_of_any_shape() {
    check(
        "//! A.\n#[cfg(test)]\nmod tests { fn a(b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) {} }\n",
        "",
    );
}

#[track_caller]
fn check(text: &str, told: &str) {
    let found: Vec<_> =
        offences(&Source::read("a.rs", text)).iter().map(|o| format!("{} {}", o.line, o.rule)).collect();
    assert_eq!(found.join(", "), told);
}
