//! What the service counts, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

/// Upper bounds in milliseconds.
const BOUNDS_MS: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// Requests by route, status and duration. Routes are few and fixed, so this stays small.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(String, &'static str, u16), Histogram>>,
}

#[derive(Default)]
struct Histogram {
    /// How many fell at or below each bound, and not below the one before.
    counts: [u64; BOUNDS_MS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    /// One request was answered.
    pub(crate) fn answered(&self, method: &str, route: &'static str, status: u16, took: Duration) {
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE"].contains(&method);
        let key = (if known { method } else { "other" }.to_owned(), route, status);
        let mut requests = self.requests.lock().unwrap_or_else(|broken| broken.into_inner());
        let histogram = requests.entry(key).or_default();
        if let Some(place) = BOUNDS_MS.iter().position(|bound| took <= Duration::from_millis(*bound)) {
            histogram.counts[place] += 1;
        }
        histogram.count += 1;
        histogram.seconds += took.as_secs_f64();
    }

    /// All of it as a page, with lines of the service's own behind.
    pub(crate) fn page(&self, service: &str, version: &str, in_flight: usize, own: &str) -> String {
        let version = version.replace(['\\', '"', '\n'], "_");
        let mut page = format!(
            "# HELP harbour_build_info What runs.\n# TYPE harbour_build_info gauge\n\
             harbour_build_info{{service=\"{service}\",version=\"{version}\"}} 1\n\
             # HELP http_requests_in_flight Requests being answered now.\n# TYPE http_requests_in_flight gauge\n\
             http_requests_in_flight {in_flight}\n\
             # HELP http_request_duration_seconds From the head read to the answer written.\n\
             # TYPE http_request_duration_seconds histogram\n"
        );
        let requests = self.requests.lock().unwrap_or_else(|broken| broken.into_inner());
        for ((method, route, status), histogram) in requests.iter() {
            histogram.write(&mut page, &format!("method=\"{method}\",route=\"{route}\",status=\"{status}\""));
        }
        page.push_str(own);
        page
    }
}

impl Histogram {
    fn write(&self, page: &mut String, labels: &str) {
        let name = "http_request_duration_seconds";
        let mut below = 0;
        for (bound, count) in BOUNDS_MS.iter().zip(self.counts) {
            below += count;
            let bound = *bound as f64 / 1_000.0;
            let _ = writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(page, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(page, "{name}_sum{{{labels}}} {}", self.seconds);
        let _ = writeln!(page, "{name}_count{{{labels}}} {}", self.count);
    }
}

#[cfg(test)]
mod tests;
