//! `sea build`, and the building of what `sea up` needs.

mod order;
mod output;
mod send;
mod show;

use base::{Kind, Report};
use base::{ServiceName, percent};
use spec::{App, Build, PullPolicy, Service};
use talk::{BuildEvent, BuildOrder, ImageView};

use crate::args::{BuildArgs, Call, ProgressMode};
use crate::output::{note, say};
use crate::table::short;
use crate::{Done, Session, report};
use build::check::{Around, Stages, check};
use build::graph::context_name;
use build::ignore::Ignore;
use output::Target;
use send::Archive;
use show::Show;

impl Session {
    /// `sea build`.
    pub(crate) async fn build(&self, args: BuildArgs) -> Done {
        let Some(context) = args.context.clone() else {
            let converted = self.converted(&[])?;
            self.ensure_daemon().await?;
            self.build_images(&converted.app, true).await?;
            return Ok(0);
        };
        let file = match self.app.files.as_slice() {
            [] => None,
            [one] => Some(one.as_str()),
            [_, ..] => {
                let text = "a build has one Dockerfile, and `-f` names it";
                return Err(Report::new(Kind::Invalid, text));
            }
        };
        let targets: Vec<Target> =
            args.output.iter().map(|text| output::target(text)).collect::<Result<_, _>>()?;
        let call = if args.check { Call::Check } else { args.call };
        let order::Parcel { order, archives } = order::parcel(&args, &context, file)?;
        if call != Call::Build {
            let ignore = archives.iter().find_map(|archive| match archive {
                Archive::Folder { ignore, .. } => Some(ignore),
                Archive::Stdin(_) => None,
            });
            return self.describe_build(call, &order, ignore);
        }
        self.ensure_daemon().await?;
        let mut show = self.show(args.progress);
        let id = self.send_build(&order, archives, async |lines| follow(lines, &mut show).await).await?;
        for target in &targets {
            self.deliver(&id, &order.names, target).await?;
        }
        if let Some(path) = &args.iidfile {
            output::write_file(path, &id)?;
        }
        if let Some(path) = &args.metadata_file {
            self.write_metadata(path, &id, &order.names).await?;
        }
        // Where an archive went to standard output, nothing else may.
        if !targets.iter().any(|target| matches!(target, Target::Tar(None) | Target::Image(None))) {
            say(id);
        }
        Ok(0)
    }

    fn show(&self, mode: ProgressMode) -> Show {
        Show::new(if self.quiet() || self.json() { ProgressMode::Quiet } else { mode })
    }

    /// `--call` other than a build: what the Dockerfile says by itself.
    fn describe_build(&self, call: Call, order: &BuildOrder, ignore: Option<&Ignore>) -> Done {
        let Some(text) = &order.build.dockerfile_inline else {
            let text =
                "the Dockerfile is inside the archive or behind the URL, so it cannot be looked at from here";
            return Err(Report::new(Kind::Unsupported, text).hint("name it with `-f FILE`"));
        };
        let target = order.build.target.as_deref();
        let described = match call {
            Call::Build | Call::Check => {
                let file = build::dockerfile::parse(text).map_err(report)?;
                let around = Around {
                    args: &order
                        .build
                        .args
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                    stages: target.map_or(Stages::All, |target| Stages::For(Some(target))),
                    contexts: &order.contexts.iter().map(|(name, _)| context_name(name)).collect(),
                    ignore,
                    // What the daemon has is not asked for.
                    image: &|_| None,
                };
                let found =
                    check(&file, around).map_err(|why| report(build::BuildError::CheckOption(why)))?;
                found.found.iter().for_each(note);
                if found.found.is_empty() {
                    say("no warnings");
                }
                return Ok(u8::from(!found.found.is_empty()));
            }
            Call::Outline => build::describe::outline(text, target).map_err(report)?,
            Call::Targets => build::describe::targets(text).map_err(report)?,
        };
        say(described);
        Ok(0)
    }

    /// Builds the images of an app: all, or only those that are not here.
    pub(crate) async fn build_images(&self, app: &App, all: bool) -> Result<(), Report> {
        let mut done: Vec<(&Build, &str)> = Vec::new();
        for (name, service) in in_order(app)? {
            let Some(build) = &service.build else { continue };
            // Services that share an image share its making.
            if done.contains(&(build, service.image.as_str())) {
                continue;
            }
            done.push((build, &service.image));
            if !all && service.pull_policy != PullPolicy::Build {
                let target = format!("/v1/images/{}", percent::encode(&service.image));
                if self.client.get::<ImageView>(&target).await.is_ok() {
                    continue;
                }
            }
            if !self.quiet() {
                note(format!("building `{}` for {name}", service.image));
            }
            let names = std::iter::once(service.image.clone()).chain(build.tags.iter().cloned()).collect();
            self.build_one(app, build, names).await?;
        }
        Ok(())
    }

    async fn build_one(&self, app: &App, build: &Build, names: Vec<String>) -> Result<String, Report> {
        let order::Parcel { order, archives } = order::of_service(app, build, names)?;
        let mut show = self.show(ProgressMode::Auto);
        self.send_build(&order, archives, async |lines| follow(lines, &mut show).await).await
    }
}

/// The services, each behind those whose images its build takes files from.
fn in_order(app: &App) -> Result<Vec<(&ServiceName, &Service)>, Report> {
    let mut left: Vec<(&ServiceName, &Service)> = app.services.iter().collect();
    let mut order: Vec<(&ServiceName, &Service)> = Vec::new();
    while !left.is_empty() {
        let waits = |service: &Service| {
            let contexts = service.build.iter().flat_map(|build| build.contexts.values());
            let mut needed = contexts.filter_map(|context| context.strip_prefix("service:"));
            needed.any(|needed| left.iter().any(|(name, _)| name.as_str() == needed))
        };
        let next = left.iter().position(|(_, service)| !waits(service));
        let next = next.ok_or_else(|| {
            let names = left.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            Report::new(Kind::Invalid, format!("the builds of {names} wait for each other"))
                .hint("take a `service:` out of their `additional_contexts`")
        })?;
        order.push(left.remove(next));
    }
    Ok(order)
}

/// Shows a build until it ends, and gives the image's id.
async fn follow(mut lines: wire::Lines, show: &mut Show) -> Result<String, Report> {
    while let Some(line) = lines.next::<BuildEvent>().await.map_err(report)? {
        show.event(&line);
        match line {
            BuildEvent::Built { id, cached, steps } => {
                if !matches!(show, Show::Nothing | Show::Json) {
                    note(format!("built {}, {cached} of {steps} steps from the cache", short(&id)));
                }
                return Ok(id);
            }
            BuildEvent::Failed { report } => return Err(report.from_afar()),
            _ => {}
        }
    }
    Err(Report::new(Kind::Unavailable, "the daemon went away before the image was built"))
}
