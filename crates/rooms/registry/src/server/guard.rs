//! Who may do what: passwords in a file of `htpasswd`, and tokens of our own that stand for them.
//!
//! Passwords are hashed with bcrypt, which takes long on purpose; one that was right is remembered by a keyed hash, so
//! that every request need not wait for it. A token is its claims and a keyed hash of them; the key lies in the
//! registry's folder.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base::{Clock, Kind, Problem};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::Registry;
use super::answer::Refusal;
use super::route::parameters;
use crate::words::Code;

/// How long a token holds.
const HOLDS: i64 = 300;

/// Passwords that are tried at once: each takes a processor for a while.
const TRIES: usize = 2;

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody may do everything: for a listener that only this machine reaches.
    #[default]
    Open,
    /// Those in a file of `htpasswd` may do everything.
    Users {
        /// The file; its passwords are hashed with bcrypt. It is read again when it changes.
        htpasswd: PathBuf,
        /// Everybody else may pull.
        anonymous_pull: bool,
        /// Clients get a token for their password first, instead of sending it with every request. Always so where
        /// everybody may pull: clients know only this way to be nobody.
        tokens: bool,
        /// How clients reach this registry, as in `https://registry.example`; by the request's host where none is said.
        address: Option<String>,
    },
}

/// Why the file of passwords cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// It is not there, or cannot be read.
    #[error("could not {doing} `{}`", path.display())]
    Disk {
        /// As in `read`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is none that we understand.
    #[error("line {line} of `{}` is not a name and a password hashed with bcrypt", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
}

impl Problem for GuardError {
    fn kind(&self) -> Kind {
        match self {
            Self::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Disk { .. } => Kind::Unavailable,
            Self::Line { .. } => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Disk { .. } => None,
            Self::Line { path, .. } => {
                Some(format!("make entries with `htpasswd -B {} NAME`", path.display()))
            }
        }
    }
}

/// What a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    /// To know whether it may do anything at all.
    Base,
    Catalog,
    Pull(String),
    Push(String),
    Delete(String),
}

impl Want {
    fn scope(&self) -> Option<Scope> {
        let of = |kind: &str, name: &str, actions: &[&str]| Scope {
            kind: kind.into(),
            name: name.into(),
            actions: actions.iter().map(|&action| action.to_owned()).collect(),
        };
        match self {
            Self::Base => None,
            Self::Catalog => Some(of("registry", "catalog", &["*"])),
            Self::Pull(name) => Some(of("repository", name, &["pull"])),
            Self::Push(name) => Some(of("repository", name, &["pull", "push"])),
            Self::Delete(name) => Some(of("repository", name, &["delete"])),
        }
    }

    fn is_pull(&self) -> bool {
        matches!(self, Self::Pull(_))
    }
}

/// What a token allows with one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Scope {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

impl Scope {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let actions = actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned).collect();
        Some(Self { kind: kind.into(), name: name.into(), actions })
    }

    fn covers(&self, wanted: &Self) -> bool {
        let has = |action: &String| self.actions.iter().any(|own| own == action || own == "*");
        (&self.kind, &self.name) == (&wanted.kind, &wanted.name) && wanted.actions.iter().all(has)
    }
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    user: Option<String>,
    until: i64,
    scopes: Vec<Scope>,
}

/// Lets requests through, or says how to be let through.
pub(super) struct Guard {
    users: Option<Users>,
    anonymous_pull: bool,
    tokens: bool,
    address: Option<String>,
    key: hmac::Key,
    clock: Arc<dyn Clock>,
    /// So many passwords are tried at once.
    turns: Semaphore,
}

struct Users {
    path: PathBuf,
    read: RwLock<Read>,
    /// Passwords that were right, by name: a keyed hash of the password and of the line that it was checked against.
    right: Mutex<HashMap<String, hmac::Tag>>,
    key: hmac::Key,
}

struct Read {
    changed: Option<SystemTime>,
    hashes: HashMap<String, String>,
}

/// Who asks.
enum Asker {
    Nobody,
    User(String),
    Token(Vec<Scope>),
}

impl Guard {
    pub(super) fn open(access: &Access, root: &Path, clock: Arc<dyn Clock>) -> Result<Self, GuardError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key(&root.join("token.key"))?);
        let open = Self {
            users: None,
            anonymous_pull: false,
            tokens: false,
            address: None,
            key,
            clock,
            turns: Semaphore::new(TRIES),
        };
        match access {
            Access::Open => Ok(open),
            Access::Users { htpasswd, anonymous_pull, tokens, address } => Ok(Self {
                users: Some(Users::open(htpasswd)?),
                anonymous_pull: *anonymous_pull,
                tokens: *tokens || *anonymous_pull,
                address: address.clone(),
                ..open
            }),
        }
    }

    /// Whether a request may do what it wants.
    pub(super) fn check(&self, headers: &HeaderMap, want: &Want) -> Result<(), Refusal> {
        if self.users.is_none() {
            return Ok(());
        }
        let asker = self
            .asker(headers)
            .map_err(|()| self.unauthorized(headers, want, "the credentials are wrong"))?;
        match asker {
            Asker::User(_) => Ok(()),
            Asker::Token(scopes) => match want.scope() {
                None => Ok(()),
                Some(wanted) if scopes.iter().any(|scope| scope.covers(&wanted)) => Ok(()),
                Some(_) => Err(self.unauthorized(headers, want, "the token does not allow this")),
            },
            Asker::Nobody if self.anonymous_pull && want.is_pull() => Ok(()),
            Asker::Nobody => Err(self.unauthorized(headers, want, "authentication is required")),
        }
    }

    /// Whether a check may have to try a password, which takes long.
    fn tries(&self, headers: &HeaderMap) -> bool {
        let basic = |value: &HeaderValue| {
            value.as_bytes().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"))
        };
        self.users.is_some() && headers.get(AUTHORIZATION).is_some_and(basic)
    }

    fn asker(&self, headers: &HeaderMap) -> Result<Asker, ()> {
        let Some(value) = headers.get(AUTHORIZATION) else { return Ok(Asker::Nobody) };
        let (scheme, rest) = value.to_str().map_err(drop)?.split_once(' ').ok_or(())?;
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => {
                let (user, password) = credentials(rest.trim()).ok_or(())?;
                let users = self.users.as_ref().ok_or(())?;
                if users.check(&user, &password) { Ok(Asker::User(user)) } else { Err(()) }
            }
            "bearer" => self.claims(rest.trim()).map(|claims| Asker::Token(claims.scopes)).ok_or(()),
            _ => Err(()),
        }
    }

    fn unauthorized(&self, headers: &HeaderMap, want: &Want, why: &str) -> Refusal {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let challenge = if self.tokens {
            let address = self.address.clone().unwrap_or_else(|| format!("http://{host}"));
            let address = address.trim_end_matches('/');
            let scope = want
                .scope()
                .map(|scope| format!(",scope=\"{}:{}:{}\"", scope.kind, scope.name, scope.actions.join(",")));
            format!("Bearer realm=\"{address}/token\",service=\"{host}\"{}", scope.unwrap_or_default())
        } else {
            "Basic realm=\"sea registry\"".to_owned()
        };
        Refusal::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, why).header(WWW_AUTHENTICATE, &challenge)
    }

    fn sign(&self, claims: &Claims) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).unwrap_or_default());
        let tag = hmac::sign(&self.key, body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    fn claims(&self, token: &str) -> Option<Claims> {
        let (body, tag) = token.split_once('.')?;
        hmac::verify(&self.key, body.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).ok()?).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        (self.clock.wall().secs() < claims.until).then_some(claims)
    }

    /// A token for what of the scopes may be allowed.
    fn issue(&self, user: Option<&str>, scopes: Vec<Scope>) -> Response {
        let allowed = |mut scope: Scope| {
            if user.is_none() {
                scope.actions.retain(|action| scope.kind == "repository" && action == "pull");
            }
            scope
        };
        let now = self.clock.wall();
        let claims = Claims {
            user: user.map(str::to_owned),
            until: now.secs() + HOLDS,
            scopes: scopes.into_iter().map(allowed).filter(|scope| !scope.actions.is_empty()).collect(),
        };
        let token = self.sign(&claims);
        let body = serde_json::json!({
            "token": token, "access_token": token, "expires_in": HOLDS, "issued_at": now.to_string(),
        });
        axum::Json(body).into_response()
    }
}

impl Registry {
    /// Whether a request may do what it wants. Passwords are tried on threads of their own, a few at once.
    pub(super) async fn let_through(&self, headers: &HeaderMap, want: Want) -> Result<(), Refusal> {
        let guard = &self.0.guard;
        if !guard.tries(headers) {
            return guard.check(headers, &want);
        }
        let headers = headers.clone();
        self.think(move |guard| guard.check(&headers, &want)).await.unwrap_or_else(|| Err(busy()))
    }

    async fn think<T: Send + 'static>(&self, work: impl FnOnce(&Guard) -> T + Send + 'static) -> Option<T> {
        let turn = self.0.guard.turns.acquire().await.ok()?;
        let registry = self.clone();
        let thought = tokio::task::spawn_blocking(move || work(&registry.0.guard)).await.ok();
        drop(turn);
        thought
    }
}

fn busy() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "the password could not be looked at")
}

/// `GET /token`: a token for a name and a password, or for nobody.
pub(super) async fn token(
    State(registry): State<Registry>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let scopes = parameters(query.as_deref()).into_iter().filter(|(name, _)| name == "scope");
    let scopes = scopes.flat_map(|(_, value)| scopes_of(&value)).collect();
    let worked = registry.think(move |guard| match guard.asker(&headers) {
        Ok(Asker::User(user)) => guard.issue(Some(&user), scopes),
        Ok(Asker::Nobody) if guard.anonymous_pull || guard.users.is_none() => guard.issue(None, scopes),
        Ok(Asker::Nobody | Asker::Token(_)) | Err(()) => wrong(),
    });
    worked.await.unwrap_or_else(|| busy().into_response())
}

/// `POST /token`: the same, as OAuth 2 has it.
pub(super) async fn token_by_form(State(registry): State<Registry>, body: Bytes) -> Response {
    let form = parameters(std::str::from_utf8(&body).ok());
    let get = |wanted: &str| form.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let scopes = scopes_of(&get("scope").unwrap_or_default());
    let (user, password) = (get("username").unwrap_or_default(), get("password").unwrap_or_default());
    if get("grant_type").as_deref() != Some("password") {
        let body = serde_json::json!({"error": "unsupported_grant_type"});
        return (StatusCode::BAD_REQUEST, axum::Json(body)).into_response();
    }
    let worked = registry.think(move |guard| {
        let known = guard.users.as_ref().is_some_and(|users| users.check(&user, &password));
        if known { guard.issue(Some(&user), scopes) } else { wrong() }
    });
    worked.await.unwrap_or_else(|| busy().into_response())
}

fn wrong() -> Response {
    Refusal::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, "the name or the password is wrong")
        .header(WWW_AUTHENTICATE, "Basic realm=\"sea registry\"")
        .into_response()
}

fn scopes_of(text: &str) -> Vec<Scope> {
    text.split_ascii_whitespace().filter_map(Scope::parse).collect()
}

fn credentials(text: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The key in a file, which is made if it is not there.
fn key(path: &Path) -> Result<[u8; 32], GuardError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |doing| move |source| GuardError::Disk { doing, path: path.into(), source };
    if let Ok(bytes) = fs::read(path)
        && let Ok(key) = <[u8; 32]>::try_from(bytes)
    {
        return Ok(key);
    }
    let key = base::kernel_bytes::<32>();
    let beside = path.with_extension("new");
    let file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside);
    file.and_then(|mut file| {
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })
    .map_err(failed("write"))?;
    Ok(key)
}

impl Users {
    fn open(path: &Path) -> Result<Self, GuardError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &base::kernel_bytes::<32>());
        let read = RwLock::new(Read::of(path)?);
        Ok(Self { path: path.into(), read, right: Mutex::default(), key })
    }

    fn check(&self, user: &str, password: &str) -> bool {
        self.refresh();
        let hash = self.read.read().unwrap_or_else(PoisonError::into_inner).hashes.get(user).cloned();
        // Whoever is not known takes as long as who is.
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let said = format!("{hash}\0{password}");
        let remembered = self.right.lock().unwrap_or_else(PoisonError::into_inner).get(user).copied();
        if remembered.is_some_and(|tag| hmac::verify(&self.key, said.as_bytes(), tag.as_ref()).is_ok()) {
            return known;
        }
        let right = bcrypt::verify(password, &hash).unwrap_or(false) && known;
        if right {
            let tag = hmac::sign(&self.key, said.as_bytes());
            self.right.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_owned(), tag);
        }
        right
    }

    /// Reads the file again if it changed. One that cannot be read now counts as it was.
    fn refresh(&self) {
        let changed = fs::metadata(&self.path).and_then(|about| about.modified()).ok();
        if changed.is_none() || changed == self.read.read().unwrap_or_else(PoisonError::into_inner).changed {
            return;
        }
        match Read::of(&self.path) {
            Ok(read) => {
                *self.read.write().unwrap_or_else(PoisonError::into_inner) = read;
                self.right.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            Err(error) => tracing::warn!("the passwords of before still count: {error}"),
        }
    }
}

/// A hash that no password is right for, as slow to try as others.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuJ9xw0WcVYbAlYvPpFLQZXCxKMkXcSfS";

impl Read {
    fn of(path: &Path) -> Result<Self, GuardError> {
        let failed = |source| GuardError::Disk { doing: "read", path: path.into(), source };
        let changed = fs::metadata(path).and_then(|about| about.modified()).map_err(failed)?;
        let text = fs::read_to_string(path).map_err(failed)?;
        let mut hashes = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || GuardError::Line { path: path.into(), line: number + 1 };
            let (user, hash) = line.split_once(':').ok_or_else(bad)?;
            let known = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|kind| hash.starts_with(kind));
            if user.is_empty() || !known {
                return Err(bad());
            }
            hashes.insert(user.to_owned(), hash.to_owned());
        }
        Ok(Self { changed: Some(changed), hashes })
    }
}
