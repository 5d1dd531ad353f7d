//! Lists: tags, repositories, and what refers to a manifest.

use hyper::Method;
use hyper::header::LINK;
use oci::{Descriptor, Digest, Index};
use serde::Deserialize;

use super::CallError;
use super::auth::escaped;
use super::repository::{Action, Repository};
use super::transport::Call;
use crate::link;
use crate::words::MANIFEST_BYTES;

/// Pages of a list that are asked for: a list without an end ends here.
const PAGES: usize = 10_000;

/// Entries of a list that are taken.
const ENTRIES: usize = 1_000_000;

/// A list, and whether the registry had more than we take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// In the registry's order.
    pub names: Vec<String>,
    /// It ends before its end.
    pub cut: bool,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default, alias = "repositories")]
    tags: Option<Vec<String>>,
}

impl Repository {
    /// All tags of this repository.
    pub async fn tags(&self) -> Result<Listing, CallError> {
        self.list(format!("/v2/{}/tags/list", self.path), Action::Pull.scope(&self.path)).await
    }

    /// All repositories of its registry, where the registry tells.
    pub async fn catalog(&self) -> Result<Listing, CallError> {
        self.list("/v2/_catalog".into(), "registry:catalog:*".into()).await
    }

    async fn list(&self, first: String, scope: String) -> Result<Listing, CallError> {
        let mut listing = Listing::default();
        let mut target = first;
        for _ in 0..PAGES {
            let scopes = [scope.clone()];
            let answer = self.ask_again(self.home(), &scopes, &|| Call::new(Method::GET, &target)).await?;
            let next = match answer.header(&LINK).and_then(link::next) {
                None => None,
                Some(text) => {
                    let origin = self.client.0.origin_of(self.home()).await?;
                    let (next, path) = self.resolve(self.home(), &origin, &target, &text)?;
                    // A list goes on at the same registry: another one has not what we are let see.
                    (next == origin).then_some(path)
                }
            };
            let page: Page = answer.json(MANIFEST_BYTES, "a list").await?;
            listing.names.extend(page.tags.unwrap_or_default());
            match next {
                Some(_) if listing.names.len() > ENTRIES => break,
                Some(next) if next != target => target = next,
                Some(_) | None => return Ok(listing),
            }
        }
        listing.cut = true;
        Ok(listing)
    }

    /// What refers to a manifest: signatures, lists of contents, and the like.
    pub async fn referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, CallError> {
        let query = artifact_type.map(|kind| format!("?artifactType={}", escaped(kind))).unwrap_or_default();
        let target = format!("/v2/{}/referrers/{digest}{query}", self.path);
        let answer = match self.read(|| Call::new(Method::GET, &target)).await {
            // A registry from before this call keeps the list under a tag made from the digest.
            Err(error) if error.is_missing() => {
                let tag = format!("{}-{}", digest.algorithm().as_str(), digest.hex());
                let target = format!("/v2/{}/manifests/{}", self.path, &tag[..tag.len().min(128)]);
                match self.read(|| Call::new(Method::GET, &target)).await {
                    Err(error) if error.is_missing() => return Ok(Vec::new()),
                    answer => answer?,
                }
            }
            answer => answer?,
        };
        let index: Index = answer.json(MANIFEST_BYTES, "a list of referrers").await?;
        let of_kind = |entry: &Descriptor| {
            let own = entry.extra.get("artifactType").and_then(|kind| kind.as_str());
            artifact_type.is_none_or(|wanted| own == Some(wanted))
        };
        Ok(index.manifests.into_iter().filter(of_kind).collect())
    }
}
