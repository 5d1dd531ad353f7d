//! `/v1/certificates`: certificates by an authority that are to be ordered again.

use std::sync::Arc;

use acme::Retried;
use axum::routing::post;
use axum::{Json, Router};
use talk::{CertificateRetry, CertificatesRetried};

use crate::answer::{Answer, ok};
use crate::{Daemon, Shared};

pub(crate) fn routes() -> Router<Arc<Daemon>> {
    Router::new().route("/certificates/retry", post(retry))
}

/// `POST /v1/certificates/retry`; answers before the orders are made.
async fn retry(
    axum::extract::State(daemon): Shared,
    Json(CertificateRetry { hosts }): Json<CertificateRetry>,
) -> Answer<CertificatesRetried> {
    // Hosts are known by their lower case.
    let hosts: Vec<_> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    ok(told(daemon.certificates.retry(&hosts)?))
}

fn told(Retried { begun, under_way }: Retried) -> CertificatesRetried {
    let list = |all: &[Vec<String>]| {
        all.iter().map(|names| format!("`{}`", names.join(", "))).collect::<Vec<_>>().join(" and ")
    };
    let message = match (&begun[..], &under_way[..]) {
        ([], []) => "nothing: no order for a certificate has failed".to_owned(),
        ([], waiting) => format!("nothing: the order for {} is being made anyhow", list(waiting)),
        (begun, []) => format!("ordering again for {}; `sea routes` shows what comes of it", list(begun)),
        (begun, waiting) => {
            let (begun, waiting) = (list(begun), list(waiting));
            format!(
                "ordering again for {begun}, and anyhow for {waiting}; `sea routes` shows what comes of it"
            )
        }
    };
    CertificatesRetried { begun, under_way, message }
}

#[cfg(test)]
mod tests {
    //! What people are told.

    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn it_is_said_what_is_ordered_and_where_to_look() {
        check(&[], &[], expect!["nothing: no order for a certificate has failed"]);
        check(&[], &["a.example"], expect!["nothing: the order for `a.example` is being made anyhow"]);
        check(
            &["a.example www.a.example", "b.example"],
            &[],
            expect![
                "ordering again for `a.example, www.a.example` and `b.example`; `sea routes` shows what comes of it"
            ],
        );
        check(
            &["a.example"],
            &["b.example"],
            expect![
                "ordering again for `a.example`, and anyhow for `b.example`; `sea routes` shows what comes of it"
            ],
        );
    }

    #[track_caller]
    fn check(begun: &[&str], under_way: &[&str], message: Expect) {
        let names =
            |all: &[&str]| all.iter().map(|one| one.split(' ').map(str::to_owned).collect()).collect();
        let retried = Retried { begun: names(begun), under_way: names(under_way) };
        message.assert_eq(&told(retried).message);
    }
}
