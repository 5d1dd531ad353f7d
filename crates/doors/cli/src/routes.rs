//! `sea routes`, `sea route …` and `sea metrics`.

use base::{Kind, Report, Timestamp};
use http_body_util::BodyExt;
use hyper::Method;
use talk::{
    RouteCertificate, RouteExplained, RouteInstance, RoutePurge, RoutePurged, RouteQuestion, RouteView,
    RoutesView,
};

use crate::args::{RouteCommand, RouteExplainArgs, RoutePurgeArgs};
use crate::output::{say, say_json};
use crate::table::{self, short};
use crate::{Done, Session, report};

impl Session {
    /// `sea routes`.
    pub(crate) async fn routes(&self) -> Done {
        let view: RoutesView = self.client.get("/v1/routes").await.map_err(report)?;
        if self.json() {
            say_json(&view);
        } else if self.quiet() {
            view.routes.iter().for_each(|route| say(&route.route));
        } else {
            let list = |all: &[std::net::SocketAddr]| {
                all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            let https = if view.https.is_empty() {
                String::new()
            } else {
                format!(", HTTPS at {}", list(&view.https))
            };
            say(format!("HTTP at {}{https}", list(&view.http)));
            let rows: Vec<_> = view.routes.iter().flat_map(rows).collect();
            table::print(
                [
                    "ROUTE",
                    "SERVICE",
                    "HTTPS",
                    "INSTANCES",
                    "IN FLIGHT",
                    "2XX",
                    "3XX",
                    "4XX",
                    "5XX",
                    "LOST",
                    "P50",
                    "P99",
                ],
                &rows,
            );
            let failed = |route: &RouteView| {
                let one = route.certificate.as_ref()?;
                let why = one.failed.as_ref()?;
                let again = one
                    .again
                    .map(|time| {
                        format!("; the next try is at {time}, `sea certificate retry` does it at once")
                    })
                    .unwrap_or_default();
                Some(format!("no new certificate for {}: {why}{again}", route.route))
            };
            view.routes.iter().filter_map(failed).for_each(|line| say(format!("\n{line}")));
        }
        Ok(0)
    }

    /// `sea metrics`.
    pub(crate) async fn metrics(&self) -> Done {
        let body = self.client.download("/v1/metrics").await.map_err(report)?;
        let text = body.collect().await.map_err(|error| {
            Report::new(Kind::Unavailable, "the daemon's answer broke off").because(error)
        })?;
        say(String::from_utf8_lossy(&text.to_bytes()).trim_end());
        Ok(0)
    }

    /// `sea route …`.
    pub(crate) async fn route(&self, command: RouteCommand) -> Done {
        match command {
            RouteCommand::Explain(question) => self.explain(question).await,
            RouteCommand::Purge(order) => self.purge(order).await,
        }
    }

    async fn purge(&self, RoutePurgeArgs { url, prefix, all }: RoutePurgeArgs) -> Done {
        let order = RoutePurge { url, prefix, all };
        let told: RoutePurged =
            self.client.call(Method::POST, "/v1/routes/purge", &order).await.map_err(report)?;
        if self.json() {
            say_json(&told);
        } else if self.quiet() {
            say(told.answers);
        } else {
            say(told.message);
        }
        Ok(0)
    }

    async fn explain(&self, RouteExplainArgs { url, method, headers, from }: RouteExplainArgs) -> Done {
        let headers = headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?;
        let question = RouteQuestion { method, url, headers, client: from };
        let told: RouteExplained =
            self.client.call(Method::POST, "/v1/routes/explain", &question).await.map_err(report)?;
        if self.json() {
            say_json(&told);
            return Ok(0);
        }
        let width = told.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
        told.steps.iter().for_each(|step| say(format!("{:width$}   {}", step.name, step.found)));
        if !told.instances.is_empty() {
            let row = |one: &talk::RouteCandidate| {
                let state = one.passed_over.clone().unwrap_or_else(|| "takes requests".into());
                [short(&one.id).to_owned(), one.address.to_string(), one.in_flight.to_string(), state]
            };
            say("");
            table::print(
                ["INSTANCE", "ADDRESS", "IN FLIGHT", "STATE"],
                &told.instances.iter().map(row).collect::<Vec<_>>(),
            );
        }
        say(format!("\n{}", told.message));
        Ok(0)
    }
}

/// `NAME: VALUE`.
fn header(text: &str) -> Result<(String, String), Report> {
    let (name, value) = text.split_once(':').ok_or_else(|| {
        Report::new(Kind::Invalid, format!("`{text}` is not a header"))
            .hint("write it as in `-H 'Accept: text/html'`")
    })?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A route, and below it the other sides of its split and its copies.
fn rows(route: &RouteView) -> Vec<[String; 12]> {
    let mut all = vec![row(route)];
    for side in &route.sides {
        let share = share(side.percent);
        if side.service == route.service {
            all[0][1].push_str(&format!(", {share}"));
            continue;
        }
        let fell = if side.fell > 0 { format!(", {} fell to others", side.fell) } else { String::new() };
        let way = [format!("  {share} of it{fell}"), side.service.clone(), String::new()];
        all.push(counted(way, &side.instances));
    }
    if let Some(copies) = &route.mirror {
        let skipped =
            if copies.skipped > 0 { format!(", {} left out", copies.skipped) } else { String::new() };
        let well = copies.instances.iter().filter(|one| one.passed_over.is_empty()).count();
        let [_, c2, c3, c4, c5] = copies.answers.map(|count| count.to_string());
        all.push([
            format!("  copies of {}{skipped}", share(copies.percent)),
            copies.service.clone(),
            String::new(),
            format!("{well}/{}", copies.instances.len()),
            copies.in_flight.to_string(),
            c2,
            c3,
            c4,
            c5,
            copies.lost.to_string(),
            "-".into(),
            "-".into(),
        ]);
    }
    all
}

/// In percent, with one digit behind the point where that says something.
fn share(percent: f64) -> String {
    format!("{} %", (percent * 100.0).round() / 100.0)
}

fn row(route: &RouteView) -> [String; 12] {
    let https = match (route.https_only, route.hsts_secs) {
        (false, None) => "",
        (false, Some(_)) => "HSTS",
        (true, None) => "only",
        (true, Some(_)) => "only, HSTS",
    };
    let https = [https.to_owned(), route.certificate.as_ref().map(certificate).unwrap_or_default()];
    let https = https.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let service = if route.strip { format!("{} (prefix cut)", route.service) } else { route.service.clone() };
    counted([route.route.clone(), service, https.to_owned()], &route.instances)
}

/// A row with what became of the requests to these instances.
fn counted([way, service, https]: [String; 3], instances: &[RouteInstance]) -> [String; 12] {
    let sum = |of: fn(&RouteInstance) -> u64| instances.iter().map(of).sum::<u64>().to_string();
    let well = instances.iter().filter(|one| one.passed_over.is_empty()).count();
    let slowest = |of: fn(&RouteInstance) -> Option<f64>| {
        let most = instances
            .iter()
            .filter_map(of)
            .fold(None, |most: Option<f64>, one| Some(most.map_or(one, |m| m.max(one))));
        most.map_or_else(|| "-".to_owned(), milliseconds)
    };
    [
        way,
        service,
        https,
        format!("{well}/{}", instances.len()),
        sum(|one| one.in_flight),
        sum(|one| one.answers[1]),
        sum(|one| one.answers[2]),
        sum(|one| one.answers[3]),
        sum(|one| one.answers[4]),
        sum(|one| one.lost),
        slowest(|one| one.p50_ms),
        slowest(|one| one.p99_ms),
    ]
}

/// How it stands with the certificate by an authority.
fn certificate(one: &RouteCertificate) -> String {
    let date = |time: Timestamp| time.to_string().chars().take(10).collect::<String>();
    match (one.until, &one.failed) {
        (Some(until), None) => format!("acme until {}", date(until)),
        (Some(until), Some(_)) => format!("acme until {}, renewal failed", date(until)),
        (None, None) => "acme ordered, own meanwhile".into(),
        (None, Some(_)) => "acme failed, own meanwhile".into(),
    }
}

/// At most so long, of the slowest instance.
fn milliseconds(bound: f64) -> String {
    if bound < 10.0 { format!("{bound:.1} ms") } else { format!("{bound:.0} ms") }
}
