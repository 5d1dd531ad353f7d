//! `sea build`, and the building of what `sea up` needs.

use std::io::Write;
use std::path::{Path, PathBuf};

use base::{Kind, Report};
use build::context::{self, Limits};
use build::ignore::Ignore;
use bytes::Bytes;
use hyper::Method;
use spec::{App, Build, PullPolicy};
use talk::{BuildContext, BuildEvent, BuildOrder, ImageView};
use tokio::sync::mpsc;

use crate::args::BuildArgs;
use crate::output::{note, say};
use crate::resolve::escape;
use crate::table::{pairs, short};
use crate::{Done, Session, report};

/// So many pieces of a context wait for the socket.
const WAITING: usize = 16;
/// The bytes of such a piece.
const PIECE: usize = 256 << 10;

impl Session {
    /// `sea build`.
    pub(crate) async fn build(&self, args: BuildArgs) -> Done {
        let Some(context) = &args.context else {
            let converted = self.converted(&[])?;
            self.ensure_daemon().await?;
            self.build_images(&converted.app, true).await?;
            return Ok(0);
        };
        self.ensure_daemon().await?;
        let build = Build {
            context: context.display().to_string(),
            dockerfile: args.dockerfile,
            dockerfile_inline: None,
            args: pairs(&args.build_arg, "--build-arg")?.into_iter().collect(),
            target: args.target,
            labels: pairs(&args.label, "--label")?.into_iter().collect(),
            tags: Vec::new(),
            no_cache: args.no_cache,
        };
        let id = self.build_one(&build, args.tag).await?;
        say(id);
        Ok(0)
    }

    /// Builds the images of an app: all, or only those that are not here.
    pub(crate) async fn build_images(&self, app: &App, all: bool) -> Result<(), Report> {
        let mut done: Vec<(&Build, &str)> = Vec::new();
        for (name, service) in &app.services {
            let Some(build) = &service.build else { continue };
            // Services that share an image share its making.
            if done.contains(&(build, service.image.as_str())) {
                continue;
            }
            done.push((build, &service.image));
            if !all && service.pull_policy != PullPolicy::Build {
                let target = format!("/v1/images/{}", escape(&service.image));
                if self.client.get::<ImageView>(&target).await.is_ok() {
                    continue;
                }
            }
            if !self.quiet() {
                note(format!("building `{}` for {name}", service.image));
            }
            let names = std::iter::once(service.image.clone()).chain(build.tags.iter().cloned()).collect();
            self.build_one(build, names).await?;
        }
        Ok(())
    }

    async fn build_one(&self, build: &Build, names: Vec<String>) -> Result<String, Report> {
        let context = PathBuf::from(&build.context);
        let dockerfile = dockerfile(&context, build)?;
        let ignore = ignore(&context, build.dockerfile.as_deref())?;
        let mut sent = build.clone();
        // The text goes along, so that it may lie outside the context or be ignored in it.
        sent.dockerfile_inline = Some(dockerfile);
        sent.context = String::new();
        let order =
            BuildOrder { build: sent, names, context: BuildContext::Archive, ..BuildOrder::default() };
        self.send_build(&order, vec![Packed { dir: context, ignore }]).await
    }

    /// Sends an order with its archives, and follows the build to its end.
    async fn send_build(&self, order: &BuildOrder, archives: Vec<Packed>) -> Result<String, Report> {
        let order = serde_json::to_vec(order).map_err(|error| {
            Report::new(Kind::Internal, "the order to build cannot be written down").because(error)
        })?;
        let (pipe, pieces) = mpsc::channel(WAITING);
        let packing = tokio::task::spawn_blocking(move || send(&order, &archives, pipe));
        let body = futures_util::stream::unfold(pieces, |mut pieces| async move {
            let piece: std::io::Result<Bytes> = pieces.recv().await?;
            Some((piece, pieces))
        });
        let lines = self.client.upload(Method::POST, "/v1/build", body).await;
        let built = match lines {
            Ok(lines) => self.follow_build(lines).await,
            Err(error) => Err(report(error)),
        };
        // A context that cannot be packed is the better reason.
        match (built, packing.await) {
            (Err(_), Ok(Err(Unsent::Ours(problem)))) => Err(problem),
            (built, _) => built,
        }
    }

    async fn follow_build(&self, mut lines: wire::Lines) -> Result<String, Report> {
        let quiet = self.quiet() || self.json();
        while let Some(line) = lines.next::<BuildEvent>().await.map_err(report)? {
            match line {
                BuildEvent::Step { step, title, files, .. } if !quiet && files => {
                    note(format!("#{step} {title}"))
                }
                BuildEvent::Cached { step } if !quiet => note(format!("#{step} CACHED")),
                BuildEvent::Output { text, .. } if !quiet => {
                    // As it came, with its own ends of lines.
                    let _ = std::io::stderr().write_all(text.as_bytes());
                }
                BuildEvent::Warning { text, .. } => note(format!("warning: {text}")),
                BuildEvent::Built { id, cached, steps } => {
                    if !quiet {
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
}

/// A folder on its way to the daemon.
struct Packed {
    dir: PathBuf,
    ignore: Ignore,
}

/// Why not all was sent.
enum Unsent {
    /// What was to be sent cannot be read.
    Ours(Report),
    /// The daemon takes no more: it says why itself.
    Theirs,
}

fn dockerfile(context: &Path, build: &Build) -> Result<String, Report> {
    if let Some(text) = &build.dockerfile_inline {
        return Ok(text.clone());
    }
    let path = context.join(build.dockerfile.as_deref().unwrap_or("Dockerfile"));
    std::fs::read_to_string(&path).map_err(|error| {
        Report::new(Kind::NotFound, format!("could not read the Dockerfile `{}`", path.display()))
            .because(error)
            .hint("name another with `dockerfile:` in the compose file, or `--dockerfile`")
    })
}

/// The Dockerfile's own `.dockerignore`, else that of the context.
fn ignore(context: &Path, dockerfile: Option<&str>) -> Result<Ignore, Report> {
    let own = format!("{}.dockerignore", dockerfile.unwrap_or("Dockerfile"));
    for name in [own.as_str(), ".dockerignore"] {
        match std::fs::read_to_string(context.join(name)) {
            Ok(text) => return Ignore::parse(&text).map_err(report),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Report::new(Kind::Unavailable, format!("could not read `{name}`")).because(error));
            }
        }
    }
    Ok(Ignore::none())
}

/// Writes the order, then each archive in pieces.
fn send(order: &[u8], archives: &[Packed], pipe: mpsc::Sender<std::io::Result<Bytes>>) -> Result<(), Unsent> {
    let failed = pipe.clone();
    let mut pipe = Pipe(pipe);
    let sent = pipe.piece(order).map_err(|_| Unsent::Theirs);
    let sent = sent.and_then(|()| archives.iter().try_for_each(|one| pipe.archive(one)));
    if sent.is_err() {
        // Tells the daemon that the archive is not whole; it may have gone already.
        let _ = failed.blocking_send(Err(std::io::ErrorKind::BrokenPipe.into()));
    }
    sent
}

/// Hands what is written to a request's body, with its length in front.
struct Pipe(mpsc::Sender<std::io::Result<Bytes>>);

impl Pipe {
    fn piece(&self, bytes: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        let piece = [&length.to_be_bytes()[..], bytes].concat();
        self.0.blocking_send(Ok(piece.into())).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }

    fn archive(&mut self, one: &Packed) -> Result<(), Unsent> {
        let mut out = std::io::BufWriter::with_capacity(PIECE, &mut *self);
        let packed = context::pack(&one.dir, &one.ignore, &mut out, Limits::default());
        match packed {
            Ok(_) => {}
            Err(context::ContextError::Write { .. }) => return Err(Unsent::Theirs),
            Err(error) => return Err(Unsent::Ours(report(error))),
        }
        out.flush().map_err(|_| Unsent::Theirs)?;
        drop(out);
        self.piece(&[]).map_err(|_| Unsent::Theirs)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // An empty piece would end the archive.
        if !bytes.is_empty() {
            self.piece(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
