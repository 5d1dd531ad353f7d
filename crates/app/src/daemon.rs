//! The daemon: opens the rooms in their order, finds again what runs, and serves until it is told to stop.
//!
//! Apps run on when it stops or dies: their shims, the edge and the names are processes of their own.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{AppName, Cidr, Kind, Problem, Report, SystemClock, Tasks};
use cli::DaemonArgs;
use containers::{Containers, Rooms};
use images::{Images, Keep};
use network::{NamesLaunch, Networks, Settings, Tag};
use plan::ports::Traffic;
use plan::traffic::RouteShare;
use proxy::{Edge, EdgeConfig, HttpsFront};
use registry::Client;
use runtime::Shims;
use store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use wire::Server;

use crate::between::Between;
use crate::certificates;
use crate::edge_deaths;
use crate::fetch::HttpFetcher;
use crate::images_port::ImagesPort;
use crate::kept_address;
use crate::log_file::LogFile;
use crate::pullers::BasePullers;
use crate::registry_role;
use crate::root;
use crate::runner::BuildRunner;
use crate::usual_place::UsualPlace;

/// Where the edge answers unless it is told otherwise: the second where the first may not be had.
const HTTP: [&str; 2] = ["0.0.0.0:80", "0.0.0.0:8080"];
/// The same for HTTPS, from the first route on that needs it.
const HTTPS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 443),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8443),
];
/// Requests that are under way when the daemon is told to stop may take so long.
const DRAIN: Duration = Duration::from_secs(5);
/// Images that nobody needs are collected so often.
const COLLECT_EVERY: Duration = Duration::from_secs(3600);

/// Runs the daemon until it is told to stop.
pub(crate) fn run(root: &Path, args: &DaemonArgs) -> Result<(), Report> {
    base::crash::arm("daemon");
    begin_to_log(args)?;
    if !rustix::process::geteuid().is_root() {
        return Err(Report::new(Kind::Denied, "the daemon needs the rights of root")
            .hint("start it with sudo, or as a service of the system"));
    }
    let (root, _lock) = root::open(root)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Report::new(Kind::Exhausted, "could not start the daemon's threads").because(error)
    })?;
    let done = runtime.block_on(serve(&root, args));
    runtime.shutdown_background();
    done
}

async fn serve(root: &Path, args: &DaemonArgs) -> Result<(), Report> {
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    // First of all, so that a second daemon and a broken folder are found before anything is changed.
    let server = Server::bind(&root.join("sea.sock")).map_err(|problem| Report::of(&problem))?;
    let docker_server = Server::bind(&root.join("docker.sock")).map_err(|problem| Report::of(&problem))?;
    base::crash::point("daemon: socket bound");
    let registries = registry_role::client(args)?;
    let daemon = open(root, args, registries).await?;
    edge_deaths::tell(&daemon.edge, daemon.store.clone(), &daemon.tasks);
    base::crash::arm("serving");
    tracing::info!(
        root = %root.display(),
        http = %daemon.http.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        "sea {} serves `{}`", daemon.version, root.display()
    );
    if let Some(address) = args.registry {
        // Apps are not to wait for a registry that cannot be served.
        if let Err(report) = registry_role::beside(&daemon, address, args).await {
            tracing::error!("the registry is not served: {report}");
        }
        base::crash::point("daemon: registry served");
    }
    if let Some(address) = args.metrics {
        match api::serve_metrics(daemon.clone(), address).await {
            Ok(address) => tracing::info!("metrics are served at http://{address}/metrics"),
            Err(report) => tracing::error!("{report}"),
        }
    }
    let (stop, stopped) = tokio::sync::watch::channel(());
    let until = |mut stopped: tokio::sync::watch::Receiver<()>| async move {
        // A sender that is gone is the sign.
        while stopped.changed().await.is_ok() {}
    };
    let ours = server.run(api::router(daemon.clone()), until(stopped.clone()));
    let dockers = docker_server.run(docker::router(for_docker(&daemon, root)?), until(stopped));
    let usual = UsualPlace::take(&root.join("docker.sock"));
    let serving = tokio::spawn(async { tokio::join!(ours, dockers) });
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    base::crash::point("daemon: told to stop");
    drop(usual);
    tracing::info!("stopping; apps run on");
    drop(stop);
    // Streams that follow something never end by themselves.
    if tokio::time::timeout(DRAIN, serving).await.is_err() {
        tracing::debug!("some requests were still under way");
    }
    daemon.tasks.shutdown().await;
    base::crash::point("daemon: tasks ended");
    leave_nothing(&daemon).await;
    Ok(())
}

/// What the Docker API serves: the same rooms.
fn for_docker(daemon: &api::Daemon, root: &Path) -> Result<Arc<docker::Docker>, Report> {
    let pullers: Arc<dyn buildkit::Pullers> =
        Arc::new(BasePullers::new(daemon.images.clone(), daemon.registries.clone()));
    let fetcher = HttpFetcher::shared(daemon.clock.clone());
    let parts = buildkit::Parts {
        builds: Arc::new(
            buildkit::RoomBuilds::new(daemon.builder.clone(), daemon.runner.clone())
                .with_pullers(pullers.clone()),
        ),
        images: daemon.images.clone(),
        fetcher: Some(fetcher.clone()),
        clock: daemon.clock.clone(),
        tasks: daemon.tasks.clone(),
        version: daemon.version.into(),
        host_gateway: None,
    };
    let buildkit = buildkit::BuildKit::open(&root.join("build/sessions"), parts).map_err(|error| {
        Report::new(Kind::Unavailable, "could not open the folder of builders' contexts").because(error)
    })?;
    Ok(Arc::new(docker::Docker {
        buildkit,
        fetcher,
        pullers,
        containers: daemon.containers.clone(),
        images: daemon.images.clone(),
        registries: daemon.registries.clone(),
        networks: daemon.networks.clone(),
        apps: daemon.apps.clone(),
        store: daemon.store.clone(),
        builder: daemon.builder.clone(),
        runner: daemon.runner.clone(),
        clock: daemon.clock.clone(),
        tasks: daemon.tasks.clone(),
        version: daemon.version,
        root: daemon.root.clone(),
        started: daemon.started,
    }))
}

/// Where nothing is to go on without us, the edge, the names and the default network go too; else they serve on.
async fn leave_nothing(daemon: &api::Daemon) {
    let networks = daemon.networks.list().await;
    let ours = |view: &network::NetworkView| view.name.as_str() == network::DEFAULT_NETWORK;
    if !daemon.containers.is_empty() || !daemon.apps.names().is_empty() || !networks.iter().all(ours) {
        daemon.edge.clone().release().await;
        return;
    }
    if let Err(problem) = daemon.networks.destroy_all().await {
        tracing::warn!("could not take the default network away: {problem}");
    }
    base::crash::point("daemon: default network gone");
    if let Err(problem) = daemon.edge.clone().stop().await {
        tracing::warn!("could not stop the edge: {problem}");
    }
    base::crash::point("daemon: edge stopped");
}

/// Opens every room, in an order in which each finds what it needs.
async fn open(root: &Path, args: &DaemonArgs, registries: Client) -> Result<Arc<api::Daemon>, Report> {
    let acme = certificates::settings(&args.edge.acme)?;
    let clock = SystemClock::shared();
    let tasks = Tasks::new();
    let store = Store::open(&root.join("sea.db"), clock.clone()).map_err(of)?;
    base::crash::point("daemon: store opened");
    let kept = images::Options { journal: Some(store.clone()), ..images::Options::default() };
    let images = Images::open_with(root.join("images"), kept).map_err(of)?;
    base::crash::point("daemon: images opened");
    let tag = Tag::of_root(root);
    let cgroup_root = format!("sea-{tag}");
    let program = root::program()?;
    let networks = networks(root, tag, &program).await?.with_journal(store.clone());
    base::crash::point("daemon: networks opened");
    let (edge, http) = edge(root, &program, args).await?;
    base::crash::point("daemon: edge found");
    let shims = Shims::of_this_program().map_err(of)?;
    let rooms = Rooms {
        images: images.clone(),
        shims,
        networks: networks.clone(),
        traffic: Arc::new(edge.clone()),
        store: store.clone(),
        clock: clock.clone(),
    };
    let containers = Containers::open(root, cgroup_root.clone(), rooms.clone(), tasks.clone()).map_err(of)?;
    containers.settle().await.map_err(of)?;
    base::crash::point("daemon: containers settled");
    let runner =
        BuildRunner::open(root.join("build/runs"), cgroup_root, rooms, containers.clone()).await.map_err(
            |error| Report::new(Kind::Unavailable, "could not open the folder of builds").because(error),
        )?;
    base::crash::point("daemon: build steps ended");
    let builder = build::Builder::open(root.join("build"), images.clone(), clock.clone()).map_err(of)?;
    let pullers = BasePullers::new(images.clone(), registries.clone());
    let builder = builder.with_fetcher(HttpFetcher::shared(clock.clone())).with_puller(pullers.anonymous());
    base::crash::point("daemon: builder opened");
    let apps = control::Apps::open(
        store.clone(),
        Arc::new(containers.clone()),
        Arc::new(Between::new(edge.clone(), networks.clone())),
        Arc::new(ImagesPort(images.clone())),
        clock.clone(),
        tasks.clone(),
    )
    .map_err(of)?;
    base::crash::point("daemon: loops begun");
    forget_strangers(&edge, &containers, &apps).await;
    base::crash::point("daemon: strangers forgotten");
    let certificates = certificates::begin(root, acme, &edge, clock.clone(), &tasks)?;
    tasks.spawn("collecting images", collect(images.clone(), containers.clone(), apps.clone()));
    Ok(Arc::new(api::Daemon {
        containers,
        images,
        registries,
        networks,
        apps,
        edge,
        certificates,
        store,
        builder,
        runner: Arc::new(runner),
        started: clock.wall(),
        clock,
        tasks,
        version: env!("CARGO_PKG_VERSION"),
        root: root.to_owned(),
        http,
    }))
}

/// The networks, whose names a process of its own answers.
async fn networks(root: &Path, tag: Tag, program: &Path) -> Result<Networks, Report> {
    let folder = root.join("network");
    let args = vec!["names".into(), folder.clone().into_os_string()];
    let names = NamesLaunch::Process { program: program.to_owned(), args };
    Networks::open(tag, &folder, Settings { names, ..Settings::default() }).await.map_err(of)
}

fn of(problem: impl Problem) -> Report {
    Report::of(&problem)
}

fn no_signals(error: std::io::Error) -> Report {
    Report::new(Kind::Internal, "could not listen for signals").because(error)
}

/// Finds the edge that runs, or starts one: at the address that was asked for, else where one of this root was
/// before, else at the first address that can be had.
async fn edge(root: &Path, program: &Path, args: &DaemonArgs) -> Result<(Edge, Vec<SocketAddr>), Report> {
    let mut candidates: Vec<String> = match &args.edge.http {
        Some(asked) => vec![asked.clone()],
        None => HTTP.map(str::to_owned).to_vec(),
    };
    let https = match &args.edge.https {
        Some(asked) => HttpsFront::At(vec![listening(asked)?]),
        None => HttpsFront::WhenNeeded(HTTPS.to_vec()),
    };
    let trusted = proxies("--trusted-proxies", &args.edge.trusted_proxies)?;
    let prefaced = proxies("--proxy-protocol-from", &args.edge.proxy_protocol_from)?;
    if args.edge.http.is_none()
        && let Some(before) = kept_address::read(root)
    {
        candidates.insert(0, before.to_string());
    }
    // One that writes another log is another program.
    let identity = format!("{}-{}", identity().await?, args.access_log);
    let mut last = None;
    for text in candidates {
        let address = listening(&text)?;
        let config = EdgeConfig {
            root: root.to_owned(),
            program: program.to_owned(),
            args: edge_words(root, address, &https, &args.access_log),
            http: vec![address],
            https: https.clone(),
            trusted: trusted.clone(),
            prefaced: prefaced.clone(),
            identity: identity.clone(),
        };
        match Edge::open(config).await {
            Ok(edge) => {
                let http = edge.http().await;
                kept_address::write(root, http.first().map_or(address, |first| *first)).map_err(|error| {
                    Report::new(Kind::Unavailable, "could not keep the edge's address").because(error)
                })?;
                return Ok((edge, http));
            }
            Err(problem) => {
                tracing::warn!("the edge cannot answer on {address}: {problem}");
                last = Some(Report::of(&problem));
            }
        }
    }
    let report = last.unwrap_or_else(|| Report::new(Kind::Internal, "the edge has no address"));
    Err(Report { hint: report.hint.clone().or(Some("name another address with `--http`".into())), ..report })
}

/// Proxies that stand in front of the edge, by their addresses and ranges.
fn proxies(option: &str, texts: &[String]) -> Result<Vec<Cidr>, Report> {
    let range = |text: &String| {
        let bits = if text.contains(':') { 128 } else { 32 };
        let whole = if text.contains('/') { text.clone() } else { format!("{text}/{bits}") };
        whole.parse().ok().filter(|range: &Cidr| !range.is_mapped()).ok_or_else(|| {
            Report::new(Kind::Invalid, format!("`{text}` is no address and no range of addresses"))
                .hint(format!("write as in `{option} 10.0.0.0/8,192.0.2.7`"))
        })
    };
    texts.iter().map(range).collect()
}

/// Which program this is, by which an edge of another is known.
async fn identity() -> Result<String, Report> {
    let read = tokio::task::spawn_blocking(proxy::identity).await;
    read.unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|error| Report::new(Kind::Internal, "this program cannot read its own file").because(error))
}

/// An address to listen on; without a host it is all of the machine's.
fn listening(text: &str) -> Result<SocketAddr, Report> {
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    whole.parse().map_err(|_| {
        Report::new(Kind::Invalid, format!("`{text}` is not an address"))
            .hint("write ADDRESS:PORT or :PORT, as in 127.0.0.1:8080")
    })
}

/// The arguments of the edge's process.
fn edge_words(root: &Path, http: SocketAddr, https: &HttpsFront, access_log: &str) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        vec!["edge".into(), "--root".into(), root.into(), "--http".into(), http.to_string().into()];
    let (word, addresses) = match https {
        HttpsFront::Never => ("", &[][..]),
        HttpsFront::At(addresses) => ("--https", &addresses[..]),
        HttpsFront::WhenNeeded(addresses) => ("--https-when-needed", &addresses[..]),
    };
    for address in addresses {
        words.extend([word.into(), address.to_string().into()]);
    }
    words.extend(["--access-log".into(), access_log.into()]);
    words
}

/// Takes the routes of those who are gone out of the edge: the daemon may have died between the two.
async fn forget_strangers(edge: &Edge, containers: &Containers, apps: &control::Apps) {
    for owner in edge.owners().await {
        let known = match owner.strip_prefix("container:") {
            Some(id) => containers.find(id).is_ok(),
            None => AppName::new(owner.clone()).is_ok_and(|app| apps.picture(&app).is_some()),
        };
        if !known && let Err(problem) = edge.apply(&owner, RouteShare::default()).await {
            tracing::warn!("could not take back the routes of `{owner}`: {problem}");
        }
    }
}

/// Collects what crashes and replaced images left, now and then.
async fn collect(images: Images, containers: Containers, apps: control::Apps) {
    loop {
        let keep = Keep {
            images: apps.kept_images().iter().filter_map(|id| id.parse().ok()).collect(),
            snapshots: Some(containers.ids().into_iter().map(String::from).collect()),
        };
        let store = images.clone();
        match tokio::task::spawn_blocking(move || store.collect(&keep, false)).await {
            Ok(Ok(_)) => {}
            Ok(Err(problem)) => tracing::warn!("could not collect images: {problem}"),
            Err(error) => tracing::error!("the collection of images broke off: {error}"),
        }
        tokio::time::sleep(COLLECT_EVERY).await;
    }
}

fn begin_to_log(args: &DaemonArgs) -> Result<(), Report> {
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log).map_err(|error| {
        Report::new(Kind::Invalid, format!("`{}` is not a filter of log lines", args.log))
            .because(error)
            .hint("as in `info`, or `info,network=debug`")
    })?;
    let failed = |error: &dyn std::fmt::Display| {
        Report::new(Kind::Unavailable, "could not begin to log").because(error)
    };
    let (writer, color) = match &args.log_file {
        Some(path) => (BoxMakeWriter::new(LogFile::open(path).map_err(|error| failed(&error))?), false),
        None => {
            let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            (BoxMakeWriter::new(std::io::stderr), color)
        }
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(color).with_writer(writer);
    let done = if args.log_json { lines.json().try_init() } else { lines.try_init() };
    done.map_err(|error| failed(&error))
}
