//! Searching: the call of the protocol's first version that docker's own registry and a few others still answer.

use std::time::Duration;

use base::{Kind, Problem};
use hyper::header::{HeaderName, LOCATION};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Deserializer};

use super::answer::Answer;
use super::auth::{basic, form};
use super::transport::Call;
use super::{CallError, Client};
use crate::endpoint::Endpoint;
use crate::login::{Keyring, Login};

/// Where docker's own registry is searched.
const DOCKER_INDEX: &str = "index.docker.io";

/// The longest answer: a hundred entries are far less.
const ANSWER_BYTES: usize = 4 << 20;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Search {
    /// The registry by host and port; docker's own if none is said.
    pub registry: Option<String>,
    /// Words, or a part of a name.
    pub term: String,
    /// So many entries at most.
    pub limit: u8,
    /// Logins.
    pub keys: Keyring,
    /// Headers that the registry is to see too.
    pub headers: Vec<(HeaderName, String)>,
}

/// A repository that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What its owner says of it.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// How many people like it.
    #[serde(deserialize_with = "or_default")]
    pub star_count: i64,
    /// Whether the registry's own people look after it.
    #[serde(deserialize_with = "or_default")]
    pub is_official: bool,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The registry that was named cannot be spoken to.
    #[error("invalid registry endpoint `{address}`")]
    Endpoint {
        /// Where.
        address: String,
        /// Why.
        source: CallError,
    },
    /// The call failed.
    #[error("could not search `{address}`")]
    Call {
        /// Where.
        address: String,
        /// Why.
        source: CallError,
    },
    /// It does not let itself be searched.
    #[error("unexpected status code {status}")]
    Status {
        /// What it answered.
        status: u16,
    },
    /// What it answered is no list of repositories.
    #[error("error decoding registry search results")]
    Unreadable {
        /// Why.
        source: serde_json::Error,
    },
}

impl Problem for SearchError {
    fn kind(&self) -> Kind {
        match self {
            Self::Endpoint { .. } => Kind::Invalid,
            Self::Call { source, .. } => source.kind(),
            Self::Status { .. } | Self::Unreadable { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Endpoint { source, .. } | Self::Call { source, .. } => source.hint(),
            Self::Status { .. } => Some("most registries cannot be searched; docker's own can".into()),
            Self::Unreadable { .. } => None,
        }
    }
}

#[derive(Deserialize)]
struct Findings {
    #[serde(default, deserialize_with = "or_default")]
    results: Vec<Found>,
}

/// A value, or what stands for it where the registry says `null`.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

impl Client {
    /// Asks a registry for repositories.
    pub async fn search(&self, search: &Search) -> Result<Vec<Found>, SearchError> {
        let named = search.registry.as_deref().filter(|name| !["docker.io", DOCKER_INDEX].contains(name));
        let endpoint = Endpoint::named(named.unwrap_or(DOCKER_INDEX), &self.settings().insecure);
        let address = format!("{}/v1/", endpoint.authority());
        let found = tokio::time::timeout(PATIENCE, self.search_at(&endpoint, named.is_some(), search));
        found.await.unwrap_or_else(|_| {
            let registry = endpoint.authority().to_owned();
            let source = CallError::TimedOut { registry, doing: "end its answer", after: PATIENCE };
            Err(SearchError::Call { address, source })
        })
    }

    async fn search_at(
        &self,
        endpoint: &Endpoint,
        named: bool,
        search: &Search,
    ) -> Result<Vec<Found>, SearchError> {
        let address = format!("{}/v1/", endpoint.authority());
        // As docker has it, a registry that somebody named is asked first whether it is there.
        if named {
            let wrong = |source| SearchError::Endpoint { address: address.clone(), source };
            let origin = self.0.origin_of(endpoint).await.map_err(wrong)?;
            let ping = call("/v1/_ping".into(), search);
            self.0.transport.send(&origin, &ping, None).await.map_err(wrong)?.done().await.map_err(wrong)?;
        }
        let limit = search.limit.to_string();
        let query = form(&[("q", search.term.as_str()), ("n", limit.as_str())]);
        let failed = |source| SearchError::Call { address: address.clone(), source };
        let mut answer =
            self.follow(endpoint, format!("/v1/search?{query}"), search).await.map_err(failed)?;
        if answer.status != StatusCode::OK {
            return Err(SearchError::Status { status: answer.status.as_u16() });
        }
        let bytes = answer.collect(ANSWER_BYTES, "findings").await.map_err(failed)?;
        let findings: Findings =
            serde_json::from_slice(&bytes).map_err(|source| SearchError::Unreadable { source })?;
        Ok(findings.results)
    }

    /// Asks, and follows redirects. Only the host that was asked first sees credentials.
    async fn follow(&self, endpoint: &Endpoint, first: String, search: &Search) -> Result<Answer, CallError> {
        let home = self.0.origin_of(endpoint).await?;
        let place = self.repository_at(endpoint.clone(), "", search.keys.clone());
        let (mut origin, mut target) = (home.clone(), first);
        for _ in 0..=REDIRECTS {
            let call = call(target.clone(), search);
            let answer = match search.keys.get(endpoint.domain()).filter(|_| origin == home) {
                // It may answer strangers too, with less, so it is told at once.
                Some(Login::Password { user, password }) => {
                    self.0.transport.send(&origin, &call, basic(user, password).as_ref()).await?
                }
                Some(Login::Identity { .. } | Login::Registry { .. }) => {
                    let scopes = ["registry:catalog:search".to_owned()];
                    self.0.convince(endpoint, &origin, &search.keys, &scopes, &call).await?
                }
                None => self.0.transport.send(&origin, &call, None).await?,
            };
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            (origin, target) = place.location(endpoint, &origin, &target, &answer, &LOCATION)?;
            answer.done().await?;
        }
        Err(CallError::Nonsense { registry: endpoint.to_string(), why: "it redirects without an end".into() })
    }
}

fn call(target: String, search: &Search) -> Call {
    let mut call = Call::new(Method::GET, target);
    for (name, value) in &search.headers {
        call = call.header(name.clone(), value);
    }
    call.header(HeaderName::from_static("x-docker-token"), "true")
}
