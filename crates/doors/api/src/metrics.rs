//! `/v1/metrics`, and `/metrics` at an address of its own: what the edge counts and what containers use, as Prometheus reads
//! it.
//!
//! The text format 0.0.4. Series are bounded by the routes, services and instances that there are; names follow
//! `<room>_<noun>_<unit>`, and those of counters end in `_total`.

mod containers;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use ::containers::{Filter, View};
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base::{ContainerId, Kind, Report};
use proxy::{
    CacheStatus, ClassStatus, EdgeStatus, EndpointStatus, HedgeStatus, MirrorStatus, PoolStatus, SideStatus,
    StickStatus, Tally,
};

use crate::answer::Refusal;
use crate::{Daemon, Shared};

/// What the text is.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The classes of statuses, as they are counted.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// `GET /v1/metrics`.
pub(crate) async fn metrics(State(daemon): Shared) -> Result<Response, Refusal> {
    let status = daemon.edge.status().await?;
    let views = daemon.containers.list(&Filter { all: true, ..Filter::default() });
    let release = |view: &View| Some((view.record.id.clone(), view.record.owner.as_ref()?.release.0));
    let releases = views.iter().filter_map(release).collect();
    let measured = containers::measure(&daemon, views).await;
    let mut text = Page { version: daemon.version, releases }.write(&status);
    containers::write(&mut text, &measured);
    Ok(([(header::CONTENT_TYPE, FORMAT)], text.0).into_response())
}

/// Serves `/metrics` at an address, for Prometheus and its like, until the daemon ends. Whoever reaches the address reads.
pub async fn serve_metrics(daemon: Arc<Daemon>, address: SocketAddr) -> Result<SocketAddr, Report> {
    let failed = |error| {
        Report::new(Kind::Unavailable, format!("could not serve metrics at {address}"))
            .because(error)
            .hint("name another address with `--metrics`")
    };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = Router::new().route("/metrics", get(metrics)).with_state(daemon.clone());
    daemon.tasks.spawn("serving metrics", async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("metrics are served no longer: {error}");
        }
    });
    Ok(address)
}

/// Labels, in the order in which they are written.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// Name, kind, number and help of a family.
type Row<T> = (&'static str, &'static str, fn(&T) -> u64, &'static str);

/// What is done with each that samples are of.
type Each<'a, T> = &'a mut dyn FnMut(Labels<'_>, &T);

/// The text.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a family of samples.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl fmt::Display) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for letter in value.chars() {
                match letter {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
        }
        self.0.push_str(if labels.is_empty() { " " } else { "} " });
        self.push(format_args!("{value}\n"));
    }

    fn push(&mut self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes everything");
    }

    /// The samples of a histogram whose bounds are powers of two of microseconds from 64 on; the last is open.
    fn times(&mut self, name: &str, labels: Labels<'_>, (times, took_us): (&[u64], u64)) {
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (at, count) in times.iter().enumerate() {
            below += count;
            let last = at + 1 == times.len();
            let bound = if last { "+Inf".to_owned() } else { format!("{}", 64e-6 * 2f64.powi(at as i32)) };
            self.sample(&bucket, &[labels, &[("le", &*bound)]].concat(), below);
        }
        self.sample(&format!("{name}_sum"), labels, took_us as f64 / 1e6);
        self.sample(&format!("{name}_count"), labels, below);
    }
}

/// What is known beside the edge's own numbers.
struct Page {
    version: &'static str,
    /// Of the instances of apps.
    releases: HashMap<ContainerId, u32>,
}

/// What tells a pool from others: its owner, which is an app or a container; its service; its name among the owner's.
fn names(pool: &PoolStatus) -> [(&str, &str); 3] {
    let service = pool.service.split_once('/').map_or(&*pool.service, |(_, service)| service);
    [("app", &pool.owner), ("service", service), ("pool", &pool.name)]
}

impl Page {
    fn write(&self, status: &EdgeStatus) -> Text {
        let mut text = Text::default();
        text.family("daemon_info", "gauge", "The daemon that answers.");
        text.sample("daemon_info", &[("version", self.version)], 1);
        self.whole(&mut text, status);
        self.routes(&mut text, status);
        self.services(&mut text, status);
        sides(&mut text, status);
        copies(&mut text, status);
        hedges(&mut text, status);
        priorities(&mut text, status);
        bonds(&mut text, status);
        caches(&mut text, status);
        self.instances(&mut text, status);
        text
    }

    fn whole(&self, text: &mut Text, status: &EdgeStatus) {
        let tls = &status.tls;
        let gauges = [
            ("proxy_table_generation", status.generation, "The number of the table of routes in force."),
            ("proxy_connections", status.connections, "Open connections of clients."),
            ("proxy_requests_held", status.held, "Requests that wait for an instance."),
            ("proxy_tls_handshakes_under_way", tls.under_way, "Handshakes of TLS that are not over."),
            ("proxy_edges_leaving", status.leaving as u64, "Replaced edges that finish what they have."),
        ];
        for (name, value, help) in gauges {
            text.family(name, "gauge", help);
            text.sample(name, &[], value);
        }
        let name = "proxy_tls_handshakes_total";
        text.family(name, "counter", "Handshakes of TLS that are over.");
        let full = tls.done.saturating_sub(tls.resumed);
        for (outcome, value) in [
            ("full", full),
            ("resumed", tls.resumed),
            ("failed", tls.failed),
            ("turned_away", tls.turned_away),
        ] {
            text.sample(name, &[("outcome", outcome)], value);
        }
        let name = "proxy_edges_died_total";
        text.family(name, "counter", "Edges that died, or did not come to serve, since the daemon began.");
        text.sample(name, &[], status.died);
        let name = "proxy_log_lines_dropped_total";
        text.family(name, "counter", "Lines of the access log that were not written.");
        text.sample(name, &[], status.log_lines_dropped);
    }

    fn routes(&self, text: &mut Text, status: &EdgeStatus) {
        let all = |each: &mut dyn FnMut(Labels<'_>, &Tally)| {
            for rule in &status.rules {
                let host = rule.host.as_deref().unwrap_or("*");
                each(&[("app", &rule.owner), ("host", host), ("path", &rule.path)], &rule.answers);
            }
        };
        let name = "proxy_route_requests_total";
        text.family(name, "counter", "Answers to clients by route, by instances and by the edge itself.");
        all(&mut |labels, tally| classes(text, name, labels, &tally.classes));
        let name = "proxy_route_duration_seconds";
        text.family(name, "histogram", "Time from a request's head to the end of its answer.");
        all(&mut |labels, tally| text.times(name, labels, (&tally.times, tally.took_us)));
    }

    fn services(&self, text: &mut Text, status: &EdgeStatus) {
        let name = "proxy_requests_refused_total";
        text.family(name, "counter", "Requests that the edge answered itself, by the word in x-sea-refused.");
        let mut sums = BTreeMap::new();
        for refused in &status.refused {
            let is = |pool: &&PoolStatus| {
                refused.pool.as_ref().is_some_and(|(owner, name)| pool.owner == *owner && pool.name == *name)
            };
            // Those without a route have no pool.
            let names =
                status.pools.iter().find(is).map_or([("app", ""), ("service", ""), ("pool", "")], names);
            *sums.entry((names, &*refused.reason)).or_insert(0) += refused.count;
        }
        for ((names, reason), count) in sums {
            text.sample(name, &[&names[..], &[("reason", reason)]].concat(), count);
        }
        let name = "proxy_breaker_opened_total";
        text.family(name, "counter", "How often a thread's breaker of the service opened.");
        for pool in &status.pools {
            text.sample(name, &names(pool), pool.breaker_opened);
        }
        let name = "proxy_answers_replaced_total";
        text.family(
            name,
            "counter",
            "Answers of instances that went out with a page in the place of their body.",
        );
        for pool in &status.pools {
            text.sample(name, &names(pool), pool.replaced);
        }
        let name = "proxy_files_served_total";
        text.family(name, "counter", "Answers with a file of the service's, which the edge made itself.");
        for pool in &status.pools {
            text.sample(name, &names(pool), pool.files);
        }
    }

    fn instances(&self, text: &mut Text, status: &EdgeStatus) {
        let all = |each: Each<'_, EndpointStatus>| {
            for pool in &status.pools {
                for one in &pool.endpoints {
                    let release = self.releases.get(&one.instance).map(u32::to_string).unwrap_or_default();
                    let container = one.instance.short();
                    let of = [("release", &*release), ("container", container)];
                    each(&[&names(pool)[..], &of].concat(), one);
                }
            }
        };
        let name = "proxy_requests_total";
        text.family(name, "counter", "Answers of instances.");
        all(&mut |labels, one| classes(text, name, labels, &one.classes));
        let name = "proxy_request_duration_seconds";
        text.family(name, "histogram", "Time from a request's head to the end of the instance's answer.");
        all(&mut |labels, one| text.times(name, labels, (&one.latency, one.took_us)));
        let rows: [Row<EndpointStatus>; 6] = [
            ("proxy_requests_in_flight", "gauge", |one| one.in_flight, "Requests that are not over."),
            (
                "proxy_requests_lost_total",
                "counter",
                |one| one.answered.lost,
                "Requests that an instance took and did not answer to the end.",
            ),
            (
                "proxy_requests_retried_total",
                "counter",
                |one| one.retried,
                "Requests that went on to another connection.",
            ),
            (
                "proxy_instance_ejected_total",
                "counter",
                |one| one.ejected,
                "How often a thread passed it over for doing worse than the others.",
            ),
            ("proxy_instance_spared_total", "counter", |one| one.spared, "How often it asked to be spared."),
            (
                "proxy_instance_avoided",
                "gauge",
                |one| u64::from(one.avoided || one.ejected_by > 0 || one.spared_by > 0),
                "1 while it is passed over for any reason by some thread.",
            ),
        ];
        numbers(text, &rows, &all);
    }
}

/// The sides of splits; `to` is the pool of a side.
fn sides(text: &mut Text, status: &EdgeStatus) {
    let all = |each: Each<'_, SideStatus>| {
        for pool in &status.pools {
            for side in &pool.sides {
                each(&[&names(pool)[..], &[("to", &side.pool)]].concat(), side);
            }
        }
    };
    let rows: [Row<SideStatus>; 3] = [
        ("proxy_side_weight", "gauge", |side| side.weight.into(), "What a side gets beside the others."),
        (
            "proxy_side_requests_total",
            "counter",
            |side| side.taken,
            "Requests that went to a side of a split.",
        ),
        (
            "proxy_side_fallen_total",
            "counter",
            |side| side.fell,
            "Requests of a side that went to others, as it had no instance for them.",
        ),
    ];
    numbers(text, &rows, &all);
}

/// Copies of requests; `to` is the pool that they go to.
fn copies(text: &mut Text, status: &EdgeStatus) {
    let all = |each: Each<'_, MirrorStatus>| {
        for pool in &status.pools {
            if let Some(mirror) = &pool.mirror {
                each(&[&names(pool)[..], &[("to", &mirror.pool)]].concat(), mirror);
            }
        }
    };
    let rows: [Row<MirrorStatus>; 4] = [
        ("proxy_copies_in_flight", "gauge", |copies| copies.under_way.into(), "Copies that are not over."),
        ("proxy_copies_total", "counter", |copies| copies.sent, "Copies of requests that were begun."),
        ("proxy_copies_lost_total", "counter", |copies| copies.lost, "Copies without an answer in time."),
        (
            "proxy_copies_skipped_total",
            "counter",
            |copies| copies.skipped,
            "Copies that were left out, as too many were under way.",
        ),
    ];
    numbers(text, &rows, &all);
    let name = "proxy_copies_answered_total";
    text.family(name, "counter", "Answers to copies, which nobody reads.");
    all(&mut |labels, copies| classes(text, name, labels, &copies.classes));
}

/// Second requests to another instance.
fn hedges(text: &mut Text, status: &EdgeStatus) {
    let all = |each: Each<'_, HedgeStatus>| {
        for pool in &status.pools {
            if let Some(hedges) = &pool.hedges {
                each(&names(pool), hedges);
            }
        }
    };
    let rows: [Row<HedgeStatus>; 2] = [
        ("proxy_hedges_total", "counter", |hedges| hedges.sent, "Second requests to another instance."),
        ("proxy_hedges_won_total", "counter", |hedges| hedges.won, "Those whose answer the client got."),
    ];
    numbers(text, &rows, &all);
    let name = "proxy_hedges_left_out_total";
    text.family(name, "counter", "Second requests that were due and not sent.");
    all(&mut |labels, hedges| {
        for (reason, count) in [("share", hedges.unpaid), ("load", hedges.busy), ("alone", hedges.alone)] {
            text.sample(name, &[labels, &[("reason", reason)]].concat(), count);
        }
    });
}

/// Requests by how urgent they are.
fn priorities(text: &mut Text, status: &EdgeStatus) {
    let all = |each: Each<'_, ClassStatus>| {
        for pool in &status.pools {
            for class in &pool.classes {
                each(&[&names(pool)[..], &[("priority", &class.class)]].concat(), class);
            }
        }
    };
    let rows: [Row<ClassStatus>; 2] = [
        (
            "proxy_priority_requests_total",
            "counter",
            |class| class.let_in,
            "Requests that were let in, by how urgent they are.",
        ),
        (
            "proxy_priority_refused_total",
            "counter",
            |class| class.refused,
            "Requests that were refused for want of room, likewise.",
        ),
    ];
    numbers(text, &rows, &all);
}

/// Answers that are kept, and requests that are joined.
fn caches(text: &mut Text, status: &EdgeStatus) {
    let all = |each: Each<'_, CacheStatus>| {
        for pool in &status.pools {
            if let Some(cache) = &pool.cache {
                each(&names(pool), cache);
            }
        }
    };
    let name = "proxy_cache_requests_total";
    text.family(name, "counter", "Requests to services that keep answers, by what the cache did.");
    all(&mut |labels, cache| {
        for (result, count) in [
            ("hit", cache.hits),
            ("stale", cache.stale),
            ("error", cache.on_error),
            ("miss", cache.misses),
            ("confirmed", cache.confirmed),
            ("joined", cache.joined),
            ("passed", cache.passed),
        ] {
            text.sample(name, &[labels, &[("result", result)]].concat(), count);
        }
    });
    let rows: [Row<CacheStatus>; 7] = [
        (
            "proxy_cache_renewals_total",
            "counter",
            |cache| cache.renewed,
            "New answers that were fetched while the one before was given.",
        ),
        (
            "proxy_cache_purged_total",
            "counter",
            |cache| cache.purged,
            "Answers that were thrown away by hand.",
        ),
        ("proxy_cache_answers", "gauge", |cache| cache.answers, "Answers that are kept."),
        ("proxy_cache_bytes", "gauge", |cache| cache.bytes, "What they take."),
        ("proxy_cache_limit_bytes", "gauge", |cache| cache.most_bytes, "What they may take."),
        ("proxy_cache_fetches", "gauge", |cache| cache.fetches, "Fetches that others may wait for."),
        ("proxy_cache_waiting", "gauge", |cache| cache.waiting, "Requests that wait for one of them."),
    ];
    numbers(text, &rows, &all);
}

/// Clients that stay with their instance.
fn bonds(text: &mut Text, status: &EdgeStatus) {
    let name = "proxy_sticky_answers_total";
    text.family(name, "counter", "Answers by what became of the bond of their client to an instance.");
    for pool in &status.pools {
        let Some(StickStatus { stayed, bound, moved, detours }) = pool.sticky else { continue };
        for (outcome, count) in [("stayed", stayed), ("bound", bound), ("moved", moved), ("detour", detours)]
        {
            text.sample(name, &[&names(pool)[..], &[("outcome", outcome)]].concat(), count);
        }
    }
}

/// Writes families of a number each.
fn numbers<T>(text: &mut Text, rows: &[Row<T>], all: &dyn Fn(Each<'_, T>)) {
    for (name, kind, value, help) in rows {
        text.family(name, kind, help);
        all(&mut |labels, one| text.sample(name, labels, value(one)));
    }
}

fn classes(text: &mut Text, name: &str, labels: Labels<'_>, counts: &[u64]) {
    for (class, count) in CLASSES.iter().zip(counts) {
        text.sample(name, &[labels, &[("class", *class)]].concat(), count);
    }
}

#[cfg(test)]
mod tests;
