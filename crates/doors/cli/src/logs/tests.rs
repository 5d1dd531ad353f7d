//! Times as people write them.

use super::*;

#[test]
fn ages_read_as_go_writes_them() {
    assert_eq!(age("1h30m"), Some(Duration::from_secs(5400)));
    assert_eq!(age("250ms"), Some(Duration::from_millis(250)));
    assert_eq!(age("1.5s"), Some(Duration::from_millis(1500)));
    for bad in ["", "10", "m", "3x", "1h-2m"] {
        assert_eq!(age(bad), None, "{bad}");
    }
}

#[test]
fn moments_are_rfc_3339_or_seconds() {
    assert_eq!(moment("1970-01-01T00:00:01Z").ok(), Some(Timestamp::from_secs(1)));
    assert_eq!(moment("7").ok(), Some(Timestamp::from_secs(7)));
    assert!(moment("yesterday").is_err());
}
