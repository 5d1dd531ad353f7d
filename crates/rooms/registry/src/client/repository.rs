//! One repository: whom to ask for it, in which order, and how often.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::Rng;
use hyper::Uri;
use hyper::header::{HeaderName, LOCATION};

use super::answer::Answer;
use super::transport::{Call, Origin};
use super::{CallError, Client};
use crate::endpoint::Endpoint;
use crate::login::Keyring;

/// Redirects that are followed for one call.
const REDIRECTS: usize = 5;

/// A repository at a registry, for whoever has these keys.
pub struct Repository {
    pub(super) client: Client,
    /// Mirrors first; the registry itself comes last.
    endpoints: Vec<Endpoint>,
    /// Which of them answered last.
    preferred: AtomicUsize,
    pub(super) path: String,
    keys: Keyring,
}

/// What is to be done in a repository, in the words of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Pull,
    Push,
    Delete,
}

impl Action {
    pub(super) fn scope(self, path: &str) -> String {
        let actions = match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
            Self::Delete => "pull,push,delete",
        };
        format!("repository:{path}:{actions}")
    }
}

impl Repository {
    pub(super) fn new(client: Client, endpoints: Vec<Endpoint>, path: String, keys: Keyring) -> Self {
        Self { client, endpoints, preferred: AtomicUsize::new(0), path, keys }
    }

    /// The registry's name, as people write it.
    pub fn registry(&self) -> &str {
        self.home().domain()
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The registry itself, which alone is written to.
    pub(super) fn home(&self) -> &Endpoint {
        self.endpoints.last().expect("a repository has at least the registry that it is of")
    }

    /// Those who may have what is asked for, the one that answered last before the others.
    pub(super) fn readers(&self) -> Vec<usize> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let others = (0..self.endpoints.len()).filter(|at| *at != preferred);
        std::iter::once(preferred).chain(others).collect()
    }

    pub(super) fn endpoint(&self, at: usize) -> &Endpoint {
        &self.endpoints[at]
    }

    pub(super) fn prefer(&self, at: usize) {
        self.preferred.store(at, Ordering::Relaxed);
    }

    /// Asks those who may have it until one has it; the registry's own word counts when none does.
    pub(super) async fn read(&self, call: impl Fn() -> Call) -> Result<Answer, CallError> {
        let mut of_home = None;
        for at in self.readers() {
            match self.ask_again(self.endpoint(at), &[Action::Pull.scope(&self.path)], &call).await {
                Ok(answer) => {
                    self.prefer(at);
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::debug!(registry = %self.endpoint(at), "no answer to use: {error}");
                    if at + 1 == self.endpoints.len() {
                        of_home = Some(error);
                    }
                }
            }
        }
        Err(of_home.expect("the registry itself was asked too"))
    }

    /// Asks the registry itself, for this and with these further scopes.
    pub(super) async fn write(&self, action: Action, call: impl Fn() -> Call) -> Result<Answer, CallError> {
        self.ask_again(self.home(), &[action.scope(&self.path)], &call).await
    }

    /// Asks an endpoint, again and later each time while the failure is one that may pass.
    pub(super) async fn ask_again(
        &self,
        endpoint: &Endpoint,
        scopes: &[String],
        call: &impl Fn() -> Call,
    ) -> Result<Answer, CallError> {
        let mut tries = 0;
        loop {
            let failed = match self.ask(endpoint, scopes, call()).await {
                Err(error) if error.may_pass() && tries < self.client.settings().retries => error,
                answer => return answer,
            };
            tracing::debug!(registry = %endpoint, tries, "trying again: {failed}");
            self.pause(tries).await;
            tries += 1;
        }
    }

    /// Waits before the next try: twice as long each time, and never all at the same moment.
    pub(super) async fn pause(&self, tries: u32) {
        let pause = self.client.settings().timeouts.pause * 2_u32.saturating_pow(tries.min(6));
        let jitter = Rng::from_kernel().below(u64::try_from(pause.as_millis()).unwrap_or(0) / 2 + 1);
        tokio::time::sleep(pause + Duration::from_millis(jitter)).await;
    }

    /// Asks once, and follows redirects. Only the host that was asked first sees credentials.
    async fn ask(&self, endpoint: &Endpoint, scopes: &[String], call: Call) -> Result<Answer, CallError> {
        let inner = &self.client.0;
        let mut origin = inner.origin_of(endpoint).await?;
        let (method, headers, mut target) = (call.method.clone(), call.headers.clone(), call.target.clone());
        let mut answer = inner.ask(endpoint, &self.keys, scopes, call).await?;
        for _ in 0..REDIRECTS {
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            let (next, path) = self.location(endpoint, &origin, &target, &answer, &LOCATION)?;
            answer.done().await?;
            let same = next == inner.origin_of(endpoint).await?;
            let mut call = Call::new(method.clone(), path.clone());
            call.headers = headers.clone();
            answer = match same {
                true => inner.ask(endpoint, &self.keys, scopes, call).await?,
                false => {
                    let answer = inner.transport.send(&next, &call, None).await?;
                    match answer.status.is_success() || answer.status.is_redirection() {
                        true => answer,
                        false => return Err(answer.refusal(false).await),
                    }
                }
            };
            (origin, target) = (next, path);
        }
        Err(CallError::Nonsense { registry: endpoint.to_string(), why: "it redirects without an end".into() })
    }

    /// Where an answer points, whole or relative to what was asked.
    pub(super) fn location(
        &self,
        endpoint: &Endpoint,
        origin: &Origin,
        target: &str,
        answer: &Answer,
        header: &HeaderName,
    ) -> Result<(Origin, String), CallError> {
        let nonsense = |why: String| CallError::Nonsense { registry: endpoint.to_string(), why };
        let text = answer.header(header).ok_or_else(|| nonsense(format!("it gives no `{header}`")))?;
        self.resolve(endpoint, origin, target, text)
    }

    /// An address, whole or relative to what was asked.
    pub(super) fn resolve(
        &self,
        endpoint: &Endpoint,
        origin: &Origin,
        target: &str,
        text: &str,
    ) -> Result<(Origin, String), CallError> {
        let nonsense = |why: String| CallError::Nonsense { registry: endpoint.to_string(), why };
        let no_address = || nonsense(format!("`{text}` is no address"));
        if text.starts_with('/') && !text.starts_with("//") {
            return Ok((origin.clone(), text.to_owned()));
        }
        if !text.contains("://") {
            let folder = target.split(['?', '#']).next().and_then(|path| path.rsplit_once('/'));
            return Ok((origin.clone(), format!("{}/{text}", folder.map_or("", |(folder, _)| folder))));
        }
        let uri: Uri = text.parse().map_err(|_| no_address())?;
        let next = Origin::of_uri(&uri, &self.client.settings().insecure).ok_or_else(no_address)?;
        // What came over TLS must not be had without it.
        if origin.tls && !next.tls && !endpoint.may_be_plain() {
            return Err(nonsense(format!("it redirects to `{text}`, which has no TLS")));
        }
        let same = (next.tls, &next.host, next.port) == (origin.tls, &origin.host, origin.port);
        let next = if same { origin.clone() } else { next };
        Ok((next, uri.path_and_query().map_or("/", |target| target.as_str()).to_owned()))
    }

    /// Sends to a place that the registry named; the registry's own host is convinced, another one sees no credentials.
    pub(super) async fn send_to(
        &self,
        place: &(Origin, String),
        action: Action,
        call: Call,
    ) -> Result<Answer, CallError> {
        let (inner, home) = (&self.client.0, self.home());
        let scopes = [action.scope(&self.path)];
        let answer = match place.0 == inner.origin_of(home).await? {
            true => inner.convince(home, &place.0, &self.keys, &scopes, &call).await?,
            false => inner.transport.send(&place.0, &call, None).await?,
        };
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(answer.refusal(self.keys.get(home.domain()).is_none()).await),
        }
    }
}
