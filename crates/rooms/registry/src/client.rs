//! The client of registries.
//!
//! [`Client`] holds what all calls share: connections that are kept, tokens, and how registries want to be convinced.
//! [`Repository`] is one repository, with the credentials of whoever asks, behind the mirrors that stand before it.

mod answer;
mod auth;
mod blobs;
mod error;
mod lists;
mod manifests;
mod pool;
mod repository;
mod search;
mod settings;
mod tls;
mod transport;
mod upload;

use std::sync::Arc;

use hyper::Method;
use oci::Reference;

use crate::endpoint::Endpoint;
use crate::login::{Keyring, Login};
use auth::Auth;
use transport::{Call, Transport};

pub use blobs::Fetched;
pub use error::{BlobError, CallError, ImageError, ManifestError, PushError};
pub use lists::Listing;
pub use manifests::{Image, Raw};
pub use repository::Repository;
pub use search::{Found, Search, SearchError};
pub use settings::{Settings, SettingsError, Timeouts};
pub use upload::{Source, Uploaded};

/// Reaches registries; cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    transport: Transport,
    auth: Auth,
}

impl Client {
    /// A client; nothing is connected yet.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self(Arc::new(Inner { transport: Transport::new(settings), auth: Auth::default() })))
    }

    /// How it was set.
    pub fn settings(&self) -> &Settings {
        &self.0.transport.settings
    }

    /// The repository of a reference; its tag and digest do not matter here.
    pub fn repository(&self, reference: &Reference, keys: Keyring) -> Repository {
        let settings = self.settings();
        let mut endpoints = Vec::new();
        if reference.domain() == "docker.io" {
            endpoints
                .extend(settings.mirrors.iter().map(|mirror| Endpoint::named(mirror, &settings.insecure)));
        }
        endpoints.push(Endpoint::of(reference, &settings.insecure));
        Repository::new(self.clone(), endpoints, reference.path().to_owned(), keys)
    }

    /// A repository behind this very endpoint.
    pub fn repository_at(&self, endpoint: Endpoint, path: &str, keys: Keyring) -> Repository {
        Repository::new(self.clone(), vec![endpoint], path.to_owned(), keys)
    }

    /// Asks a registry whether it takes this login; or, without one, whether it is there.
    pub async fn login(&self, registry: &str, login: Option<Login>) -> Result<(), CallError> {
        let reference = format!("{registry}/x").parse::<Reference>();
        let endpoint = match reference {
            Ok(reference) => Endpoint::of(&reference, &self.settings().insecure),
            Err(_) => Endpoint::named(registry, &self.settings().insecure),
        };
        let keys = login.map(|login| Keyring::anonymous().with(endpoint.domain(), login)).unwrap_or_default();
        let call = Call::new(Method::GET, "/v2/");
        self.0.ask(&endpoint, &keys, &[], call).await?.done().await
    }
}

#[cfg(test)]
mod tests;
