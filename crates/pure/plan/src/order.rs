//! Who waits for whom: the order of an app's services, and which of them are jobs.

use std::collections::{BTreeMap, BTreeSet};

use base::{Kind, Problem, ServiceName};
use spec::{App, Condition, Namespace, NetworkMode, Service};

/// Why the services of an app cannot be put in an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Each waits for the next, and the last for the first.
    #[error("services wait for each other: {}", circle(.0))]
    Cycle(Vec<ServiceName>),
    /// A dependency that is not there.
    #[error("`{service}` needs `{missing}`, which the app does not have")]
    Missing {
        /// Who needs it.
        service: ServiceName,
        /// What is not there.
        missing: ServiceName,
    },
}

fn circle(names: &[ServiceName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" → ")
}

impl Problem for OrderError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Cycle(_) => "take one of these out of `depends_on`".into(),
            Self::Missing { missing, .. } => {
                format!("add `{missing}`, or say `required: false` where it is needed")
            }
        })
    }
}

/// What a service needs before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need<'a> {
    pub(crate) on: &'a ServiceName,
    pub(crate) condition: Condition,
    pub(crate) required: bool,
}

/// Everything that this service needs: what it says, and whose namespaces it shares.
pub(crate) fn needs(service: &Service) -> impl Iterator<Item = Need<'_>> {
    let said = service.depends_on.iter().map(|(on, dependency)| Need {
        on,
        condition: dependency.condition,
        required: dependency.required,
    });
    let shared = hosts(service).filter(|on| !service.depends_on.contains_key(*on)).map(|on| Need {
        on,
        condition: Condition::Started,
        required: true,
    });
    said.chain(shared)
}

/// The services with which this one is made anew.
pub(crate) fn follows(service: &Service) -> impl Iterator<Item = &ServiceName> {
    let asked = service.depends_on.iter().filter(|(_, dependency)| dependency.restart).map(|(on, _)| on);
    hosts(service).chain(asked)
}

/// The services in whose namespaces this one lives.
pub(crate) fn hosts(service: &Service) -> impl Iterator<Item = &ServiceName> {
    let network = match &service.network_mode {
        NetworkMode::Service(on) => Some(on),
        NetworkMode::Networks | NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => None,
    };
    network.into_iter().chain(host(&service.pid)).chain(host(&service.ipc))
}

fn host(space: &Namespace) -> Option<&ServiceName> {
    match space {
        Namespace::Service(on) => Some(on),
        Namespace::Private
        | Namespace::Host
        | Namespace::Shareable
        | Namespace::Isolated
        | Namespace::Container(_) => None,
    }
}

/// The services, each after all that it needs; else in the order of the file.
pub fn order(app: &App) -> Result<Vec<&ServiceName>, OrderError> {
    let mut walk = Walk { app, done: BTreeSet::new(), path: Vec::new(), order: Vec::new() };
    for name in app.services.keys() {
        walk.visit(name)?;
    }
    Ok(walk.order)
}

struct Walk<'a> {
    app: &'a App,
    done: BTreeSet<&'a ServiceName>,
    path: Vec<&'a ServiceName>,
    order: Vec<&'a ServiceName>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, name: &'a ServiceName) -> Result<(), OrderError> {
        if self.done.contains(name) {
            return Ok(());
        }
        if let Some(begin) = self.path.iter().position(|on| *on == name) {
            let circle = self.path[begin..].iter().copied().chain([name]).cloned().collect();
            return Err(OrderError::Cycle(circle));
        }
        let Some(service) = self.app.services.get(name) else { return Ok(()) };
        self.path.push(name);
        for need in needs(service) {
            if need.required && !self.app.services.contains_key(need.on) {
                return Err(OrderError::Missing { service: name.clone(), missing: need.on.clone() });
            }
            self.visit(need.on)?;
        }
        self.path.pop();
        self.done.insert(name);
        self.order.push(name);
        Ok(())
    }
}

/// The jobs of an app, and for each whether a service that needs it cannot do without.
pub(crate) fn jobs(app: &App) -> BTreeMap<&ServiceName, bool> {
    let mut jobs = BTreeMap::new();
    for service in app.services.values() {
        for need in needs(service) {
            if need.condition == Condition::CompletedSuccessfully && app.services.contains_key(need.on) {
                *jobs.entry(need.on).or_insert(false) |= need.required;
            }
        }
    }
    jobs
}

/// Whether a service of this name is a job: others wait for its end.
pub fn is_job(app: &App, name: &ServiceName) -> bool {
    jobs(app).contains_key(name)
}

/// The services that a job needs, directly or through others: they cannot wait for all jobs.
pub(crate) fn under_jobs<'a>(
    app: &'a App,
    jobs: &BTreeMap<&'a ServiceName, bool>,
) -> BTreeSet<&'a ServiceName> {
    let mut under = BTreeSet::new();
    let mut open: Vec<&ServiceName> = jobs.keys().copied().collect();
    while let Some(name) = open.pop() {
        for need in app.services.get(name).into_iter().flat_map(needs) {
            if under.insert(need.on) {
                open.push(need.on);
            }
        }
    }
    under
}

#[cfg(test)]
mod tests;
