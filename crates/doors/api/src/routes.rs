//! `/v1/routes`: what the edge carries, what it would do with a request, and what it is to keep no longer.

mod purge;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use acme::{State, Status};
use axum::http::Uri;
use axum::routing::{get, post};
use axum::{Json, Router};
use base::{Kind, Report};
use proxy::{Ask, EdgeStatus, EndpointStatus, Explanation, MirrorStatus, PoolStatus, SideStatus, Verdict};
use spec::Protocol;
use talk::{
    RouteCandidate, RouteCertificate, RouteExplained, RouteInstance, RouteMirror, RouteQuestion, RouteSide,
    RouteStep, RouteView, RoutesView,
};

use crate::answer::{Answer, Refusal, ok};
use crate::{Daemon, Shared};

pub(crate) fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/routes", get(list))
        .route("/routes/explain", post(explain))
        .route("/routes/purge", post(purge::purge))
}

/// `GET /v1/routes`.
async fn list(axum::extract::State(daemon): Shared) -> Answer<RoutesView> {
    ok(view(daemon.edge.status().await?, &daemon.certificates.status()))
}

/// `POST /v1/routes/explain`.
async fn explain(
    axum::extract::State(daemon): Shared,
    Json(question): Json<RouteQuestion>,
) -> Answer<RouteExplained> {
    ok(explained(daemon.edge.explain(ask(question)?).await?))
}

fn view(status: EdgeStatus, certificates: &[Status]) -> RoutesView {
    let pools = status.pools;
    let find = |owner: &str, pool: &str| pools.iter().find(|one| one.owner == owner && one.name == pool);
    let route = |owner: String, pool: &str, route: String| {
        let found = find(&owner, pool);
        let other = |name: &str| find(&owner, name);
        RouteView {
            sides: found.map_or_else(Vec::new, |pool| sides(pool, &other)),
            mirror: found.and_then(|pool| Some(mirror(pool.mirror.as_ref()?, &other))),
            route,
            // A route that sends requests elsewhere needs no service.
            service: found.map_or_else(String::new, |pool| pool.service.clone()),
            instances: instances(found),
            owner,
            strip: false,
            https_only: false,
            hsts_secs: None,
            certificate: None,
        }
    };
    let mut routes: Vec<RouteView> = Vec::new();
    for rule in status.rules {
        let name = format!("{}{}", rule.host.as_deref().unwrap_or("*"), rule.path);
        let (strip, https_only, hsts_secs) = (rule.strip, rule.https_only, rule.hsts_secs);
        let host = rule.host.as_deref();
        let certificate =
            certificates.iter().find(|one| one.names.iter().any(|name| Some(&name[..]) == host));
        let certificate = certificate.map(route_certificate);
        let bare = route(rule.owner, &rule.pool, name);
        routes.push(RouteView { strip, https_only, hsts_secs, certificate, ..bare });
    }
    routes.sort_by(|a, b| a.route.cmp(&b.route));
    for port in status.ports {
        let protocol = if port.protocol == Protocol::Udp { "udp" } else { "tcp" };
        routes.push(route(port.owner, &port.pool, format!("{}/{protocol}", port.address)));
    }
    RoutesView { http: status.http, https: status.https, routes }
}

/// The sides of a pool; `other` finds pools of the same owner.
fn sides<'a>(pool: &PoolStatus, other: &impl Fn(&str) -> Option<&'a PoolStatus>) -> Vec<RouteSide> {
    let sum: u64 = pool.sides.iter().map(|side| u64::from(side.weight)).sum();
    let side = |side: &SideStatus| {
        let found = other(&side.pool);
        RouteSide {
            service: found.map_or_else(String::new, |pool| pool.service.clone()),
            weight: side.weight,
            percent: f64::from(side.weight) * 100.0 / sum.max(1) as f64,
            requests: side.taken,
            fell: side.fell,
            instances: instances(found),
        }
    };
    pool.sides.iter().map(side).collect()
}

fn mirror<'a>(mirror: &MirrorStatus, other: &impl Fn(&str) -> Option<&'a PoolStatus>) -> RouteMirror {
    let found = other(&mirror.pool);
    RouteMirror {
        service: found.map_or_else(String::new, |pool| pool.service.clone()),
        percent: f64::from(mirror.of_10_000) / 100.0,
        in_flight: mirror.under_way,
        sent: mirror.sent,
        answers: mirror.classes,
        lost: mirror.lost,
        skipped: mirror.skipped,
        instances: instances(found),
    }
}

fn instances(pool: Option<&PoolStatus>) -> Vec<RouteInstance> {
    pool.map_or_else(Vec::new, |pool| pool.endpoints.iter().map(instance).collect())
}

fn route_certificate(one: &Status) -> RouteCertificate {
    let (until, renewed) = match one.state {
        State::Missing => (None, None),
        State::Good { until, due } => (Some(until), Some(due)),
    };
    let (failed, again) = one.failed.clone().unzip();
    RouteCertificate { until, renewed, failed, again }
}

fn instance(one: &EndpointStatus) -> RouteInstance {
    let reasons =
        [(one.avoided, "unreachable"), (one.ejected_by > 0, "ejected"), (one.spared_by > 0, "spared")];
    let [c1, c2, c3, c4, c5, _] = one.classes;
    RouteInstance {
        id: one.instance.to_string(),
        address: one.address,
        in_flight: one.in_flight,
        passed_over: reasons.iter().filter(|(is, _)| *is).map(|(_, reason)| (*reason).to_owned()).collect(),
        answers: [c1, c2, c3, c4, c5],
        lost: one.answered.lost,
        retried: one.retried,
        ejected: one.ejected,
        spared: one.spared,
        p50_ms: quantile(&one.latency, 0.5),
        p99_ms: quantile(&one.latency, 0.99),
    }
}

/// The bound, in milliseconds, below which this share of the answers came. Buckets end at 64 us, 128 us and so on; what is
/// in the open one counts as the end of that before it.
fn quantile(latency: &[u64], share: f64) -> Option<f64> {
    let all: u64 = latency.iter().sum();
    let wanted = (all as f64 * share).ceil().max(1.0);
    let mut seen = 0;
    let bucket = latency.iter().position(|count| {
        seen += count;
        all > 0 && seen as f64 >= wanted
    })?;
    Some(0.064 * f64::powi(2.0, bucket.min(latency.len() - 2) as i32))
}

/// A URL taken apart.
struct Url {
    /// Nothing where it names no scheme.
    secure: Option<bool>,
    host: String,
    port: Option<u16>,
    /// Path and query.
    target: String,
}

impl Url {
    fn of(text: &str) -> Result<Self, Refusal> {
        let bad = |why: &str| {
            let report = Report::new(Kind::Invalid, format!("`{text}` {why}"));
            Refusal(report.hint("write it as in `https://shop.example/api?x=1`"))
        };
        // Without a scheme it is HTTP, as for curl.
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = url.parse().map_err(|_| bad("is not a URL"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(bad("is of another scheme than http and https")),
        };
        let Some(authority) = uri.authority() else { return Err(bad("names no host")) };
        if authority.as_str().contains('@') {
            return Err(bad("holds a name and a password, which no browser sends"));
        }
        // What is behind a `#` stays with the browser.
        let target = url.split_once("://").map_or("", |(_, rest)| rest);
        let target = target.split('#').next().unwrap_or_default();
        let target = target.find(['/', '?']).map_or("/", |at| &target[at..]);
        let slash = if target.starts_with('?') { "/" } else { "" };
        Ok(Self {
            secure: text.contains("://").then_some(secure),
            host: authority.to_string(),
            port: authority.port_u16(),
            target: format!("{slash}{target}"),
        })
    }
}

/// The request that a URL asks for.
fn ask(question: RouteQuestion) -> Result<Ask, Refusal> {
    let RouteQuestion { method, url, headers, client } = question;
    let Url { secure, host, port, target } = Url::of(&url)?;
    let broken = |text: &str| text.contains(['\r', '\n']);
    if broken(&method) || headers.iter().any(|(name, value)| broken(name) || broken(value)) {
        let report = Report::new(Kind::Invalid, "a method or a header has several lines");
        return Err(Refusal(report.hint("write each header by itself, as in `-H 'Accept: text/html'`")));
    }
    Ok(Ask {
        method,
        secure: secure.unwrap_or(false),
        host,
        port,
        target,
        fields: headers,
        client: client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    })
}

fn explained(told: Explanation) -> RouteExplained {
    let mut view = RouteExplained {
        steps: told.steps.into_iter().map(|step| RouteStep { name: step.name, found: step.found }).collect(),
        verdict: String::new(),
        message: String::new(),
        service: None,
        status: None,
        code: None,
        instances: told
            .candidates
            .into_iter()
            .map(|one| RouteCandidate {
                id: one.instance.to_string(),
                address: one.address,
                in_flight: one.in_flight,
                passed_over: one.passed_over,
            })
            .collect(),
    };
    let (verdict, message) = match told.verdict {
        Verdict::Sent { service, target } => {
            let message = format!("sent to an instance of `{service}`, as `{target}`");
            view.service = Some(service);
            ("sent", message)
        }
        Verdict::File { service, status, size } => {
            let message = format!(
                "answered with {status} by the edge itself, from a file of `{service}` of {size} bytes"
            );
            view.service = Some(service);
            view.status = Some(status);
            ("file", message)
        }
        Verdict::Held { service } => {
            let message =
                format!("held until `{service}` has an instance, then sent; answered with 503 if none comes");
            view.service = Some(service);
            ("held", message)
        }
        Verdict::Refused { status, code, why, location } => {
            let to = location.map_or_else(String::new, |location| format!(" {location}"));
            view.status = Some(status);
            let message = format!("answered with {status} (`{code}`): {why}{to}");
            view.code = Some(code);
            ("refused", message)
        }
        Verdict::Nowhere { why } => ("nowhere", why),
    };
    view.verdict = verdict.into();
    view.message = message;
    view
}

#[cfg(test)]
mod tests;
