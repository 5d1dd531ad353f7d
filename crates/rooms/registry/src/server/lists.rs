//! Lists: repositories, tags, and what refers to a manifest, in pages.

use axum::http::StatusCode;
use axum::response::Response;
use base::percent;
use oci::{Descriptor, Digest, Index};
use serde_json::json;

use super::Registry;
use super::answer::{Answer, Refusal, with};
use super::route::parameter;
use crate::link;
use crate::words::{Code, MANIFEST_BYTES};

/// Names in a page where nobody says how many.
const PAGE: usize = 1_000;

/// A page of names after `last`, and the header that leads to the next one.
struct Page {
    names: Vec<String>,
    link: Option<String>,
}

/// `GET /v2/_catalog`.
pub(super) fn catalog(registry: &Registry, query: Option<&str>) -> Response {
    let page = Page::of(registry.repositories(), query, "/v2/_catalog");
    page.answer(json!({ "repositories": page.names }))
}

/// `GET /v2/<name>/tags/list`.
pub(super) async fn tags(registry: &Registry, name: &str, query: Option<&str>) -> Answer {
    let names: Option<Vec<String>> = {
        let state = registry.0.index.read();
        state.get(name).filter(|one| !one.manifests.is_empty()).map(|one| one.tags.keys().cloned().collect())
    };
    let names = match (names, &registry.0.options.mirror) {
        (_, Some(mirror)) => mirror.tags(name).await?,
        (Some(names), None) => names,
        (None, None) => {
            let text = format!("there is no repository `{name}`");
            return Err(Refusal::new(StatusCode::NOT_FOUND, Code::NameUnknown, text));
        }
    };
    let page = Page::of(names, query, &format!("/v2/{name}/tags/list"));
    Ok(page.answer(json!({ "name": name, "tags": page.names })))
}

/// `GET /v2/<name>/referrers/<digest>`: a list, which may be empty.
pub(super) fn referrers(registry: &Registry, name: &str, digest: &Digest, query: Option<&str>) -> Answer {
    let wanted = parameter(query, "artifactType").filter(|kind| !kind.is_empty());
    let mut entries: Vec<Descriptor> = Vec::new();
    {
        let state = registry.0.index.read();
        let manifests = state.get(name).map(|one| &one.manifests);
        for (own, row) in
            manifests.into_iter().flatten().filter(|(_, row)| row.subject.as_ref() == Some(digest))
        {
            if wanted.is_some() && row.artifact_type != wanted {
                continue;
            }
            let mut entry = Descriptor::new(row.media_type.clone(), own.clone(), row.size);
            entry.annotations = row.annotations.clone();
            entry
                .extra
                .extend(row.artifact_type.clone().map(|kind| ("artifactType".to_owned(), kind.into())));
            entries.push(entry);
        }
    }
    let last = parameter(query, "last");
    entries.retain(|entry| last.as_ref().is_none_or(|last| entry.digest.to_string() > *last));
    // A page is no longer than a manifest may be.
    let mut bytes = 0;
    let fitting = entries.iter().take_while(|entry| {
        bytes += serde_json::to_vec(entry).map_or(0, |text| text.len() + 1);
        bytes < MANIFEST_BYTES - 1024
    });
    let fitting = fitting.count().max(1).min(entries.len());
    let more = fitting < entries.len();
    entries.truncate(fitting);
    let next = entries.last().filter(|_| more).map(|last| {
        let kind = wanted
            .as_ref()
            .map(|kind| format!("artifactType={}&", percent::encode(kind)))
            .unwrap_or_default();
        link::to_next(&format!("/v2/{name}/referrers/{digest}?{kind}last={}", last.digest))
    });
    let body = serde_json::to_vec(&Index::new(entries)).unwrap_or_default();
    let mut headers = vec![("content-type", "application/vnd.oci.image.index.v1+json")];
    headers.extend(wanted.as_ref().map(|_| ("oci-filters-applied", "artifactType")));
    headers.extend(next.as_ref().map(|next| ("link", next.as_str())));
    Ok(with(StatusCode::OK, &headers, body.into()))
}

impl Page {
    fn of(names: Vec<String>, query: Option<&str>, target: &str) -> Self {
        let asked = parameter(query, "n").and_then(|n| n.parse::<usize>().ok());
        let most = asked.unwrap_or(PAGE).min(PAGE);
        let last = parameter(query, "last").filter(|last| !last.is_empty());
        let mut names = names;
        names.sort();
        let mut names: Vec<String> =
            names.into_iter().filter(|name| last.as_ref().is_none_or(|last| name > last)).collect();
        let more = names.len() > most;
        names.truncate(most);
        let link = names
            .last()
            .filter(|_| more)
            .map(|last| link::to_next(&format!("{target}?n={most}&last={}", percent::encode(last))));
        Self { names, link }
    }

    fn answer(&self, body: serde_json::Value) -> Response {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(self.link.as_ref().map(|link| ("link", link.as_str())));
        with(StatusCode::OK, &headers, body.to_string().into())
    }
}
