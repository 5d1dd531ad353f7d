//! The session of a build as what its client keeps: secrets, agents, credentials.

use std::os::unix::net::UnixStream;

use base::{Kind, Report};
use build::{Agents, Secret, Secrets};

use super::SessionSecrets;
use crate::grpc::Status;
use crate::order::Credentials;

impl Secrets for SessionSecrets {
    fn secret(&self, id: &str) -> Result<Option<Secret>, Report> {
        let secret = self.ask_secret(id).map_err(|status| report(&format!("the secret `{id}`"), &status))?;
        Ok(secret.map(Secret))
    }
}

impl Agents for SessionSecrets {
    fn has(&self, id: &str) -> bool {
        self.ask_agent(id).unwrap_or(false)
    }

    fn connect(&self, id: &str) -> Result<UnixStream, Report> {
        let lost =
            |error| Report::new(Kind::Internal, format!("could not reach the agent `{id}`")).because(error);
        let (near, far) = UnixStream::pair().map_err(lost)?;
        self.forward(id, far).map_err(lost)?;
        Ok(near)
    }
}

impl Credentials for SessionSecrets {
    fn credentials(&self, host: &str) -> Result<Option<(String, String)>, Report> {
        self.ask_credentials(host).map_err(|status| report(&format!("credentials for `{host}`"), &status))
    }
}

fn report(what: &str, status: &Status) -> Report {
    Report::new(Kind::Unavailable, format!("the client did not give {what}")).because(status)
}
