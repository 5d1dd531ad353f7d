//! How documents that were written down say what a service wants.

use super::*;
use crate::EdgePolicy;

#[test]
fn a_breaker_is_on_unless_a_document_says_that_there_is_none() {
    check("{}", Breaking::On, "{}");
    check(r#"{"no_breaker":false}"#, Breaking::On, "{}");
    check(r#"{"no_breaker":true}"#, Breaking::Off, r#"{"no_breaker":true}"#);
}

/// Reads a document and writes it again.
#[track_caller]
fn check(text: &str, breaker: Breaking, again: &str) {
    let policy: EdgePolicy = serde_json::from_str(text).expect("a policy");
    assert_eq!(policy.breaker, breaker, "{text}");
    assert_eq!(serde_json::to_string(&policy).expect("text keys"), again);
}
