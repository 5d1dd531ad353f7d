//! Reading what test runners report.

use super::ran;

#[test]
fn tests_are_counted_from_either_runner() {
    check("     Summary [   0.042s] 14 tests run: 14 passed, 0 skipped", 14);
    check("     Summary [   0.042s] 0 tests run: 0 passed, 3 skipped", 0);
    check("test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s", 7);
    check("test result: FAILED. 7 passed; 1 failed", 0);
    check("running 3 tests", 0);
}

#[track_caller]
fn check(line: &str, count: usize) {
    assert_eq!(ran(line), count, "{line}");
}
