//! The page as Prometheus reads it.

use std::time::Duration;

use super::Metrics;

#[test]
fn buckets_count_all_that_lie_below_them() {
    let metrics = Metrics::default();
    for took in [1, 3, 30, 60_000] {
        metrics.answered("GET", "/", 200, Duration::from_millis(took));
    }
    let page = metrics.page("web", "v1", 2, "");
    let labels = "method=\"GET\",route=\"/\",status=\"200\"";
    for (bound, count) in [("0.001", 1), ("0.002", 1), ("0.005", 2), ("0.05", 3), ("5", 3), ("+Inf", 4)] {
        let line = format!("http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {count}\n");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
    assert!(page.contains("http_requests_in_flight 2\n"));
}

#[test]
fn methods_that_people_invent_make_no_new_series() {
    let metrics = Metrics::default();
    metrics.answered("BREW", "/", 405, Duration::ZERO);
    assert!(metrics.page("web", "v1", 0, "").contains("method=\"other\""));
}
