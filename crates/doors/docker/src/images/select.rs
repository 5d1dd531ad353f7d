//! Which images a client wants to see, by docker's filters.

use std::collections::BTreeSet;

use base::Timestamp;
use images::{Image, ImageId};
use oci::Reference;

use super::names::find;
use super::views::all_names;
use crate::Docker;
use crate::answer::Refusal;
use crate::params::{Filters, Params};
use crate::patterns::glob;
use crate::volumes::truth;

/// The filters, read.
pub(super) struct Selection {
    filters: Filters,
    /// Made before this moment.
    before: Option<Timestamp>,
    /// Made after this moment.
    since: Option<Timestamp>,
    dangling: Option<bool>,
    all: bool,
    /// Images that others were made of here.
    parents: BTreeSet<ImageId>,
}

impl Selection {
    pub(super) fn of(
        filters: &Filters,
        images: &[Image],
        docker: &Docker,
        all: bool,
    ) -> Result<Self, Refusal> {
        filters.only(&["before", "dangling", "label", "reference", "since", "until"])?;
        let made = |name: &String| find(docker, name).map(|image| image.created);
        let moments = |name| filters.values(name).iter().map(made).collect::<Result<Vec<_>, _>>();
        let mut before = moments("before")?.into_iter().flatten().min();
        let since = moments("since")?.into_iter().flatten().max();
        for value in filters.values("until") {
            let moment = moment(value, docker.clock.wall())?;
            before = Some(before.map_or(moment, |other| other.min(moment)));
        }
        for pattern in filters.values("reference") {
            if glob(pattern, "").is_none() {
                return Err(Refusal::failed("syntax error in pattern"));
            }
        }
        Ok(Self {
            filters: filters.clone(),
            before,
            since,
            dangling: truth(filters, "dangling")?,
            all,
            parents: images.iter().filter_map(|image| image.parent.clone()).collect(),
        })
    }

    /// The names to show of an image; none when it is not to be shown at all.
    pub(super) fn names<'a>(&self, image: &'a Image) -> Option<Vec<&'a Reference>> {
        let made = image.created;
        let timely = self.before.is_none_or(|before| made.is_some_and(|made| made < before))
            && self.since.is_none_or(|since| made.is_some_and(|made| made > since));
        let labels = &image.config.config.labels;
        if !timely || !self.filters.labels(|name| labels.get(name).map(String::as_str)) {
            return None;
        }
        let names: Vec<&Reference> =
            all_names(image).into_iter().filter(|name| self.is_meant(name)).collect();
        let tagged = names.iter().any(|name| name.digest().is_none());
        if names.is_empty() {
            // Steps on the way to an image are shown to those who ask for everything.
            let step = image.intermediate || self.parents.contains(&image.id);
            let shown = self.all || !step;
            let unwanted = self.dangling == Some(false) || self.filters.has("reference");
            return (shown && !unwanted && !(self.dangling == Some(true) && step)).then_some(names);
        }
        (!(self.dangling == Some(true) && tagged)).then_some(names)
    }

    fn is_meant(&self, name: &Reference) -> bool {
        let targets = [name.familiar(), name.familiar_repository(), name.to_string(), name.repository()];
        self.filters
            .any("reference", |pattern| targets.iter().any(|target| glob(pattern, target) == Some(true)))
    }
}

/// A moment of a filter.
pub(super) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Refusal> {
    let query = format!("until={}", text.replace('%', "%25").replace('+', "%2B").replace('&', "%26"));
    let refused =
        || Refusal::invalid(format!("invalid value for 'until' filter: failed to parse value: {text}"));
    Params::parse(&query).moment("until", now).map_err(|_| refused())?.ok_or_else(refused)
}
