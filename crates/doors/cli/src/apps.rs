//! Commands about the app as a whole: config, plan, status, releases.

use base::{Kind, Report};
use compose::{Chosen, Skip, Variable};
use hyper::Method;
use serde::Serialize;
use talk::{
    AppSummary, Change, DeployOrder, DownOrder, PlanView, ReleaseView, RollbackOrder, ScaleOrder, Status,
};

use crate::args::{ConfigArgs, DownArgs, Output, PlanArgs, RollbackArgs, ScaleArgs};
use crate::disk::Disk;
use crate::folders::Way;
use crate::output::{note, say, say_json, say_text};
use crate::resolve::Named;
use crate::table::{self, age};
use crate::{Done, Session, args, report};

/// The exit code of a plan that would change something.
const CHANGES: u8 = 2;

/// A plan with the defaults behind it, for programs.
#[derive(Serialize)]
struct Planned<'a> {
    #[serde(flatten)]
    plan: &'a PlanView,
    defaults: &'a [Chosen],
}

impl Session {
    /// `sea config`.
    pub(crate) fn config(&self, args: &ConfigArgs) -> Done {
        let mut request = self.request(&args.services)?;
        request.no_interpolate = args.no_interpolate || args.variables;
        request.skip = Skip {
            normalize: args.no_normalize || args.variables,
            paths: args.no_path_resolution || args.variables,
            consistency: args.no_consistency,
            env_files: args.no_env_resolution,
        };
        let loaded = compose::load(&request, &Disk::default()).map_err(report)?;
        if !self.quiet() {
            loaded.warnings.iter().for_each(|warning| note(format!("warning: {warning}")));
        }
        let project = loaded.project;
        let lists = [
            (args.list_services, project.services()),
            (args.volumes, project.volumes()),
            (args.networks, project.networks()),
            (args.list_profiles, project.profiles()),
            (args.images, project.images()),
            (args.models, project.models()),
        ];
        if let Some((_, lines)) = lists.into_iter().find(|(asked, _)| *asked) {
            lines.iter().for_each(say);
            return Ok(0);
        }
        if args.variables {
            self.show_variables(&project.variables());
            return Ok(0);
        }
        if args.environment {
            project.environment().iter().for_each(|(name, value)| say(format!("{name}={value}")));
            return Ok(0);
        }
        if let Some(service) = &args.hash {
            return hashes(&project, service);
        }
        if self.quiet() {
            return Ok(0);
        }
        let text = match self.global.format {
            // Without a line's end, as the reference has it.
            Output::Json => project.to_json().map_err(report)?,
            Output::Table | Output::Yaml => project.to_yaml(),
        };
        match &args.output {
            None => say_text(&text),
            Some(path) => std::fs::write(path, text).map_err(|error| {
                Report::new(Kind::Unavailable, format!("could not write `{}`", path.display())).because(error)
            })?,
        }
        Ok(0)
    }

    fn show_variables(&self, variables: &[Variable]) {
        if self.json() {
            say_json(&variables);
            return;
        }
        let row = |one: &Variable| {
            let required = if one.required { "yes" } else { "no" };
            [one.name.clone(), required.into(), one.default_value.clone(), one.presence_value.clone()]
        };
        let rows: Vec<_> = variables.iter().map(row).collect();
        table::print(["NAME", "REQUIRED", "WHEN NOT SET", "WHEN SET"], &rows);
    }

    /// `sea plan`.
    pub(crate) async fn plan(&self, args: PlanArgs) -> Done {
        let mut converted = self.converted(&args.services)?;
        self.ensure_daemon().await?;
        self.take_up_folders(&mut converted.app, Way::Ask).await?;
        let plan = self.ask_plan(converted.app).await?;
        self.show_plan(&plan, &converted.chosen);
        Ok(if plan.changes { CHANGES } else { 0 })
    }

    pub(crate) async fn ask_plan(&self, app: spec::App) -> Result<PlanView, Report> {
        let target = format!("/v1/apps/{}/plan", app.name);
        let order = DeployOrder { app, message: None, recreate: false, wait: None };
        self.client.call(Method::POST, &target, &order).await.map_err(report)
    }

    pub(crate) fn show_plan(&self, plan: &PlanView, chosen: &[Chosen]) {
        if self.json() {
            say_json(&Planned { plan, defaults: chosen });
            return;
        }
        for service in &plan.services {
            let sign = match service.change {
                Change::Create => "+ create ",
                Change::Replace => "~ replace",
                Change::Adjust => "~ adjust ",
                Change::Remove => "- remove ",
                Change::Keep => "  keep   ",
            };
            let how = if service.how.is_empty() { String::new() } else { format!("  ({})", service.how) };
            say(format!("{sign} {}{how}", service.service));
            service.because.iter().for_each(|line| say(format!("            {line}")));
        }
        plan.resources.iter().for_each(|line| say(format!("  {line}")));
        if !chosen.is_empty() && !self.quiet() {
            say("defaults chosen where the file is silent:");
            let line =
                |one: &Chosen| say(format!("  {}: {} = {}  ({})", one.service, one.key, one.value, one.why));
            chosen.iter().for_each(line);
        }
        if !plan.changes {
            say("nothing to do");
        }
    }

    /// `sea ls`.
    pub(crate) async fn apps(&self) -> Done {
        let apps: Vec<AppSummary> = self.client.get("/v1/apps").await.map_err(report)?;
        if self.json() {
            say_json(&apps);
        } else if self.quiet() {
            apps.iter().for_each(|app| say(&app.name));
        } else {
            let rows: Vec<_> = apps.iter().map(summary_row).collect();
            table::print(["APP", "STATE", "RELEASE", "SERVICES", "READY"], &rows);
        }
        Ok(0)
    }

    /// `sea status`.
    pub(crate) async fn status(&self) -> Done {
        let Some(app) = self.app_name_if_any()? else { return self.apps().await };
        let status: Status = self.client.get(&format!("/v1/apps/{app}")).await.map_err(report)?;
        if self.json() {
            say_json(&status);
            return Ok(0);
        }
        let release = status.summary.release.map_or("none".into(), |release| release.to_string());
        say(format!("{app}: {}, release {release}", status.summary.state));
        let mut rows = Vec::new();
        for service in &status.services {
            let ready =
                if service.job { "job".into() } else { format!("{}/{}", service.ready, service.wanted) };
            let addresses = match &service.share {
                Some(share) => format!("{} % of the requests for {}", share.percent, share.of),
                None => service.addresses.join(", "),
            };
            rows.push([
                service.name.to_string(),
                ready,
                service.state.clone(),
                service.image.clone(),
                addresses,
            ]);
        }
        table::print(["SERVICE", "READY", "STATE", "IMAGE", "ADDRESSES"], &rows);
        let mut rows = Vec::new();
        for instance in status.services.iter().flat_map(|service| &service.instances) {
            rows.push([
                instance.name.clone(),
                format!("{} for {}", instance.state, age(instance.age)),
                instance.release.to_string(),
                instance.restarts.to_string(),
                instance.in_flight.to_string(),
            ]);
        }
        say("");
        table::print(["INSTANCE", "STATE", "RELEASE", "RESTARTS", "REQUESTS"], &rows);
        for instance in status.services.iter().flat_map(|service| &service.instances) {
            if let Some(said) = &instance.said {
                say(format!("{} is {}: {said}", instance.name, instance.state));
            }
        }
        status.problems.iter().for_each(|problem| say(format!("problem: {problem}")));
        Ok(0)
    }

    /// `sea releases`.
    pub(crate) async fn releases(&self) -> Done {
        let app = self.app_name()?;
        let releases: Vec<ReleaseView> =
            self.client.get(&format!("/v1/apps/{app}/releases")).await.map_err(report)?;
        if self.json() {
            say_json(&releases);
            return Ok(0);
        }
        let rows: Vec<_> = releases.iter().map(release_row).collect();
        table::print(["RELEASE", "STATUS", "CREATED", "CAUSE", "REQUESTS", "LOST", "MESSAGE"], &rows);
        Ok(0)
    }

    /// `sea scale`.
    pub(crate) async fn scale(&self, args: ScaleArgs) -> Done {
        let app = self.app_name()?;
        let order = ScaleOrder { replicas: replicas(&args.replicas)? };
        self.follow_change(&app, "scale", &order).await
    }

    /// `sea rollback`.
    pub(crate) async fn rollback(&self, args: RollbackArgs) -> Done {
        let app = self.app_name()?;
        let order = RollbackOrder { to: args.release.map(base::ReleaseNumber) };
        self.follow_change(&app, "rollback", &order).await
    }

    /// `sea down`.
    pub(crate) async fn down(&self, args: DownArgs) -> Done {
        let app = self.app_name()?;
        self.follow_change(&app, "down", &DownOrder { volumes: args.volumes }).await
    }

    /// `sea start`.
    pub(crate) async fn start(&self, args: args::NamesArgs) -> Done {
        match self.named(&args.names).await? {
            Named::Services(app, services) => {
                self.follow_change(&app, "start", &talk::ServicesOrder { services }).await
            }
            Named::Containers(names) => self.each_container(&names, "start", &()).await,
        }
    }

    /// `sea stop`.
    pub(crate) async fn stop(&self, args: args::StopArgs) -> Done {
        self.stop_or_restart(args, "stop").await
    }

    /// `sea restart`.
    pub(crate) async fn restart(&self, args: args::StopArgs) -> Done {
        self.stop_or_restart(args, "restart").await
    }

    async fn stop_or_restart(&self, args: args::StopArgs, verb: &str) -> Done {
        match self.named(&args.names).await? {
            Named::Services(app, services) => {
                self.follow_change(&app, verb, &talk::ServicesOrder { services }).await
            }
            Named::Containers(names) => {
                let order = talk::StopOrder { grace: args::seconds(args.timeout) };
                self.each_container(&names, verb, &order).await
            }
        }
    }
}

fn hashes(project: &compose::Project, service: &str) -> Done {
    let names = if service == "*" { project.services() } else { vec![service.to_owned()] };
    for name in names {
        let hash = project.hash(&name).ok_or_else(|| {
            Report::new(Kind::NotFound, format!("the compose file has no service `{name}`"))
        })?;
        say(format!("{name} {hash}"));
    }
    Ok(0)
}

/// `SERVICE=N` texts as numbers of replicas.
pub(crate) fn replicas(
    texts: &[String],
) -> Result<std::collections::BTreeMap<base::ServiceName, u32>, Report> {
    let one = |(name, count): (String, String)| {
        let number = count.parse::<u32>().map_err(|_| {
            Report::new(Kind::Invalid, format!("`{count}` is not a number of instances of `{name}`"))
        })?;
        Ok((base::ServiceName::new(name).map_err(report)?, number))
    };
    table::pairs(texts, "scale")?.into_iter().map(one).collect()
}

fn summary_row(app: &AppSummary) -> [String; 5] {
    [
        app.name.to_string(),
        app.state.clone(),
        app.release.map_or_else(String::new, |release| release.to_string()),
        app.services.to_string(),
        format!("{}/{}", app.ready, app.wanted),
    ]
}

fn release_row(release: &ReleaseView) -> [String; 7] {
    let receipt = release.receipt.clone().unwrap_or_default();
    let shares = release.shares.iter().map(|(service, percent)| format!(", {percent} % of {service}"));
    let cause = std::iter::once(release.cause.clone()).chain(shares).collect();
    [
        release.number.to_string(),
        release.status.clone(),
        release.created.to_string().get(..19).unwrap_or_default().replace('T', " "),
        cause,
        receipt.requests.to_string(),
        receipt.lost.to_string(),
        release.message.clone().unwrap_or_default(),
    ]
}
