//! `sea certificate …`.

use hyper::Method;
use talk::{CertificateRetry, CertificatesRetried};

use crate::args::{CertificateCommand, CertificateRetryArgs};
use crate::output::{say, say_json};
use crate::{Done, Session, report};

impl Session {
    /// `sea certificate …`.
    pub(crate) async fn certificate(&self, command: CertificateCommand) -> Done {
        match command {
            CertificateCommand::Retry(order) => self.retry_certificates(order).await,
        }
    }

    async fn retry_certificates(&self, CertificateRetryArgs { hosts }: CertificateRetryArgs) -> Done {
        let order = CertificateRetry { hosts };
        let told: CertificatesRetried =
            self.client.call(Method::POST, "/v1/certificates/retry", &order).await.map_err(report)?;
        if self.json() {
            say_json(&told);
        } else if self.quiet() {
            told.begun.iter().for_each(|names| say(names.join(" ")));
        } else {
            say(told.message);
        }
        Ok(0)
    }
}
