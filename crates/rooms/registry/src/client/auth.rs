//! Convincing registries: basic, or a token from the service that the registry names.
//!
//! How a registry wants to be convinced is learnt from its first refusal and remembered. Tokens are kept until shortly
//! before they expire, by what they allow and whose they are; a secret itself is not kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::{Clock, Instant, SystemClock, percent};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Uri};
use oci::Digest;
use serde::Deserialize;

use super::answer::Answer;
use super::transport::{Call, Content, Origin};
use super::{CallError, Inner};
use crate::challenge::{self, Challenge};
use crate::endpoint::{Endpoint, is_loopback};
use crate::login::{Keyring, Login};

/// The longest answer of a service of tokens.
const TOKEN_BYTES: usize = 1 << 20;

/// Tokens and registries that are remembered.
const REMEMBERED: usize = 1024;

/// How long a token holds whose service does not say.
const HOLDS: u64 = 60;

/// A token is let go so long before it expires: the call that it is for takes time too.
const MARGIN: Duration = Duration::from_secs(10);

/// What is remembered.
#[derive(Default)]
pub(super) struct Auth {
    wishes: Mutex<HashMap<String, Wish>>,
    tokens: Mutex<HashMap<TokenKey, (HeaderValue, Instant)>>,
}

/// How a registry wants to be convinced.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    realm: String,
    service: Option<String>,
    scopes: Vec<String>,
    /// Whose it is: a digest of the login, or none.
    login: Option<Digest>,
}

/// What a service of tokens answers.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Inner {
    /// Asks an endpoint, convinces it if it wants that, and takes an answer that is a success.
    pub(super) async fn ask(
        &self,
        endpoint: &Endpoint,
        keys: &Keyring,
        scopes: &[String],
        call: Call,
    ) -> Result<Answer, CallError> {
        let origin = self.origin_of(endpoint).await?;
        let answer = self.convince(endpoint, &origin, keys, scopes, &call).await;
        let answer = answer.inspect_err(|error| {
            if matches!(
                error,
                CallError::Unreachable { .. } | CallError::Untrusted { .. } | CallError::Broken { .. }
            ) {
                self.transport.forget(endpoint);
            }
        })?;
        if answer.status.is_success() || answer.status.is_redirection() {
            return Ok(answer);
        }
        Err(answer.refusal(keys.get(endpoint.domain()).is_none()).await)
    }

    pub(super) async fn origin_of(&self, endpoint: &Endpoint) -> Result<Origin, CallError> {
        self.transport.origin(endpoint).await
    }

    /// Sends, and once more with what the registry wants if it refused. Answers whatever came at last.
    pub(super) async fn convince(
        &self,
        endpoint: &Endpoint,
        origin: &Origin,
        keys: &Keyring,
        scopes: &[String],
        call: &Call,
    ) -> Result<Answer, CallError> {
        let login = keys.get(endpoint.domain());
        let known = self.auth.wish(&origin.authority());
        let authorization = match &known {
            Some(wish) => self.authorization(endpoint, wish, login, scopes, false).await?,
            None => None,
        };
        let answer = self.transport.send(origin, call, authorization.as_ref()).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let wishes = answer.headers.get_all(WWW_AUTHENTICATE);
        let challenges: Vec<Challenge> =
            wishes.iter().filter_map(|value| value.to_str().ok()).flat_map(challenge::parse).collect();
        let Some((wish, wanted)) = chosen(&challenges) else { return Ok(answer) };
        self.auth.remember(origin.authority(), wish.clone());
        let scopes = merged(scopes.iter().map(String::as_str).chain(wanted.split_ascii_whitespace()));
        let Some(authorization) = self.authorization(endpoint, &wish, login, &scopes, true).await? else {
            return Ok(answer);
        };
        // A stream went with the first call. Whoever sends one has made a call without before.
        if !call.repeats() {
            return Ok(answer);
        }
        answer.done().await?;
        self.transport.send(origin, call, Some(&authorization)).await
    }

    async fn authorization(
        &self,
        endpoint: &Endpoint,
        wish: &Wish,
        login: Option<&Login>,
        scopes: &[String],
        anew: bool,
    ) -> Result<Option<HeaderValue>, CallError> {
        match (wish, login) {
            (_, Some(Login::Registry { token })) => Ok(secret(&format!("Bearer {token}"))),
            (Wish::Basic, Some(Login::Password { user, password })) => Ok(basic(user, password)),
            (Wish::Basic, Some(Login::Identity { .. }) | None) => Ok(None),
            (Wish::Bearer { realm, service }, login) => {
                let scopes = merged(scopes.iter().map(String::as_str));
                let (realm, service, login_digest) = (realm.clone(), service.clone(), login.map(digest));
                let key = TokenKey { realm, service, scopes, login: login_digest };
                if !anew && let Some(token) = self.auth.token(&key) {
                    return Ok(Some(token));
                }
                self.fetch_token(endpoint, key, login).await.map(Some)
            }
        }
    }

    async fn fetch_token(
        &self,
        endpoint: &Endpoint,
        key: TokenKey,
        login: Option<&Login>,
    ) -> Result<HeaderValue, CallError> {
        let nonsense = |why: String| CallError::Nonsense { registry: endpoint.to_string(), why };
        let uri: Uri =
            key.realm.parse().map_err(|_| nonsense(format!("its realm `{}` is no address", key.realm)))?;
        let origin = Origin::of_uri(&uri, &self.transport.settings.insecure)
            .ok_or_else(|| nonsense(format!("its realm `{}` is no address", key.realm)))?;
        // A registry with TLS must not make us give its secrets away without.
        if login.is_some() && !origin.tls && !endpoint.may_be_plain() && !is_loopback(&origin.host) {
            return Err(nonsense(format!("its realm `{}` would have the login sent without TLS", key.realm)));
        }
        let path = uri.path_and_query().map_or("/", |target| target.as_str());
        let service = key.service.as_deref();
        let (call, authorization) = match login {
            Some(Login::Identity { token, .. }) => (exchange(path, service, &key.scopes, token), None),
            Some(Login::Password { user, password }) => {
                (question(path, service, &key.scopes, Some(user)), basic(user, password))
            }
            Some(Login::Registry { .. }) | None => (question(path, service, &key.scopes, None), None),
        };
        let answer = self.transport.send(&origin, &call, authorization.as_ref()).await?;
        if !answer.status.is_success() {
            let refusal = answer.refusal(login.is_none()).await;
            // It is the registry that people sign in to, wherever its tokens come from.
            return Err(match refusal {
                CallError::Refused { anonymous, message, .. } => {
                    CallError::Refused { registry: endpoint.to_string(), anonymous, message }
                }
                other => other,
            });
        }
        let token: TokenAnswer = answer.json(TOKEN_BYTES, "the answer of its service of tokens").await?;
        let text = token.token.filter(|token| !token.is_empty()).or(token.access_token);
        let header = text.as_ref().and_then(|token| secret(&format!("Bearer {token}")));
        let header = header.ok_or_else(|| nonsense("its service of tokens gave none".into()))?;
        let holds = Duration::from_secs(token.expires_in.filter(|secs| *secs > 0).unwrap_or(HOLDS));
        self.auth.keep(key, header.clone(), SystemClock.now() + holds.saturating_sub(MARGIN.min(holds / 2)));
        Ok(header)
    }
}

impl Auth {
    fn wish(&self, authority: &str) -> Option<Wish> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).get(authority).cloned()
    }

    fn remember(&self, authority: String, wish: Wish) {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        if wishes.len() >= REMEMBERED {
            wishes.clear();
        }
        wishes.insert(authority, wish);
    }

    fn token(&self, key: &TokenKey) -> Option<HeaderValue> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, until) = tokens.get(key)?;
        (SystemClock.now() < *until).then(|| token.clone())
    }

    fn keep(&self, key: TokenKey, token: HeaderValue, until: Instant) {
        let now = SystemClock.now();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, until)| now < *until);
        if tokens.len() >= REMEMBERED {
            tokens.clear();
        }
        tokens.insert(key, (token, until));
    }
}

/// What we can do of what is wanted, a token first; and for which scope.
fn chosen(challenges: &[Challenge]) -> Option<(Wish, String)> {
    let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
    if let Some(bearer) = of("bearer")
        && let Some(realm) = bearer.get("realm")
    {
        let wish = Wish::Bearer { realm: realm.into(), service: bearer.get("service").map(str::to_owned) };
        return Some((wish, bearer.get("scope").unwrap_or_default().to_owned()));
    }
    of("basic").map(|_| (Wish::Basic, String::new()))
}

/// Scopes with one entry a thing, whose actions are joined; in order, so that equal wishes are equal.
pub(super) fn merged<'a>(scopes: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut by_thing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for scope in scopes {
        // The name may hold a colon of a port; the actions come last.
        if let Some((thing, actions)) = scope.rsplit_once(':') {
            by_thing.entry(thing).or_default().extend(actions.split(',').filter(|action| !action.is_empty()));
        }
    }
    let scope = |(thing, actions): (&str, BTreeSet<&str>)| {
        format!("{thing}:{}", actions.into_iter().collect::<Vec<_>>().join(","))
    };
    by_thing.into_iter().map(scope).collect()
}

fn question(path: &str, service: Option<&str>, scopes: &[String], account: Option<&str>) -> Call {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    pairs.extend(account.map(|account| ("account", account)));
    pairs.extend(service.map(|service| ("service", service)));
    pairs.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
    let query = form(&pairs);
    let joint = if path.contains('?') { "&" } else { "?" };
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}{joint}{query}") };
    Call::new(Method::GET, target).header(ACCEPT, "application/json")
}

/// A token for a token, as OAuth 2 has it.
fn exchange(path: &str, service: Option<&str>, scopes: &[String], token: &str) -> Call {
    let scopes = scopes.join(" ");
    let pairs = [
        ("grant_type", "refresh_token"),
        ("service", service.unwrap_or_default()),
        ("client_id", "sea"),
        ("scope", scopes.as_str()),
        ("refresh_token", token),
    ];
    Call::new(Method::POST, path)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Content::Bytes(form(&pairs).into()))
}

pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", escaped(name), escaped(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A text as a part of a query.
pub(super) fn escaped(text: &str) -> String {
    percent::encode_but(text, |byte| b":/,".contains(&byte))
}

pub(super) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// A header that no log shows.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn digest(login: &Login) -> Digest {
    let text = match login {
        Login::Password { user, password } => format!("p\0{user}\0{password}"),
        Login::Identity { user, token } => format!("i\0{user}\0{token}"),
        Login::Registry { token } => format!("r\0{token}"),
    };
    Digest::sha256(text.as_bytes())
}

/// What an endpoint that names this realm would be convinced with.
#[cfg(test)]
pub(super) async fn wish_of(
    client: &super::Client,
    endpoint: &Endpoint,
    realm: &str,
    login: Option<&Login>,
) -> Result<Option<HeaderValue>, CallError> {
    let wish = Wish::Bearer { realm: realm.into(), service: None };
    client.0.authorization(endpoint, &wish, login, &[], true).await
}

#[cfg(test)]
mod tests {
    //! Tests of scopes and forms.

    use super::*;

    #[test]
    fn scopes_of_one_thing_are_joined_in_order() {
        let scopes =
            ["repository:b:pull", "repository:a:push,pull", "repository:b:push", "registry:catalog:*"];
        assert_eq!(
            merged(scopes.into_iter()),
            ["registry:catalog:*", "repository:a:pull,push", "repository:b:pull,push"]
        );
    }

    #[test]
    fn a_form_is_escaped() {
        assert_eq!(
            form(&[("a b", "c&d=é"), ("scope", "repository:x/y:pull,push")]),
            "a%20b=c%26d%3D%C3%A9&scope=repository:x/y:pull,push"
        );
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let both =
            challenge::parse(r#"Basic realm="r", Bearer realm="https://t/",service="s",scope="a:b:c""#);
        let bearer = Wish::Bearer { realm: "https://t/".into(), service: Some("s".into()) };
        assert_eq!(chosen(&both), Some((bearer, "a:b:c".into())));
        assert_eq!(chosen(&challenge::parse("Basic")), Some((Wish::Basic, String::new())));
        assert_eq!(chosen(&challenge::parse("Digest realm=x")), None);
    }
}
