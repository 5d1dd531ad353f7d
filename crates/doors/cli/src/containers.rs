//! Commands about containers: ps, exec, kill, rm, inspect.

use base::{Clock, Kind, Report, SystemClock, percent};
use hyper::Method;
use serde::Serialize;
use talk::{ContainerView, KillOrder, RemoveOrder};

use crate::args::{ExecArgs, InspectArgs, KillArgs, PsArgs, RmArgs};
use crate::output::{say, say_json};
use crate::runs::variable;
use crate::table::{self, ago, short};
use crate::{Done, Session, report, stream, terminal};

impl Session {
    /// `sea ps`.
    pub(crate) async fn ps(&self, args: PsArgs) -> Done {
        let app = if args.everything { None } else { self.app_name_if_any()? };
        let mut target = format!("/v1/containers?all={}", args.all);
        if let Some(app) = app {
            target.push_str(&format!("&app={app}&services={}", percent::encode(&args.services.join(","))));
        }
        let views: Vec<ContainerView> = self.client.get(&target).await.map_err(report)?;
        if self.json() {
            say_json(&views);
        } else if self.quiet() {
            views.iter().for_each(|view| say(short(&view.id)));
        } else {
            let rows: Vec<_> = views.iter().map(row).collect();
            table::print(["CONTAINER", "NAME", "IMAGE", "COMMAND", "CREATED", "STATE", "PORTS"], &rows);
        }
        Ok(0)
    }

    /// `sea exec`.
    pub(crate) async fn exec(&self, args: ExecArgs) -> Done {
        let (name, command) = named(args.words)?;
        let container = self.container(&name, args.index).await?;
        // As compose has it: a terminal where there is one, unless it is refused.
        let both = terminal::is_input() && terminal::is_output();
        let tty = args.tty || (both && !args.no_tty && !args.interactive && !args.detach);
        let interactive = args.interactive || tty;
        if args.interactive && args.tty && !terminal::is_input() {
            return Err(terminal::no_terminal());
        }
        let env = args.env.iter().filter_map(|text| variable(text));
        let order = talk::ExecOrder {
            args: command,
            env: env.map(|(name, value)| format!("{name}={value}")).collect(),
            cwd: args.workdir,
            user: args.user,
            tty: tty.then(|| terminal::size().unwrap_or((24, 80))),
            stdin: interactive,
            privileged: args.privileged,
        };
        let target = format!("/v1/containers/{}/exec", container.id);
        let upgraded = self.client.upgrade(&target, &order).await;
        let upgraded = match upgraded {
            Ok(upgraded) => upgraded,
            Err(error) => return self.not_run(report(error)),
        };
        if args.detach {
            // It runs on when we go.
            return Ok(0);
        }
        let exited =
            stream::carry(upgraded, stream::Carry { stdin: interactive, raw: tty, signals: false }).await?;
        stream::exit_code(exited)
    }

    /// `sea kill`.
    pub(crate) async fn kill(&self, args: KillArgs) -> Done {
        self.each_container(&args.names, "kill", &KillOrder { signal: args.signal }).await
    }

    /// `sea rm`.
    pub(crate) async fn rm(&self, args: RmArgs) -> Done {
        self.each_container(&args.names, "remove", &RemoveOrder { force: args.force, volumes: args.volumes })
            .await
    }

    /// `sea inspect`.
    pub(crate) async fn inspect(&self, args: InspectArgs) -> Done {
        let mut views = Vec::new();
        for name in &args.names {
            views.push(self.container(name, None).await?);
        }
        say_json(&views);
        Ok(0)
    }

    /// Orders the same of several containers; goes on after a failure and ends with the first.
    pub(crate) async fn each_container(&self, names: &[String], verb: &str, order: &impl Serialize) -> Done {
        let mut failed = None;
        for name in names {
            let target = format!("/v1/containers/{}/{verb}", percent::encode(name));
            match self.client.call::<()>(Method::POST, &target, order).await {
                Ok(()) => say(name),
                Err(error) => {
                    let problem = report(error);
                    if let Some(earlier) = failed.replace(problem) {
                        crate::print_report(&earlier, self.json());
                    }
                }
            }
        }
        failed.map_or(Ok(0), Err)
    }
}

/// The first word and the rest. What looks like a flag there is one that we do not have.
pub(crate) fn named(words: Vec<String>) -> Result<(String, Vec<String>), Report> {
    let mut words = words.into_iter();
    let first = words.next().unwrap_or_default();
    if first.starts_with('-') {
        return Err(Report::new(Kind::Invalid, format!("there is no flag `{first}`"))
            .hint("`--help` lists those there are"));
    }
    Ok((first, words.collect()))
}

fn row(view: &ContainerView) -> [String; 7] {
    let now = SystemClock.wall();
    let command = view.command.join(" ");
    let command = match command.char_indices().nth(30) {
        Some((at, _)) => format!("{}…", &command[..at]),
        None => command,
    };
    let ports: Vec<String> = view.ports.iter().map(|port| format!("{}->{}", port.host, port.port)).collect();
    [
        short(&view.id).to_owned(),
        view.name.clone(),
        view.image.clone(),
        command,
        ago(view.created, now),
        state(view, now),
        ports.join(", "),
    ]
}

/// How a container is, as docker says it.
fn state(view: &ContainerView, now: base::Timestamp) -> String {
    let health = view.health.as_ref().map_or_else(String::new, |health| format!(" ({})", health.status));
    match (view.state.as_str(), view.started, view.finished, &view.exit) {
        (state @ ("exited" | "restarting"), _, Some(finished), Some(exit)) => {
            let why = if exit.oom { ", out of memory" } else { "" };
            format!("{state} ({}{why}) {}", exit.code, ago(finished, now))
        }
        (state, Some(started), ..) => format!("{state} {}{health}", table::age(now.since(started))),
        (state, ..) => state.to_owned(),
    }
}
