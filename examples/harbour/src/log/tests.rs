//! Dates at the corners of the calendar.

use super::written;

#[test]
fn times_are_written_as_the_calendar_has_them() {
    assert_eq!(written(0, 0), "1970-01-01T00:00:00.000Z");
    assert_eq!(written(951_782_400, 5), "2000-02-29T00:00:00.005Z");
    assert_eq!(written(1_735_689_599, 999), "2024-12-31T23:59:59.999Z");
    assert_eq!(written(1_772_323_200, 0), "2026-03-01T00:00:00.000Z");
}
