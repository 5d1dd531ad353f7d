//! What a request says: its query as docker reads it, its filters, and its document.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use base::{Timestamp, percent::decode_query};
use serde::de::DeserializeOwned;

use crate::DOCUMENT_BYTES;
use crate::answer::Refusal;
use crate::loose;
use crate::version::{ApiVersion, NEWEST};

/// A query, in order; names may come more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl<S: Sync> FromRequestParts<S> for ApiVersion {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(parts.extensions.get().copied().unwrap_or(NEWEST))
    }
}

impl Params {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decode_query(k), decode_query(v)))
                .collect(),
        )
    }

    /// The first value of this name; an empty one counts.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value that says something.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Every value of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Docker's truth: whatever is not empty, `0`, `no`, `false` or `none`.
    pub(crate) fn truth(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_true)
    }

    /// The same where silence means something else than no.
    pub(crate) fn truth_or(&self, name: &str, otherwise: bool) -> bool {
        self.text(name).map_or(otherwise, is_true)
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let wrong =
            |text: &str| Refusal::invalid(format!("strconv.Atoi: parsing \"{text}\": invalid syntax"));
        self.text(name).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    /// A moment: seconds since 1970 with up to nine decimals, RFC 3339, or a time before `now` such as `10m`.
    pub(crate) fn moment(&self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        moment(text, now).map(Some).ok_or_else(|| {
            Refusal::invalid(format!("invalid value for \"{name}\": failed to parse \"{text}\" as a moment"))
        })
    }

    /// The `filters`, a document within the query.
    pub(crate) fn filters(&self) -> Result<Filters, Refusal> {
        Filters::parse(self.get("filters").unwrap_or_default())
    }
}

fn is_true(value: &str) -> bool {
    !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
}

fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(moment) = Timestamp::from_rfc3339(text) {
        return Some(moment);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if let Ok(secs) = whole.parse::<i64>() {
        if decimals.len() > 9 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let nanos: i64 = format!("{decimals:0<9}").parse().ok()?;
        return Some(Timestamp(secs.checked_mul(1_000_000_000)?.checked_add(nanos)?));
    }
    let ago = i64::try_from(go_duration(text)?.as_nanos()).ok()?;
    Some(Timestamp(now.0.checked_sub(ago)?))
}

/// A length of time as Go writes it: `1h30m`, `1.5s`, `300ms`.
pub(crate) fn go_duration(text: &str) -> Option<std::time::Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (!text.is_empty()).then(|| std::time::Duration::try_from_secs_f64(seconds).ok()).flatten()
}

/// Docker's filters: names, each with values of which one must fit. The values of `label` must all fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads both forms: lists of values, and the older mapping from values to truths.
    fn parse(text: &str) -> Result<Self, Refusal> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Values {
            List(Vec<String>),
            Map(BTreeMap<String, bool>),
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let read: Option<BTreeMap<String, Option<Values>>> =
            serde_json::from_str(text).map_err(|_| Refusal::invalid("invalid filter"))?;
        let values = |values| match values {
            None => Vec::new(),
            Some(Values::List(list)) => list,
            Some(Values::Map(map)) => {
                map.into_iter().filter(|(_, truth)| *truth).map(|(value, _)| value).collect()
            }
        };
        Ok(Self(read.unwrap_or_default().into_iter().map(|(name, all)| (name, values(all))).collect()))
    }

    /// Refuses names that this endpoint does not know.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Refusal::invalid(format!("invalid filter '{name}'"))),
            None => Ok(()),
        }
    }

    /// The values of a name; none when it is not there.
    pub(crate) fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a name is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// Whether any value of the name fits, or nobody asks.
    pub(crate) fn any(&self, name: &str, fits: impl FnMut(&str) -> bool) -> bool {
        let values = self.values(name);
        values.is_empty() || values.iter().map(String::as_str).any(fits)
    }

    /// Whether labels fit: every `label` must, as a name or `name=value`, and no `label!` may.
    pub(crate) fn labels<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        let fits = |wanted: &String| match wanted.split_once('=') {
            Some((name, value)) => get(name) == Some(value),
            None => get(wanted).is_some(),
        };
        self.values("label").iter().all(fits) && !self.values("label!").iter().any(fits)
    }
}

/// A document in the body of a request, which must be there.
pub(crate) struct Document<T>(pub(crate) T);

/// A document that may be left out.
pub(crate) struct MaybeDocument<T>(pub(crate) Option<T>);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Document<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        match document(request).await? {
            Some(document) => Ok(Self(document)),
            None => Err(Refusal::invalid("invalid JSON: got EOF while reading request body")),
        }
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for MaybeDocument<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        document(request).await.map(Self)
    }
}

async fn document<T: DeserializeOwned>(request: Request) -> Result<Option<T>, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let body = read(request.into_body()).await?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let kind = kind.as_ref().and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let bare = kind.split(';').next().unwrap_or_default().trim();
    if !bare.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::invalid(format!(
            "unsupported Content-Type header ({kind}): must be 'application/json'"
        )));
    }
    let wrong = |error| Refusal::invalid(loose::told(&error, &body));
    let document: Option<serde_json::Value> = serde_json::from_slice(&body).map_err(wrong)?;
    document.map(loose::read).transpose().map_err(wrong)
}

async fn read(body: Body) -> Result<bytes::Bytes, Refusal> {
    axum::body::to_bytes(body, DOCUMENT_BYTES)
        .await
        .map_err(|error| Refusal::invalid(format!("the request's document cannot be read: {error}")))
}

#[cfg(test)]
mod tests;
