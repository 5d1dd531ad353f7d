//! What people ask for: each wish becomes a release, or a line in the record.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{ReleaseNumber, ServiceName, Timestamp};
use indexmap::IndexMap;
use spec::{App, Service};

use super::{AppRecord, Change, Ledger, Phase, RequestError, resolve};
use crate::beside::{self, Composed};
use crate::order;
use crate::ports::ImageFacts;
use crate::release::{Cause, Made, Raw, Release, Status, make};

/// An app as somebody wants it from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// As the file has it.
    pub app: App,
    /// What its images are now.
    pub images: BTreeMap<ServiceName, ImageFacts>,
    /// `Up` or `Deploy`.
    pub cause: Cause,
    /// What people say of it.
    pub message: Option<String>,
    /// Make a release even if nothing changed.
    pub force: bool,
}

impl Ledger {
    /// Wants this app from now on. Answers with the release that brings it, which is the present one when nothing
    /// changed and it did not fail. What people had stopped runs again.
    pub fn deploy(&mut self, draft: Draft, now: Timestamp) -> Result<(ReleaseNumber, Change), RequestError> {
        let Composed { app, images } = self.composed(&draft)?;
        for (name, service) in &app.services {
            check_count(name, service, service.replicas)?;
        }
        let mut change = Change::default();
        if !self.record.stopped.is_empty() {
            self.record.stopped.clear();
            change.events.push(self.event("ServicesStarted", "app", "what was stopped shall run again"));
        }
        if let Some(present) = self.present().filter(|_| !draft.force)
            && !matches!(present.status, Status::Failed { .. })
            && *present.app == app
            && present.made.iter().all(|(name, made)| made.image == images[name])
        {
            return Ok((present.number, change));
        }
        let number = ReleaseNumber(self.record.next);
        let jobs = order::jobs(&app);
        let present = self.target().cloned();
        let raw = |name: &ServiceName| Raw {
            image: images.get(name).cloned().unwrap_or_default(),
            generation: present.as_ref().and_then(|it| it.made.get(name)).map_or(0, |made| made.generation),
            run: jobs.contains_key(name).then_some(number),
        };
        let made = make(&app, raw)?;
        drop(jobs);
        let release = new(number, Arc::new(app), made, draft.cause, now);
        self.take_over(Release { message: draft.message, ..release }, &mut change);
        Ok((number, change))
    }

    /// The app that a deploy of this draft stores.
    pub(crate) fn composed(&self, draft: &Draft) -> Result<Composed, RequestError> {
        if let Some(name) = draft.app.services.keys().find(|name| !draft.images.contains_key(*name)) {
            return Err(RequestError::NoImage(name.clone()));
        }
        let app = resolve(draft.app.clone(), &draft.images);
        order::order(&app)?;
        let images = draft.images.iter().map(|(name, facts)| (name.clone(), facts.digest.clone())).collect();
        let live = self.standing().and_then(|number| self.releases.get(&number));
        let composed = beside::compose(app, images, live.map(AsRef::as_ref))?;
        order::order(&composed.app)?;
        Ok(composed)
    }

    /// Wants other numbers of instances.
    pub fn scale(
        &mut self,
        counts: &BTreeMap<ServiceName, u32>,
        now: Timestamp,
    ) -> Result<(ReleaseNumber, Change), RequestError> {
        let base = self.running(counts.keys())?;
        let mut app = App::clone(&base.app);
        for (name, count) in counts {
            let service = app.services.get_mut(name).expect("`running` has checked the names");
            check_count(name, service, *count)?;
            service.replicas = *count;
        }
        if app == *base.app {
            return Ok((base.number, Change::default()));
        }
        let mut change = Change::default();
        let release =
            new(ReleaseNumber(self.record.next), Arc::new(app), base.made.clone(), Cause::Scale, now);
        Ok((self.take_over(release, &mut change), change))
    }

    /// Wants the instances of these services, or of all, made anew. Those that were stopped start.
    pub fn restart(
        &mut self,
        services: &[ServiceName],
        now: Timestamp,
    ) -> Result<(ReleaseNumber, Change), RequestError> {
        let base = self.running(services)?;
        let mut change = Change::default();
        let number = ReleaseNumber(self.record.next);
        let is_meant = |name: &ServiceName| services.is_empty() || services.contains(name);
        let made = make(&base.app, |name| {
            let Made { image, generation, run, .. } = base.made[name].clone();
            let again = is_meant(name);
            Raw {
                image,
                generation: generation + u32::from(again && run.is_none()),
                run: run.map(|run| if again { number } else { run }),
            }
        })?;
        self.record.stopped.retain(|name| !is_meant(name));
        let release = new(number, base.app.clone(), made, Cause::Restart, now);
        Ok((self.take_over(release, &mut change), change))
    }

    /// Wants an earlier release again: this one, or the last that ran before.
    pub fn rollback(
        &mut self,
        to: Option<ReleaseNumber>,
        now: Timestamp,
    ) -> Result<(ReleaseNumber, Change), RequestError> {
        let present = self.running([])?;
        let app = &self.record.name;
        let earlier = match to {
            Some(number) => {
                self.releases.get(&number).ok_or(RequestError::NoRelease { app: app.clone(), number })?
            }
            None => {
                let ran = |it: &&Arc<Release>| it.settled_at.is_some() && !same(it, &present);
                let mut earlier = self.releases.values().rev().filter(|it| it.number < present.number);
                earlier.find(ran).ok_or_else(|| RequestError::NothingBefore(app.clone()))?
            }
        };
        let cause = Cause::Rollback { to: earlier.number };
        let mut change = Change::default();
        let number = ReleaseNumber(self.record.next);
        let release = new(number, earlier.app.clone(), earlier.made.clone(), cause, now);
        Ok((self.take_over(release, &mut change), change))
    }

    /// Wants these services, or all, not to run until somebody starts them.
    pub fn stop(&mut self, services: &[ServiceName]) -> Result<Change, RequestError> {
        let base = self.running(services)?;
        let all: Vec<_> = base.app.services.keys().cloned().collect();
        let mut change = Change::default();
        for name in if services.is_empty() { &all } else { services } {
            if self.record.stopped.insert(name.clone()) {
                let event =
                    self.event("ServiceStopped", format!("service {name}"), format!("`{name}` shall stop"));
                change.events.push(event);
            }
        }
        Ok(change)
    }

    /// Wants these services, or all, to run again.
    pub fn start(&mut self, services: &[ServiceName]) -> Result<Change, RequestError> {
        self.running(services)?;
        let mut change = Change::default();
        let meant = |name: &ServiceName| services.is_empty() || services.contains(name);
        let started: Vec<_> = self.record.stopped.iter().filter(|name| meant(name)).cloned().collect();
        for name in started {
            self.record.stopped.remove(&name);
            let message = format!("`{name}` shall run again");
            change.events.push(self.event("ServiceStarted", format!("service {name}"), message));
        }
        Ok(change)
    }

    /// Wants everything gone; the volumes only if asked.
    pub fn down(&mut self, volumes: bool) -> Result<Change, RequestError> {
        let last = self.target().ok_or_else(|| RequestError::NoApp(self.record.name.clone()))?.number;
        let mut change = Change::default();
        let volumes = volumes || matches!(self.record.phase, Phase::Leaving { volumes: true, .. });
        self.record.phase = Phase::Leaving { last, volumes };
        let name = &self.record.name;
        change.events.push(self.event("AppLeft", format!("app {name}"), format!("`{name}` shall leave")));
        Ok(change)
    }

    /// The release that shall run, if the app is not leaving and has these services.
    fn running<'a>(
        &self,
        services: impl IntoIterator<Item = &'a ServiceName>,
    ) -> Result<Arc<Release>, RequestError> {
        let app = &self.record.name;
        let base = self.present().ok_or_else(|| RequestError::NoApp(app.clone()))?;
        for service in services {
            if !base.app.services.contains_key(service) {
                return Err(RequestError::NoService { app: app.clone(), service: service.clone() });
            }
        }
        Ok(base.clone())
    }

    /// The release that shall run, unless the app is leaving.
    fn present(&self) -> Option<&Arc<Release>> {
        match self.record.phase {
            Phase::Leaving { .. } | Phase::Empty => None,
            Phase::Rolling { .. } | Phase::RollingBack { .. } | Phase::Steady { .. } | Phase::Held { .. } => {
                self.target()
            }
        }
    }

    /// The newest wish wins: the release under way, if there is one, ends here.
    fn take_over(&mut self, release: Release, change: &mut Change) -> ReleaseNumber {
        let number = release.number;
        let from = self.standing();
        if let Phase::Rolling { to, .. } = self.record.phase {
            self.set_status(to, Status::Superseded, change);
        }
        let names: Vec<_> = release.app.services.keys().collect();
        self.record.stopped.retain(|name| names.contains(&name));
        let shares = release.app.services.keys().filter_map(|name| {
            let (wish, _) = beside::in_force(&release.app, name)?;
            Some(format!(", with {} % of the requests for `{name}`", wish.percent()))
        });
        let message =
            format!("release {number} was asked for: {}{}", release.cause, shares.collect::<String>());
        change.events.push(self.event("ReleaseCreated", format!("release {number}"), message));
        self.record.next = number.0 + 1;
        self.record.phase = Phase::Rolling { to: number, from };
        self.record.since = release.created_at;
        self.releases.insert(number, Arc::new(release));
        change.releases.insert(number);
        self.prune(change);
        number
    }
}

fn new(
    number: ReleaseNumber,
    app: Arc<App>,
    made: IndexMap<ServiceName, Made>,
    cause: Cause,
    now: Timestamp,
) -> Release {
    Release {
        number,
        app,
        made,
        created_at: now,
        settled_at: None,
        status: Status::Rolling,
        cause,
        message: None,
        receipt: None,
    }
}

/// Whether two releases bring the same.
fn same(one: &Release, other: &Release) -> bool {
    one.app == other.app && one.made == other.made
}

fn check_count(name: &ServiceName, service: &Service, count: u32) -> Result<(), RequestError> {
    let fixed = service.container_name.is_some()
        || service
            .networks
            .values()
            .any(|at| at.ipv4_address.is_some() || at.ipv6_address.is_some() || at.mac_address.is_some());
    if fixed && count > 1 {
        return Err(RequestError::OnlyOne { service: name.clone(), count });
    }
    Ok(())
}

impl AppRecord {
    /// The key under which a release of this app is kept: sorts by number.
    pub fn release_key(&self, number: ReleaseNumber) -> String {
        format!("{}/{:010}", self.name, number.0)
    }
}
