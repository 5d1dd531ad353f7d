//! Sessions: connections that clients opened so that the builder may call them.
//!
//! A client that builds offers services on its session: its files, secrets, agents and credentials. A build names the
//! session by its id, often before the session is there. A session ends with its connection, or when it does not
//! answer for its health any more.

mod files;
mod keeper;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::grpc::{Channel, Code, Status};
use crate::proto::Empty;
use crate::proto::sessions::HealthResponse;

pub(crate) use files::{Sending, Wanted};
pub(crate) use secrets::SessionSecrets;

/// So many sessions at once.
const SESSIONS: usize = 1024;
/// A build waits so long for its session.
const PATIENCE: Duration = Duration::from_secs(5);
/// A session is asked for its health this often.
const HEALTH_EVERY: Duration = Duration::from_secs(5);
/// It may take so long to answer; it is busy sending files, perhaps over a slow line.
const HEALTH_WITHIN: Duration = Duration::from_secs(15);
/// The headers, or the metadata, with which a session introduces itself.
const ID: &str = "x-docker-expose-session-uuid";
const SHARED_KEY: &str = "x-docker-expose-session-sharedkey";
const METHOD: &str = "x-docker-expose-session-grpc-method";

/// The sessions that are open; clones share them.
#[derive(Clone)]
pub(crate) struct Sessions {
    open: Arc<Mutex<BTreeMap<String, Session>>>,
    changed: watch::Sender<()>,
}

/// A client that can be called.
#[derive(Clone)]
pub(crate) struct Session {
    id: String,
    /// Clients that build the same folder again say the same key again.
    shared_key: String,
    methods: Arc<BTreeSet<String>>,
    channel: Channel,
}

/// Why a session was not opened.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It has no name.
    #[error("the session has no id; the header `X-Docker-Expose-Session-Uuid` names it")]
    NoId,
    /// Its name is taken.
    #[error("session {0} already exists")]
    Taken(String),
    /// Too many.
    #[error("there are {SESSIONS} sessions, which is the most at once")]
    TooMany,
    /// The other end speaks no HTTP/2.
    #[error("the session cannot be opened")]
    Handshake(#[from] hyper::Error),
}

/// Takes a session out of the table when it ends, however it ends.
struct Seat<'a> {
    sessions: &'a Sessions,
    id: String,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
        self.sessions.changed.send_replace(());
    }
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { open: Arc::default(), changed: watch::Sender::new(()) }
    }

    /// Says whether these headers introduce a session that may be opened now.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> Result<(), SessionError> {
        let id = text(headers, ID).filter(|id| !id.is_empty()).ok_or(SessionError::NoId)?;
        let open = self.lock();
        if open.contains_key(id) {
            return Err(SessionError::Taken(id.to_owned()));
        }
        if open.len() >= SESSIONS { Err(SessionError::TooMany) } else { Ok(()) }
    }

    /// Keeps the session until it ends.
    pub(crate) async fn run(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        headers: &HeaderMap,
    ) -> Result<(), SessionError> {
        self.admits(headers)?;
        let (channel, connection) = Channel::open(io).await?;
        let session = Session {
            id: text(headers, ID).unwrap_or_default().to_owned(),
            shared_key: text(headers, SHARED_KEY).unwrap_or_default().to_owned(),
            methods: Arc::new(methods(headers)),
            channel,
        };
        let seat = self.seat(session.clone())?;
        tracing::debug!(session.id = %session.id, "session `{}` opened", session.id);
        tokio::select! {
            _ = connection => {}
            () = session.fail() => {
                tracing::warn!(session.id = %session.id, "session `{}` does not answer any more", session.id);
            }
        }
        drop(seat);
        Ok(())
    }

    /// The session, as soon as it is there.
    pub(crate) async fn get(&self, id: &str) -> Result<Session, Status> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                changed.mark_unchanged();
                if let Some(session) = self.lock().get(id) {
                    return Some(session.clone());
                }
                changed.changed().await.ok()?;
            }
        };
        let none = || Status::failed(format!("no active session for {id}: context deadline exceeded"));
        tokio::time::timeout(PATIENCE, wait).await.ok().flatten().ok_or_else(none)
    }

    /// Done when the session, which is open now, is not any more.
    pub(crate) async fn ended(&self, id: &str) {
        let mut changed = self.changed.subscribe();
        while self.lock().contains_key(id) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn seat(&self, session: Session) -> Result<Seat<'_>, SessionError> {
        let id = session.id.clone();
        let mut open = self.lock();
        if open.contains_key(&id) {
            return Err(SessionError::Taken(id));
        }
        open.insert(id.clone(), session);
        drop(open);
        self.changed.send_replace(());
        Ok(Seat { sessions: self, id })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Its client offers this.
    pub(crate) fn offers(&self, method: &str) -> bool {
        self.methods.contains(&method.to_ascii_lowercase())
    }

    /// What clients that build the same folder again have in common.
    pub(crate) fn shared_key(&self) -> &str {
        &self.shared_key
    }

    /// Done when it does not answer for its health any more.
    async fn fail(&self) {
        let mut misses = 0;
        while misses < 2 {
            tokio::time::sleep(HEALTH_EVERY).await;
            let asked = self.channel.call::<HealthResponse>("/grpc.health.v1.Health/Check", &Empty {});
            misses = match tokio::time::timeout(HEALTH_WITHIN, asked).await {
                // A client without that service answers too.
                Ok(Ok(_) | Err(Status { code: Code::Unimplemented, .. })) => 0,
                Ok(Err(_)) | Err(_) => misses + 1,
            };
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn methods(headers: &HeaderMap) -> BTreeSet<String> {
    let values = headers.get_all(METHOD).iter().filter_map(|value| value.to_str().ok());
    values.map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests;
