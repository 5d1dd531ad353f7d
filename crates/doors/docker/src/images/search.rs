//! `GET /images/search`: what a registry finds, sifted by docker's filters.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use base::{Problem, Report};
use registry::{Found, Search, SearchError};
use serde_json::{Value, json};

use crate::Shared;
use crate::answer::{Answer, Refusal, line};
use crate::credentials;
use crate::params::{Filters, Params};
use crate::volumes::truth;

/// So many entries are asked for when nobody says.
const USUAL: i64 = 25;
/// More are not to be had.
const MOST: u8 = 100;

/// `GET /images/search`.
pub(super) async fn search(State(docker): Shared, headers: HeaderMap, params: Params) -> Answer<Vec<Value>> {
    let limit = params
        .number("limit")
        .map_err(|refusal| Refusal::invalid(format!("invalid limit specified: {}", refusal.message)))?;
    if limit.is_some_and(|limit| limit < 0) {
        return Err(Refusal::invalid("invalid limit specified"));
    }
    let sieve = Sieve::of(&params.filters()?)?;
    if sieve.automated {
        return Ok(Json(Vec::new()));
    }
    let (registry, term) = place(params.get("term").unwrap_or_default())?;
    let limit = limit.filter(|limit| *limit != 0).unwrap_or(USUAL);
    let out_of_range = || Refusal::invalid(format!("limit {limit} is outside the range of [1, {MOST}]"));
    let limit = u8::try_from(limit).ok().filter(|limit| *limit <= MOST).ok_or_else(out_of_range)?;
    let keys = credentials::keys(&headers, registry.as_deref().unwrap_or("docker.io"));
    let meta = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-meta-"));
    let headers =
        meta.filter_map(|(name, value)| Some((name.clone(), value.to_str().ok()?.to_owned()))).collect();
    let found = docker.registries.search(&Search { registry, term, limit, keys, headers }).await;
    let found = found.map_err(|problem| refusal(&problem))?;
    Ok(Json(found.iter().filter(|one| sieve.lets(one)).map(view).collect()))
}

/// The registry that a term names, none for docker's own; and what is searched for there.
fn place(term: &str) -> Result<(Option<String>, String), Refusal> {
    if term.contains("://") {
        return Err(Refusal::invalid(format!(
            "invalid repository name: repository name ({term}) should not have a scheme"
        )));
    }
    let named = term.split_once('/').filter(|(first, _)| first.contains(['.', ':']) || *first == "localhost");
    Ok(match named {
        Some(("docker.io" | "index.docker.io", rest)) => (None, official(rest)),
        Some((registry, rest)) => (Some(registry.to_owned()), rest.to_owned()),
        None => (None, official(term)),
    })
}

/// Docker's own images are found without the word before them.
fn official(term: &str) -> String {
    term.strip_prefix("library/").unwrap_or(term).to_owned()
}

/// Which of the findings are wanted.
struct Sieve {
    official: Option<bool>,
    automated: bool,
    stars: i64,
}

impl Sieve {
    fn of(filters: &Filters) -> Result<Self, Refusal> {
        filters.only(&["is-automated", "is-official", "stars"])?;
        let automated = truth(filters, "is-automated")? == Some(true);
        let official = truth(filters, "is-official")?;
        let mut stars = 0;
        for text in filters.values("stars") {
            let number: i64 = text.parse().map_err(|_| {
                Refusal::invalid(format!(
                    "invalid filter 'stars={text}': strconv.Atoi: parsing \"{text}\": invalid syntax"
                ))
            })?;
            stars = number.max(stars);
        }
        Ok(Self { official, automated, stars })
    }

    fn lets(&self, found: &Found) -> bool {
        self.official.is_none_or(|official| official == found.is_official) && found.star_count >= self.stars
    }
}

/// A registry that was named and is none is the client's mistake, as docker sees it; all else is a failure.
fn refusal(problem: &SearchError) -> Refusal {
    let text = line(&Report::of(problem as &dyn Problem));
    match problem {
        SearchError::Endpoint { .. } => Refusal::invalid(text),
        SearchError::Call { .. } | SearchError::Status { .. } | SearchError::Unreadable { .. } => {
            Refusal::failed(text)
        }
    }
}

fn view(found: &Found) -> Value {
    json!({
        "star_count": found.star_count,
        "is_official": found.is_official,
        "name": found.name,
        // Out of use: always false, as docker says it.
        "is_automated": false,
        "description": found.description,
    })
}

#[cfg(test)]
mod tests;
