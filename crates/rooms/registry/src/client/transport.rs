//! One call to one host: connect, speak TLS or not, send, and take the beginning of the answer.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer::Answer;
use super::pool::Pool;
use super::tls::Configurations;
use super::{CallError, Settings};
use crate::endpoint::{Endpoint, Speech};

/// What a request carries.
pub(super) type Payload = UnsyncBoxBody<Bytes, io::Error>;

/// The most that is read from a connection before somebody takes it.
const BUFFER: usize = 256 << 10;

/// Who is spoken to: a host that is sent credentials is sent them because it is this one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// Its certificate is not looked at.
    anyone: bool,
}

impl Origin {
    /// Host and port, as in `r.example:5000`; the usual port is left out.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// A stranger, who must show who it is.
    #[cfg(test)]
    pub(super) fn verified(host: &str, port: u16) -> Self {
        Self { tls: true, host: host.into(), port, anyone: false }
    }

    /// Where an address leads, and what is asked for there.
    pub(super) fn of_uri(uri: &Uri, insecure: &[String]) -> Option<Self> {
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let endpoint = Endpoint::named(authority.as_str().rsplit('@').next()?, insecure);
        let anyone = matches!(endpoint.speech(), Speech::Insecure | Speech::Loopback);
        Some(Self { tls, host: endpoint.host().to_owned(), port: endpoint.port(tls), anyone })
    }
}

/// A call as it is made, and made again.
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Content,
    /// How long the answer may take to begin.
    pub(super) patience: Option<Duration>,
}

/// What a call carries.
pub(super) enum Content {
    Nothing,
    Bytes(Bytes),
    /// It can be sent once.
    Stream(Mutex<Option<Payload>>),
}

impl Call {
    pub(super) fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: HeaderMap::new(),
            body: Content::Nothing,
            patience: None,
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    pub(super) fn body(mut self, body: Content) -> Self {
        self.body = body;
        self
    }

    pub(super) fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Whether it can be made again.
    pub(super) fn repeats(&self) -> bool {
        match &self.body {
            Content::Nothing | Content::Bytes(_) => true,
            Content::Stream(_) => false,
        }
    }

    fn payload(&self) -> Payload {
        let nothing = || Empty::new().map_err(|never| match never {}).boxed_unsync();
        match &self.body {
            Content::Nothing => nothing(),
            Content::Bytes(bytes) => Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync(),
            Content::Stream(stream) => {
                stream.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(nothing)
            }
        }
    }
}

/// Makes calls.
pub(super) struct Transport {
    pub(super) settings: Settings,
    pool: Arc<Pool>,
    tls: Configurations,
    /// Whether those that may lack TLS have it, as found.
    found: Mutex<HashMap<Endpoint, bool>>,
}

impl Transport {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, pool: Arc::default(), tls: Configurations::default(), found: Mutex::default() }
    }

    /// Who an endpoint is: for most by its name alone, for some by trying.
    pub(super) async fn origin(&self, endpoint: &Endpoint) -> Result<Origin, CallError> {
        let origin = |tls: bool, anyone: bool| Origin {
            tls,
            host: endpoint.host().to_owned(),
            port: endpoint.port(tls),
            anyone,
        };
        let order = match endpoint.speech() {
            Speech::Secure => return Ok(origin(true, false)),
            Speech::Plain => return Ok(origin(false, false)),
            Speech::Insecure => [origin(true, true), origin(false, true)],
            Speech::Loopback => [origin(false, true), origin(true, true)],
        };
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(endpoint).copied();
        if let Some(tls) = known {
            return Ok(origin(tls, true));
        }
        let [first, second] = order;
        let chosen = match self.speaks(&first).await {
            Ok(true) => first,
            Ok(false) => second,
            // Where nobody answers at all the second address may be another port.
            Err(error) if first.port == second.port => return Err(error),
            Err(error) => match self.speaks(&second).await {
                Ok(true) => second,
                Ok(false) | Err(_) => return Err(error),
            },
        };
        let mut known = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= 256 {
            known.clear();
        }
        known.insert(endpoint.clone(), chosen.tls);
        Ok(chosen)
    }

    /// Whether this is spoken there; the question carries no credentials.
    async fn speaks(&self, origin: &Origin) -> Result<bool, CallError> {
        match self.send(origin, &Call::new(Method::GET, "/v2/"), None).await {
            // What servers with TLS say to those who come without.
            Ok(answer) => Ok(origin.tls || answer.status != 400),
            Err(CallError::Untrusted { .. } | CallError::Broken { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What was found out about an endpoint that may lack TLS is found out anew.
    pub(super) fn forget(&self, endpoint: &Endpoint) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(endpoint);
    }

    /// Makes a call and takes the beginning of its answer, whatever it says.
    pub(super) async fn send(
        &self,
        origin: &Origin,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, CallError> {
        // One that waited may have been closed by now; what can be sent only once does not go into it.
        if let Some(sender) = self.pool.take(origin).filter(|_| call.repeats()) {
            match self.exchange(origin, sender, call, authorization).await {
                Err(CallError::Broken { .. }) => {}
                answer => return answer,
            }
        }
        let sender = self.connect(origin).await?;
        self.exchange(origin, sender, call, authorization).await
    }

    async fn exchange(
        &self,
        origin: &Origin,
        mut sender: SendRequest<Payload>,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, CallError> {
        let registry = origin.authority();
        let nonsense = |why: String| CallError::Nonsense { registry: registry.clone(), why };
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.target)
            .body(call.payload())
            .map_err(|error| nonsense(format!("`{}` is no target of a request: {error}", call.target)))?;
        let headers = request.headers_mut();
        headers.extend(call.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let text = |text: &str| HeaderValue::from_str(text).map_err(|error| nonsense(error.to_string()));
        headers.insert(HOST, text(&registry)?);
        headers.insert(USER_AGENT, text(&self.settings.agent)?);
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let patience = call.patience.unwrap_or(self.settings.timeouts.answer);
        let broken = |source| CallError::Broken { registry: registry.clone(), source };
        let sent = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let response = tokio::time::timeout(patience, sent)
            .await
            .map_err(|_| CallError::TimedOut {
                registry: registry.clone(),
                doing: "answer",
                after: patience,
            })?
            .map_err(broken)?;
        let keep = Some((self.pool.clone(), origin.clone(), sender));
        Ok(Answer::new(response, registry, self.settings.timeouts.stall, keep))
    }

    async fn connect(&self, origin: &Origin) -> Result<SendRequest<Payload>, CallError> {
        let registry = origin.authority();
        let after = self.settings.timeouts.connect;
        tokio::time::timeout(after, self.connect_at_leisure(origin))
            .await
            .map_err(|_| CallError::TimedOut { registry, doing: "let us connect", after })?
    }

    async fn connect_at_leisure(&self, origin: &Origin) -> Result<SendRequest<Payload>, CallError> {
        let registry = origin.authority();
        let stream = TcpStream::connect((origin.host.as_str(), origin.port))
            .await
            .map_err(|source| CallError::Unreachable { registry: registry.clone(), source })?;
        // A request is written at once; waiting for more of it only takes time.
        let _ = stream.set_nodelay(true);
        if !origin.tls {
            return handshake(registry, stream).await;
        }
        let config = self.tls.of(&registry, &self.settings.certificates, origin.anyone)?;
        let untrusted = |source| CallError::Untrusted { registry: registry.clone(), source };
        let stream = trust::connect(config, &origin.host, stream).await.map_err(untrusted)?;
        handshake(registry, stream).await
    }
}

async fn handshake<S>(registry: String, stream: S) -> Result<SendRequest<Payload>, CallError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| CallError::Broken { registry, source })?;
    // Ends by itself when nobody holds the sender any more.
    tokio::spawn(connection);
    Ok(sender)
}
