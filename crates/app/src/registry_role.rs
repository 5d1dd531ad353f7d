//! The registry: served in the foreground by `sea registry`, or beside the daemon; and what is done with one at rest.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base::{Kind, Problem, Report};
use cli::{DaemonArgs, RegistryArgs, RegistryCommand, ServeArgs};
use registry::{
    Access, Client, Endpoint, Keyring, Mirror, Options, Protected, Registry, Retention, Serving, Settings,
    Tls,
};
use tokio::signal::unix::{SignalKind, signal};

/// The registry's folder under the root.
const FOLDER: &str = "registry";

/// What nobody needs is taken so often.
const COLLECT_EVERY: Duration = Duration::from_secs(900);

/// What a mirrored tag means is asked again after so long.
const FRESH: Duration = Duration::from_secs(60);

fn of(problem: impl Problem) -> Report {
    Report::of(&problem)
}

/// The client through which the daemon reaches registries, once all that is asked about them can be done.
pub(crate) fn client(args: &DaemonArgs) -> Result<Client, Report> {
    if let Some(address) = args.registry {
        guard_the_world(address, args.registry_htpasswd.is_some())?;
    }
    let settings = Settings {
        mirrors: args.mirror.clone(),
        insecure: args.insecure_registry.iter().map(|host| host.to_ascii_lowercase()).collect(),
        ..Settings::default()
    };
    Client::new(settings).map_err(of)
}

/// `sea registry`.
pub(crate) fn run(root: &Path, args: &RegistryArgs, json: bool) -> Result<ExitCode, Report> {
    base::crash::arm("registry");
    let folder = root.join(FOLDER);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Report::new(Kind::Exhausted, "could not start to work").because(error))?;
    let done = match &args.command {
        None => runtime.block_on(serve(&folder, &args.serve)),
        Some(command) => runtime.block_on(at_rest(&folder, command, json)),
    };
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

async fn serve(folder: &Path, args: &ServeArgs) -> Result<(), Report> {
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log).map_err(|error| {
        Report::new(Kind::Invalid, format!("`{}` is not a filter of log lines", args.log)).because(error)
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    lines
        .try_init()
        .map_err(|error| Report::new(Kind::Unavailable, "could not begin to log").because(error))?;
    let no_signals = |error| Report::new(Kind::Internal, "could not listen for signals").because(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    guard_the_world(args.listen, args.htpasswd.is_some() || args.open)?;
    let options = Options {
        access: access(args),
        deletes: !args.no_delete,
        mirror: args.mirror.as_deref().map(mirror).transpose()?,
        ..Options::default()
    };
    let registry = Registry::open(folder, options).map_err(of)?;
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls { certificate: certificate.clone(), key: key.clone() }),
        (_, _) => None,
    };
    let serving = registry::serve(args.listen, tls.as_ref()).await.map_err(of)?;
    tracing::info!(address = %serving.address, "the registry in `{}` answers at {}", folder.display(), serving.address);
    let keep = Retention { newest: args.keep, within: args.keep_within };
    let keeping = tokio::spawn(keep_small(registry.clone(), keep, Protected::default));
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping when what is under way has ended");
    };
    let served = serving.run(&registry, stop).await.map_err(of);
    keeping.abort();
    served
}

/// Whoever serves other machines says who may do what.
fn guard_the_world(address: SocketAddr, said: bool) -> Result<(), Report> {
    if said || address.ip().is_loopback() {
        return Ok(());
    }
    let text = format!("a registry at {address} could be changed by everybody who reaches this machine");
    Err(Report::new(Kind::Denied, text).hint("name who may use it with `--htpasswd`, or listen on 127.0.0.1"))
}

fn access(args: &ServeArgs) -> Access {
    match &args.htpasswd {
        None => Access::Open,
        Some(htpasswd) => {
            let tls = if args.tls_cert.is_some() { "https" } else { "http" };
            let own = (tls == "https").then(|| format!("https://{}", args.listen));
            Access::Users {
                htpasswd: htpasswd.clone(),
                anonymous_pull: args.anonymous_pull,
                tokens: args.tokens,
                address: args.address.clone().or(own),
            }
        }
    }
}

fn mirror(of_registry: &str) -> Result<Mirror, Report> {
    Ok(Mirror {
        client: Client::new(Settings::default()).map_err(of)?,
        of: Endpoint::named(of_registry, &[]),
        keys: Keyring::anonymous(),
        fresh: FRESH,
    })
}

/// Retains and collects, now and then.
async fn keep_small(registry: Registry, keep: Retention, protected: impl Fn() -> Protected) {
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        match registry.retain(keep, &protected()).await {
            Ok(retained) if retained.tags.is_empty() => {}
            Ok(retained) => tracing::info!("tags that are kept no longer: {}", retained.tags.join(", ")),
            Err(problem) => tracing::warn!("could not look through the registry's tags: {problem}"),
        }
        if let Err(problem) = registry.collect().await {
            tracing::warn!("could not collect in the registry: {problem}");
        }
    }
}

/// Serves a registry beside the daemon, which spares what runs and what a release keeps.
pub(crate) async fn beside(
    daemon: &Arc<api::Daemon>,
    address: SocketAddr,
    args: &DaemonArgs,
) -> Result<(), Report> {
    let access = match &args.registry_htpasswd {
        None => Access::Open,
        Some(htpasswd) => {
            Access::Users { htpasswd: htpasswd.clone(), anonymous_pull: false, tokens: false, address: None }
        }
    };
    let options = Options { access, clock: daemon.clock.clone(), ..Options::default() };
    let registry = Registry::open(&daemon.root.join(FOLDER), options).map_err(of)?;
    let serving: Serving = registry::serve(address, None).await.map_err(of)?;
    tracing::info!(address = %serving.address, "the registry answers at {}", serving.address);
    let served = registry.clone();
    daemon.tasks.spawn("serving the registry", async move {
        if let Err(problem) = serving.run(&served, std::future::pending()).await {
            tracing::error!("the registry ended: {problem}");
        }
    });
    let keep = Retention { newest: args.registry_keep, within: None };
    let own = daemon.clone();
    daemon.tasks.spawn("keeping the registry small", keep_small(registry, keep, move || protected(&own)));
    Ok(())
}

/// What runs and what a release keeps, by the digests of images and of their manifests.
fn protected(daemon: &api::Daemon) -> Protected {
    let mut kept: BTreeSet<String> = daemon.apps.kept_images();
    kept.extend(daemon.containers.images_in_use());
    let mut digests: BTreeSet<oci::Digest> = kept.iter().filter_map(|id| id.parse().ok()).collect();
    for image in daemon.images.list().into_iter().filter(|image| kept.contains(&image.id.to_string())) {
        digests.extend(image.digests.iter().filter_map(|called| called.digest().cloned()));
    }
    Protected { digests }
}

async fn at_rest(folder: &Path, command: &RegistryCommand, json: bool) -> Result<(), Report> {
    // Nobody pushes while it is ours.
    let options = Options { grace: Duration::ZERO, ..Options::default() };
    let registry = Registry::open(folder, options).map_err(|problem| {
        let served = matches!(problem, registry::OpenError::InUse(_));
        let report = Report::of(&problem);
        if served {
            report.hint("it is being served, and collects by itself; stop it for this")
        } else {
            report
        }
    })?;
    match command {
        RegistryCommand::Gc => {
            let collected = registry.collect().await.map_err(of)?;
            let freed = base::Bytes(collected.freed);
            let value = serde_json::json!({
                "blobs": collected.blobs, "freed": collected.freed, "uploads": collected.uploads,
            });
            tell(json, &value, &[format!("{} blobs, {freed}", collected.blobs)]);
        }
        RegistryCommand::Tags { repository: None } => {
            let names = registry.repositories();
            tell(json, &serde_json::json!(names), &names);
        }
        RegistryCommand::Tags { repository: Some(name) } => {
            let missing = || Report::new(Kind::NotFound, format!("the registry has no repository `{name}`"));
            let views = registry.tags(name).ok_or_else(missing)?;
            let value: Vec<_> = views
                .iter()
                .map(|view| {
                    serde_json::json!({
                        "tag": view.tag, "digest": view.digest, "pushed": view.pushed.to_string(), "size": view.size,
                    })
                })
                .collect();
            let line = |view: &registry::TagView| {
                format!(
                    "{:24} {} {:>10} {}",
                    view.tag,
                    view.digest.short(),
                    base::Bytes(view.size),
                    view.pushed
                )
            };
            tell(json, &serde_json::json!(value), &views.iter().map(line).collect::<Vec<_>>());
        }
        RegistryCommand::Rm { names } => {
            for name in names {
                let (repository, which) =
                    name.split_once('@').or_else(|| name.rsplit_once(':')).ok_or_else(|| {
                        Report::new(Kind::Invalid, format!("`{name}` names no tag"))
                            .hint("write REPOSITORY:TAG or REPOSITORY@DIGEST")
                    })?;
                registry.remove(repository, which).await.map_err(of)?;
                tell(json, &serde_json::json!({ "removed": name }), &[format!("removed {name}")]);
            }
        }
    }
    Ok(())
}

/// Prints a result. A reader that went away needs no more of it.
fn tell(json: bool, value: &serde_json::Value, lines: &[String]) {
    use std::io::Write as _;
    let text = if json { value.to_string() } else { lines.join("\n") };
    if !text.is_empty() {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
