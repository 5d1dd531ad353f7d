//! `DELETE /images/{name}` and `POST /images/prune`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use containers::Filter;
use images::{Image, ImageId, RemoveError, Removed};
use oci::{Digest, Reference};
use serde_json::{Value, json};

use super::names::{find, is_id};
use super::select::moment;
use crate::answer::{Answer, Refusal, blocking};
use crate::params::Params;
use crate::volumes::truth;
use crate::{Docker, Shared};

/// What stands in the way of a removal.
#[derive(Debug, Default)]
struct Around {
    /// The short id of a container of it that runs.
    running: Option<String>,
    /// The short id of one that does not.
    stopped: Option<String>,
    /// An image was made of it here.
    children: bool,
    /// A release that is kept needs it.
    kept: bool,
}

/// What a removal takes.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// These names go.
    names: Vec<Reference>,
    /// And then the image.
    image: bool,
}

/// Decides what goes, or says in docker's words why nothing does. Pure.
///
/// A name goes whenever the image has others. The last name takes the image along, unless a container has it (which
/// must be forced, and then only the name goes), another image was made of it, or a release needs it. By id, all names
/// go if they are of one repository or it is forced.
fn plan(image: &Image, text: &str, around: &Around, force: bool) -> Result<Plan, Refusal> {
    let short = image.id.short();
    let single = is_single(&image.names);
    let user = around.running.as_ref().or(around.stopped.as_ref());
    if !is_id(image, text)
        && let Ok(name) = text.parse::<Reference>()
    {
        if let (Some(container), true, false) = (user, single, force) {
            return Err(Refusal::conflict(format!(
                "conflict: unable to remove repository reference \"{text}\" (must force) - container {container} is using its referenced image {short}"
            )));
        }
        if single && around.kept && !force {
            return Err(Refusal::conflict(format!(
                "conflict: unable to remove repository reference \"{text}\" (must force) - a release that is kept needs its image {short}"
            )));
        }
        let names = with_digests(&image.names, &name);
        let last = names.len() == image.names.len();
        let held = user.is_some() || around.children || around.kept;
        return Ok(Plan { names, image: last && !held });
    }
    let conflict = |how: &str, why: String| {
        Err(Refusal::conflict(format!("conflict: unable to delete {short} ({how}) - {why}")))
    };
    if around.children {
        return conflict("cannot be forced", "image has dependent child images".into());
    }
    if let Some(container) = &around.running {
        return conflict("cannot be forced", format!("image is being used by running container {container}"));
    }
    if !image.names.is_empty() && !single && !force {
        return conflict("must be forced", "image is referenced in multiple repositories".into());
    }
    if let (Some(container), false) = (&around.stopped, force) {
        return conflict("must be forced", format!("image is being used by stopped container {container}"));
    }
    if around.kept && !force {
        return conflict("must be forced", "a release that is kept needs it".into());
    }
    // Its files stay while a container has them.
    Ok(Plan { names: image.names.clone(), image: around.stopped.is_none() && !around.kept })
}

/// Whether there is one tag, and digests of the same repository at most.
fn is_single(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.digest().is_none()).count();
    let repositories: BTreeSet<String> = names.iter().map(Reference::repository).collect();
    tags <= 1 && repositories.len() == 1
}

/// A name, and with the last tag of a repository its digests.
fn with_digests(names: &[Reference], name: &Reference) -> Vec<Reference> {
    let same = |other: &&Reference| other.repository() == name.repository();
    let other_tags = names.iter().filter(same).any(|other| other.digest().is_none() && other != name);
    let mut going: Vec<Reference> = names.iter().filter(|other| *other == name).cloned().collect();
    if !other_tags && name.digest().is_none() {
        going.extend(names.iter().filter(same).filter(|other| other.digest().is_some()).cloned());
    }
    going
}

impl Docker {
    fn around(&self, image: &Image, all: &[Image]) -> Around {
        let mut around = Around {
            children: all.iter().any(|one| !one.intermediate && one.parent.as_ref() == Some(&image.id)),
            kept: self.apps.kept_images().contains(&image.id.to_string()),
            ..Around::default()
        };
        for view in self.containers.list(&Filter { all: true, ..Filter::default() }) {
            let record = view.record;
            if !record.images().contains(&image.id.to_string()) {
                continue;
            }
            let slot = if record.state.runs() { &mut around.running } else { &mut around.stopped };
            *slot = Some(record.short_id().to_owned());
        }
        around
    }

    /// Removes an image, or names of it; answers with what docker tells of it.
    fn take_away(&self, text: &str, force: bool, parents: bool) -> Result<Vec<Gone>, Refusal> {
        let image = find(self, text)?;
        let all = self.images.list();
        let plan = plan(&image, text, &self.around(&image, &all), force)?;
        let mut gone = Vec::new();
        for name in &plan.names {
            if self.images.untag(name).map_err(|problem| Refusal::of(&problem))? {
                gone.push(Gone::Untagged(name.familiar()));
            }
        }
        if plan.image {
            self.delete(&image, &all, &mut gone)?;
            if parents {
                self.delete_parents(image.parent.as_ref(), &mut gone)?;
            }
        }
        Ok(gone)
    }

    fn delete(&self, image: &Image, all: &[Image], gone: &mut Vec<Gone>) -> Result<(), Refusal> {
        match self.images.remove(&image.id.to_string(), false) {
            Ok(removed) => {
                let deleted = removed.iter().any(|one| matches!(one, Removed::Deleted(_)));
                if deleted {
                    // What it was called at registries goes with it.
                    let lost = image.digests.iter().filter(|name| !image.names.contains(name));
                    gone.extend(lost.map(|name| Gone::Untagged(name.familiar())));
                    gone.push(Gone::Image(image.id.clone()));
                    gone.extend(
                        own_layers(image, all).into_iter().map(|(layer, size)| Gone::Layer(layer, size)),
                    );
                }
                Ok(())
            }
            // A container was made of it, or it got a name, at this very moment: it stays without the names it had.
            Err(RemoveError::InUse { .. } | RemoveError::ManyNames { .. } | RemoveError::Find(_)) => Ok(()),
            Err(problem @ RemoveError::Disk(_)) => Err(Refusal::of(&problem)),
        }
    }

    /// Images that nobody can name and that it alone was made of.
    fn delete_parents(&self, parent: Option<&ImageId>, gone: &mut Vec<Gone>) -> Result<(), Refusal> {
        let mut next = parent.cloned();
        while let Some(id) = next {
            let all = self.images.list();
            let Some(image) = all.iter().find(|image| image.id == id) else { return Ok(()) };
            let around = self.around(image, &all);
            let held = around.children || around.kept || around.running.is_some() || around.stopped.is_some();
            // The build cache keeps its own steps.
            if !image.names.is_empty() || image.intermediate || held {
                return Ok(());
            }
            let before = gone.len();
            self.delete(image, &all, gone)?;
            if gone.len() == before {
                return Ok(());
            }
            next = image.parent.clone();
        }
        Ok(())
    }
}

/// Something that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Gone {
    Untagged(String),
    Image(ImageId),
    Layer(Digest, u64),
}

impl Gone {
    fn view(&self) -> Value {
        match self {
            Self::Untagged(name) => json!({ "Untagged": name }),
            Self::Image(id) => json!({ "Deleted": id }),
            Self::Layer(id, _) => json!({ "Deleted": id }),
        }
    }

    fn freed(&self) -> u64 {
        match self {
            Self::Untagged(_) | Self::Image(_) => 0,
            Self::Layer(_, size) => *size,
        }
    }
}

/// The layers that only this image has, the topmost first, with their bytes.
fn own_layers(image: &Image, all: &[Image]) -> Vec<(Digest, u64)> {
    let mut users: HashMap<&Digest, u32> = HashMap::new();
    for layer in all.iter().flat_map(|image| &image.chain) {
        *users.entry(layer).or_default() += 1;
    }
    let layers = image.chain.iter().zip(&image.layer_sizes).rev();
    let own = layers.filter(|(layer, _)| users.get(layer).is_none_or(|count| *count < 2));
    own.map(|(layer, size)| (layer.clone(), *size)).collect()
}

/// `DELETE /images/{name}`.
pub(super) async fn remove(
    State(docker): Shared,
    Path(text): Path<String>,
    params: Params,
) -> Answer<Vec<Value>> {
    if text.trim().is_empty() {
        return Err(Refusal::invalid("image name cannot be blank"));
    }
    let (force, parents) = (params.truth("force"), !params.truth("noprune"));
    let gone = blocking(move || docker.take_away(&text, force, parents)).await??;
    Ok(Json(gone.iter().map(Gone::view).collect()))
}

/// `POST /images/prune`: images that nobody can name; with `dangling=false` those of no container.
pub(super) async fn prune(State(docker): Shared, params: Params) -> Answer<Value> {
    let filters = params.filters()?;
    filters.only(&["dangling", "label", "label!", "until"])?;
    let dangling = truth(&filters, "dangling")?.unwrap_or(true);
    let until = match filters.values("until") {
        [] => None,
        [one] => Some(moment(one, docker.clock.wall())?),
        _ => return Err(Refusal::invalid("more than one until filter specified")),
    };
    let worker: Arc<Docker> = docker.clone();
    let gone = blocking(move || {
        let mut gone = Vec::new();
        for image in worker.images.list() {
            let labels = &image.config.config.labels;
            let tagged = image.names.iter().any(|name| name.digest().is_none());
            let unwanted = image.intermediate || (dangling && tagged);
            let meant = !unwanted
                && until.is_none_or(|until| image.created.is_some_and(|created| created <= until))
                && filters.labels(|name| labels.get(name).map(String::as_str));
            if !meant {
                continue;
            }
            let texts: Vec<String> = match image.names.as_slice() {
                [] => vec![image.id.to_string()],
                names => names.iter().map(ToString::to_string).collect(),
            };
            // What is in use stays.
            texts
                .iter()
                .filter_map(|text| worker.take_away(text, false, true).ok())
                .for_each(|more| gone.extend(more));
        }
        gone
    })
    .await?;
    let freed: u64 = gone.iter().map(Gone::freed).sum();
    docker.pruned("image", freed);
    let views: Vec<Value> = gone.iter().map(Gone::view).collect();
    let deleted = if views.is_empty() { Value::Null } else { Value::Array(views) };
    Ok(Json(json!({ "ImagesDeleted": deleted, "SpaceReclaimed": freed })))
}

#[cfg(test)]
mod tests;
