//! `sea up`, and the following of every change of an app until it has settled.

use std::collections::HashMap;
use std::io::IsTerminal;

use base::{AppName, Kind, Report};
use hyper::Method;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use talk::{DeployOrder, Outcome, Progress, ReceiptView, ServiceView, Status};

use crate::args::{UpArgs, seconds};
use crate::folders::Way;
use crate::output::{note, say, say_json};
use crate::table::age;
use crate::{Done, Session, apps, report};

/// The exit code of a release that failed and was rolled back.
const ROLLED_BACK: u8 = 3;
/// The exit code of a change that is not over.
const INCONCLUSIVE: u8 = 4;

impl Session {
    /// `sea up` and `sea deploy`.
    pub(crate) async fn up(&self, args: UpArgs) -> Done {
        let mut converted = self.converted(&args.services)?;
        for (service, number) in apps::replicas(&args.scale)? {
            let known = converted.app.services.get_mut(&service);
            known
                .ok_or_else(|| {
                    Report::new(Kind::NotFound, format!("the compose file has no service `{service}`"))
                })?
                .replicas = number;
        }
        self.ensure_daemon().await?;
        let way = if args.dry_run { Way::Ask } else { Way::Send };
        self.take_up_folders(&mut converted.app, way).await?;
        if args.dry_run {
            let plan = self.ask_plan(converted.app).await?;
            self.show_plan(&plan, &converted.chosen);
            return Ok(0);
        }
        self.pull_images(&converted.app, args.pull.map(Into::into)).await?;
        if !args.no_build {
            self.build_images(&converted.app, args.build).await?;
        }
        let app = converted.app.name.clone();
        let order = DeployOrder {
            app: converted.app,
            message: args.message,
            recreate: args.force_recreate,
            wait: seconds(args.wait_timeout),
        };
        let code = self.follow_change(&app, "deploy", &order).await?;
        if code == 0 && !self.quiet() {
            self.show_addresses(&app).await;
        }
        if code != 0 || args.detach || args.wait || self.json() {
            return Ok(code);
        }
        if !self.quiet() {
            note("the app runs on when you leave; Ctrl-C ends this log, `sea down` ends the app");
        }
        self.follow_app_logs(&app).await
    }

    /// Orders a change and follows it to its end.
    pub(crate) async fn follow_change(&self, app: &AppName, verb: &str, order: &impl Serialize) -> Done {
        let target = format!("/v1/apps/{app}/{verb}");
        let mut lines = self.client.follow(Method::POST, &target, order).await.map_err(report)?;
        let mut view = View::new(self);
        while let Some(line) = lines.next::<Progress>().await.map_err(report)? {
            if self.json() {
                say_line(&line);
            }
            match line {
                Progress::Release { number } => view.line(format!("{app}: release {number}")),
                Progress::Services { services } => view.services(&services),
                Progress::Event { message } => view.line(message),
                Progress::Done { outcome, receipt, release } => {
                    view.finish();
                    return Ok(self.outcome(app, verb, &outcome, release, receipt));
                }
                Progress::Failed { report } => {
                    view.finish();
                    return Err(report.from_afar());
                }
            }
        }
        view.finish();
        Err(Report::new(Kind::Unavailable, "the daemon went away before the change was over")
            .hint("the daemon goes on with it when it is back; `sea status` shows how far it is"))
    }

    fn outcome(
        &self,
        app: &AppName,
        verb: &str,
        outcome: &Outcome,
        release: Option<base::ReleaseNumber>,
        receipt: Option<ReceiptView>,
    ) -> u8 {
        let tell = |text: String| {
            if !self.json() && !self.quiet() {
                note(text);
            }
        };
        let number = release.map_or_else(String::new, |number| format!(" release {number}"));
        match outcome {
            Outcome::Settled => {
                tell(match verb {
                    "down" => format!("{app}: gone"),
                    "stop" => format!("{app}: stopped"),
                    _ => format!("{app}:{number} is live"),
                });
                if let Some(receipt) = receipt.filter(|receipt| receipt.requests > 0 || receipt.lost > 0) {
                    tell(format!(
                        "  {} requests crossed the change, {} lost, {} failed; it took {}, the longest drain {}",
                        receipt.requests,
                        receipt.lost,
                        receipt.failed,
                        age(receipt.took),
                        age(receipt.longest_drain)
                    ));
                }
                0
            }
            Outcome::RolledBack { why, to } => {
                note(format!("{app}: the release failed and release {to} runs again: {why}"));
                ROLLED_BACK
            }
            Outcome::Failed { why } => {
                note(format!("{app}: the release failed: {why}"));
                1
            }
            Outcome::Superseded => {
                note(format!("{app}: a later order took the place of this one"));
                INCONCLUSIVE
            }
            Outcome::Inconclusive { why } => {
                note(format!("{app}: not over yet: {why}"));
                INCONCLUSIVE
            }
        }
    }

    async fn show_addresses(&self, app: &AppName) {
        let Ok(status) = self.client.get::<Status>(&format!("/v1/apps/{app}")).await else { return };
        if self.json() {
            return;
        }
        for service in status.services.iter().filter(|service| !service.addresses.is_empty()) {
            note(format!("  {} answers at {}", service.name, service.addresses.join(", ")));
        }
    }
}

/// A line of JSON for programs.
fn say_line(line: &Progress) {
    match serde_json::to_string(line) {
        Ok(text) => say(text),
        Err(_) => say_json(line),
    }
}

/// What a person sees of a change: a bar for each service on a terminal, lines elsewhere.
struct View {
    bars: Option<MultiProgress>,
    by_service: HashMap<String, ProgressBar>,
    last: HashMap<String, String>,
    silent: bool,
}

impl View {
    fn new(session: &Session) -> Self {
        let silent = session.json() || session.quiet();
        let bars = (!silent && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { bars, by_service: HashMap::new(), last: HashMap::new(), silent }
    }

    fn line(&self, text: String) {
        match &self.bars {
            Some(bars) => {
                // The terminal may have gone; then nobody reads this.
                let _ = bars.println(text);
            }
            None if self.silent => {}
            None => note(text),
        }
    }

    fn services(&mut self, services: &[ServiceView]) {
        for service in services {
            let state = match service.job {
                true => service.state.clone(),
                false => format!("{} {}/{}", service.state, service.updated, service.wanted),
            };
            let name = service.name.to_string();
            if self.last.get(&name) == Some(&state) {
                continue;
            }
            match &self.bars {
                Some(bars) => {
                    let bar = self.by_service.entry(name.clone()).or_insert_with(|| bars.add(bar(&name)));
                    bar.set_length(u64::from(service.wanted.max(1)));
                    bar.set_position(u64::from(service.updated.min(service.wanted)));
                    bar.set_message(state.clone());
                }
                None if self.silent => {}
                None => note(format!("  {name}: {state}")),
            }
            self.last.insert(name, state);
        }
    }

    fn finish(&mut self) {
        self.by_service.values().for_each(ProgressBar::abandon);
    }
}

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {prefix:20} [{bar:20}] {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let bar = ProgressBar::new(1).with_style(style);
    bar.set_prefix(name.to_owned());
    bar
}
