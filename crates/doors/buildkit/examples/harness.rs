//! As much of a Docker Engine as its builders ask for, so that real clients can be driven against this crate alone.
//!
//! `harness FOLDER SOCKET [ARCHIVE …]` serves the socket, keeps its state in the folder, and loads the archives of images
//! first. Commands of RUN are run in an overlay that a mount namespace of their own sees; it needs root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base::{Clock, Kind, Report, SystemClock, Tasks};
use build::{Builder, RunMountKind, RunOrder, Runner, Stream};
use buildkit::{BuildKit, Parts, RoomBuilds};
use hyper::StatusCode;
use hyper::header::{CONNECTION, UPGRADE};
use hyper_util::rt::TokioIo;
use images::Images;
use serde_json::json;
use tokio::net::UnixListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = words.next().context("the folder is not named")?;
    let socket = words.next().context("the socket is not named")?;
    let images = Images::open(folder.join("images"))?;
    for archive in words {
        images.load(std::fs::File::open(&archive)?, &mut |_| {})?;
    }
    let clock: Arc<dyn Clock> = SystemClock::shared();
    let builder = Builder::open(folder.join("build"), images.clone(), clock.clone())?;
    let parts = Parts {
        builds: Arc::new(RoomBuilds::new(builder, Arc::new(Chroot))),
        images,
        fetcher: None,
        clock,
        tasks: Tasks::new(),
        version: "v0.25.1-sea".into(),
        host_gateway: None,
    };
    let door = BuildKit::open(&folder.join("contexts"), parts)?;
    if socket.exists() {
        std::fs::remove_file(&socket)?;
    }
    let router = Router::new().fallback(answer).with_state(door);
    axum::serve(UnixListener::bind(&socket)?, router).await?;
    Ok(())
}

async fn answer(State(door): State<BuildKit>, request: Request) -> Response {
    let path = request.uri().path();
    let path = match path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|slash| &rest[slash..])) {
        Some(rest) => rest.to_owned(),
        None => path.to_owned(),
    };
    match path.as_str() {
        "/_ping" => ping().into_response(),
        "/version" => axum::Json(json!({
            "Version": "28.5.2", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64",
            "Components": [],
        }))
        .into_response(),
        "/info" => axum::Json(json!({
            "ID": "harness", "OSType": "linux", "Architecture": "x86_64", "Name": "harness", "Driver": "overlay2",
            "SecurityOptions": [], "RegistryConfig": {}, "ServerVersion": "28.5.2", "Swarm": {"LocalNodeState": "inactive"},
        }))
        .into_response(),
        "/session" => match door.admits_session(request.headers()) {
            Ok(()) => upgrade(request, move |io, headers| async move {
                let _ = door.session(io, &headers).await;
            }),
            Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        },
        "/grpc" => upgrade(request, move |io, _| async move {
            let _ = door.grpc(io).await;
        }),
        "/build/cancel" => {
            let query = request.uri().query().unwrap_or_default();
            door.cancel(query.strip_prefix("id=").unwrap_or_default());
            StatusCode::OK.into_response()
        }
        "/build" => match door.build(request).await {
            Ok(response) => response.map(axum::body::Body::new),
            Err(report) => refuse(StatusCode::BAD_REQUEST, &report.to_string()),
        },
        _ => refuse(StatusCode::NOT_FOUND, &format!("page not found: {path}")),
    }
}

fn ping() -> impl IntoResponse {
    let headers = [
        ("Api-Version", "1.51"),
        ("Builder-Version", "2"),
        ("Docker-Experimental", "false"),
        ("Ostype", "linux"),
        ("Swarm", "inactive"),
    ];
    (headers, "OK")
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"message": message}))).into_response()
}

fn upgrade<F>(
    mut request: Request,
    serve: impl FnOnce(TokioIo<hyper::upgrade::Upgraded>, hyper::HeaderMap) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send,
{
    let headers = request.headers().clone();
    let Some(protocol) = headers.get(UPGRADE).cloned() else {
        return refuse(StatusCode::BAD_REQUEST, "no upgrade proto in request");
    };
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrading.await {
            serve(TokioIo::new(upgraded), headers).await;
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    response.headers_mut().insert(UPGRADE, protocol);
    response.headers_mut().insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
    response
}

/// Runs commands in an overlay that only the command's own mount namespace sees.
struct Chroot;

impl Runner for Chroot {
    fn run(&self, order: &RunOrder<'_>, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32, Report> {
        let root = order.rootfs.upper.with_file_name("root");
        let failed = |what: &'static str| {
            move |error: std::io::Error| Report::new(Kind::Internal, what).because(error)
        };
        std::fs::create_dir_all(&root).map_err(failed("no place for the overlay"))?;
        let mut script = mounts(order, &root);
        let words: Vec<String> = order.args.iter().map(|word| quote(word)).collect();
        script.push_str(&format!(
            "exec chroot {} /bin/sh -c 'cd \"$0\" && exec \"$@\"' {} {}",
            root.display(),
            quote(&order.cwd),
            words.join(" ")
        ));
        let mut child = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--propagation",
                "private",
                "/bin/sh",
                "-c",
                &script,
            ])
            .env_clear()
            .envs(order.env.iter().filter_map(|pair| pair.split_once('=')))
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed("unshare does not run"))?;
        let code = watch(&mut child, order, output).map_err(failed("the command was lost"));
        let _ = std::fs::remove_dir(&root);
        code
    }
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn mounts(order: &RunOrder<'_>, root: &Path) -> String {
    let lower: Vec<String> = order.rootfs.lower.iter().map(|path| path.display().to_string()).collect();
    let root = root.display();
    let mut script = format!(
        "set -e\nmount -t overlay overlay -o lowerdir={},upperdir={},workdir={} {root}\n",
        lower.join(":"),
        order.rootfs.upper.display(),
        order.rootfs.work.display(),
    );
    for mount in &order.mounts {
        let target = format!("{root}{}", mount.target);
        match &mount.kind {
            RunMountKind::Tmpfs(_) => {
                script.push_str(&format!("mkdir -p {target}\nmount -t tmpfs tmpfs {target}\n"))
            }
            RunMountKind::Bind(path) if path.is_dir() => {
                script.push_str(&format!("mkdir -p {target}\nmount --bind {} {target}\n", path.display()));
            }
            RunMountKind::Bind(path) => script.push_str(&format!(
                "mkdir -p $(dirname {target})\ntouch {target}\nmount --bind {} {target}\n",
                path.display()
            )),
        }
    }
    script
}

/// Passes the output on as it comes, and ends the command if the build is called off.
fn watch(
    child: &mut std::process::Child,
    order: &RunOrder<'_>,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> std::io::Result<i32> {
    use std::io::Read;
    let (sender, receiver) = std::sync::mpsc::channel();
    let pipes: [(Stream, Option<Box<dyn Read + Send>>); 2] = [
        (Stream::Stdout, child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
        (Stream::Stderr, child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
    ];
    for (stream, pipe) in pipes {
        let (sender, Some(mut pipe)) = (sender.clone(), pipe) else { continue };
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                let _ = sender.send((stream, buffer[..length].to_vec()));
            }
        });
    }
    drop(sender);
    loop {
        match receiver.recv_timeout(std::time::Duration::from_millis(100)) {
            Ok((stream, bytes)) => output(stream, &bytes),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if order.cancel.is_cancelled() => child.kill()?,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    child.wait().map(|status| status.code().unwrap_or(137))
}
