//! The session of a build as what its client keeps.

use std::os::unix::net::UnixStream;

use base::{Kind, Report};

use super::SessionSecrets;
use crate::grpc::Status;
use crate::order::Keeper;

impl Keeper for SessionSecrets {
    fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, Report> {
        self.ask_secret(id).map_err(|status| report(&format!("the secret `{id}`"), &status))
    }

    fn has_agent(&self, id: &str) -> Result<bool, Report> {
        self.ask_agent(id).map_err(|status| report(&format!("the agent `{id}`"), &status))
    }

    fn agent(&self, id: &str, connection: UnixStream) -> Result<(), Report> {
        self.forward(id, connection)
            .map_err(|error| Report::new(Kind::Internal, format!("could not reach the agent `{id}`")).because(error))
    }

    fn credentials(&self, host: &str) -> Result<Option<(String, String)>, Report> {
        self.ask_credentials(host).map_err(|status| report(&format!("credentials for `{host}`"), &status))
    }
}

fn report(what: &str, status: &Status) -> Report {
    Report::new(Kind::Unavailable, format!("the client did not give {what}")).because(status)
}
