//! What a name on the command line means: a service of the app here, or a container.

use base::{AppName, Kind, Report, ServiceName, percent};
use talk::{ContainerView, Status};

use crate::{Session, report};

/// What names on the command line mean.
pub(crate) enum Named {
    /// Services of this app; all of them when the list is empty.
    Services(AppName, Vec<ServiceName>),
    /// Containers, by name or id.
    Containers(Vec<String>),
}

impl Session {
    /// Services if the app here has all of these names, else containers.
    pub(crate) async fn named(&self, names: &[String]) -> Result<Named, Report> {
        let app = match self.app_name_if_any() {
            Ok(app) => app,
            // A broken compose file is no reason not to find a container by its name.
            Err(_) if !names.is_empty() => None,
            Err(report) => return Err(report),
        };
        let Some(app) = app else {
            if names.is_empty() {
                return Err(Report::new(Kind::Invalid, "no app and no container is named")
                    .hint("go to the folder of a compose file, or name the app with `-p` or containers"));
            }
            return Ok(Named::Containers(names.to_vec()));
        };
        if names.is_empty() {
            return Ok(Named::Services(app, Vec::new()));
        }
        let status: Result<Status, _> = self.client.get(&format!("/v1/apps/{app}")).await;
        let known = status.map(|status| status.services).unwrap_or_default();
        let services =
            names.iter().filter_map(|name| known.iter().find(|service| service.name.as_str() == name));
        let services: Vec<ServiceName> = services.map(|service| service.name.clone()).collect();
        if services.len() == names.len() {
            Ok(Named::Services(app, services))
        } else {
            Ok(Named::Containers(names.to_vec()))
        }
    }

    /// The container that a name means; of a service, the instance with this number, or one that runs.
    pub(crate) async fn container(&self, name: &str, number: Option<u32>) -> Result<ContainerView, Report> {
        if let Named::Services(app, services) = self.named(&[name.to_owned()]).await?
            && let Some(service) = services.first()
        {
            let target = format!("/v1/containers?all=true&app={app}&services={service}");
            let views: Vec<ContainerView> = self.client.get(&target).await.map_err(report)?;
            let mut running = views.into_iter().filter(|view| view.state == "running");
            let wanted = |view: &ContainerView| match (&view.owner, number) {
                (Some(owner), Some(number)) => owner.number == number,
                (_, None) => true,
                (None, Some(_)) => false,
            };
            return running.find(wanted).ok_or_else(|| {
                Report::new(Kind::Conflict, format!("no such instance of `{service}` runs"))
                    .hint("`sea ps --all` shows its instances")
            });
        }
        self.client.get(&format!("/v1/containers/{}", percent::encode(name))).await.map_err(report)
    }
}
