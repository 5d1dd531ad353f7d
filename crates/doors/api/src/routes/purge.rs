//! `/v1/routes/purge`: kept answers that are to be thrown away.

use axum::Json;
use base::{Kind, Report};
use proxy::{Address, Purge, Purged};
use talk::{RoutePurge, RoutePurged, ServicePurged};

use super::Url;
use crate::Shared;
use crate::answer::{Answer, Refusal, ok};

/// `POST /v1/routes/purge`.
pub(super) async fn purge(
    axum::extract::State(daemon): Shared,
    Json(order): Json<RoutePurge>,
) -> Answer<RoutePurged> {
    let (which, shown) = which(order)?;
    ok(told(daemon.edge.purge(which).await?, &shown))
}

/// What an order means, and its words for people.
fn which(order: RoutePurge) -> Result<(Purge, String), Refusal> {
    let RoutePurge { url, prefix, all } = order;
    match (url, all) {
        (Some(url), None) => {
            let Url { secure, host, port, target } = Url::of(&url)?;
            let usual = match (secure, port) {
                (Some(true), Some(443)) | (Some(false), Some(80)) => true,
                (Some(_) | None, _) => false,
            };
            // Clients leave the usual port out.
            let host = if usual { without_port(&host) } else { host };
            let shown = if prefix { format!("what begins with `{url}`") } else { format!("`{url}`") };
            Ok((Purge::Address(Address { secure, host, target, prefix }), shown))
        }
        (None, Some(name)) if !prefix => {
            let shown = format!("`{name}`");
            Ok((Purge::Owner(name), shown))
        }
        (Some(_), Some(_)) | (None, _) => {
            let report = Report::new(Kind::Invalid, "it is not said what to throw away");
            Err(Refusal(report.hint("name either a URL, or an app or a service whose kept answers all go")))
        }
    }
}

fn without_port(host: &str) -> String {
    host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned()
}

fn told(purged: Vec<Purged>, shown: &str) -> RoutePurged {
    let answers = purged.iter().map(|one| one.answers).sum();
    let one = |purged: &Purged| match purged.answers {
        1 => format!("1 answer of `{}`", purged.service),
        count => format!("{count} answers of `{}`", purged.service),
    };
    let message = match (purged.is_empty(), answers) {
        (true, _) => "nothing: no service that is meant keeps answers".to_owned(),
        (false, 0) => format!("nothing: no answer is kept for {shown}"),
        (false, _) => {
            let some: Vec<_> = purged.iter().filter(|one| one.answers > 0).map(one).collect();
            format!("threw away {}", some.join(", "))
        }
    };
    let service = |Purged { service, answers }| ServicePurged { service, answers };
    RoutePurged { answers, services: purged.into_iter().map(service).collect(), message }
}

#[cfg(test)]
mod tests;
