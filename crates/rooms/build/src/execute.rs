//! One RUN, done: its mounts laid out, its command run, its output passed on, its traces taken out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLockReadGuard};

use images::Snapshot;

use crate::board::Turn;
use crate::dockerfile::{Run, Span};
use crate::error::{BuildError, StepFault, Tail};
use crate::mounts::{CachePlan, MountKind, MountPlan, Sharing, cache_folder};
use crate::private::{Agent, Private};
use crate::progress::Progress;
use crate::run::{self, Plan, Stubs};
use crate::runner::{RunMount, RunMountKind, RunOrder, Stream};
use crate::source;
use crate::stage::{Did, Place, StageRun};
use crate::tree::Node;
use crate::upper::{How, Upper};

/// So much of a step's output is passed on; an endless one must not drown whoever listens.
const MAX_OUTPUT: usize = 2 << 20;
/// The longest piece of output that is passed on at once.
const PIECE: usize = 64 << 10;
/// So many folders a private cache can have: more steps at once get empty ones that are not kept.
const MAX_PRIVATE: usize = 64;

/// What a command has for itself while it runs; it goes with the command.
#[derive(Default)]
struct Given<'a> {
    mounts: Vec<RunMount>,
    /// Variables that are secrets.
    env: Vec<String>,
    agents: Vec<Agent>,
    private: Option<Private>,
    turns: Vec<Turn<'a>>,
}

impl StageRun<'_> {
    pub(crate) fn run(&mut self, run: &Run, span: Span, step: usize) -> Result<Did, BuildError> {
        let job = self.job;
        let plan =
            Plan::new(run, &self.settings, &job.wish.run.network).map_err(|fault| job.fault(span, fault))?;
        let mut parts = vec![plan.key()];
        for mount in &plan.mounts {
            if let MountKind::Bind { from, source } = &mount.kind {
                let place = self.place(from.as_deref(), span, step)?;
                let digest = |node: &Node, _: &Path| source::digest(node, How::default());
                parts.push(self.with_bound(&place, (from.as_deref(), source), span, digest)?.to_string());
            }
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let key = job.key(&self.image, "run", &parts);
        let line = plan.line.clone();
        self.layer(&key, line, step, |stage, snapshot| stage.execute(&plan, snapshot, span, step))
    }

    /// Looks a bind mount's source up and does something with it.
    fn with_bound<T>(
        &self,
        place: &Place<'_>,
        (from, path): (Option<&str>, &str),
        span: Span,
        act: impl FnOnce(&Node, &Path) -> io::Result<T>,
    ) -> Result<T, BuildError> {
        let job = self.job;
        let called = from.map_or_else(|| "the context".to_owned(), |name| format!("`{name}`"));
        let read = |error| {
            job.fault(span, StepFault::Put(format!("could not read `{path}` in {called}"), Some(error)))
        };
        let found = place.tree().find(Path::new(path), true).map_err(read)?;
        match &found.node {
            Some(node) => act(node, &found.path).map_err(read),
            None => {
                let (path, place) = (path.to_owned(), called.clone());
                Err(job.fault(span, StepFault::NoSource { path, place }))
            }
        }
    }

    fn execute(&self, plan: &Plan, snapshot: &Snapshot, span: Span, step: usize) -> Result<(), BuildError> {
        let job = self.job;
        let script = plan.script.as_ref().map(|(path, _)| path.as_str());
        let targets = plan.mounts.iter().map(|mount| mount.target.as_str()).chain(script);
        let targets = targets.filter(|target| !target.is_empty());
        let stubs = Stubs::before(&self.here()?, targets);
        let _caches = self.caches_stay(plan);
        let mut given = self.give(plan, span, step)?;
        let mut env = plan.environment(&job.global);
        env.append(&mut given.env);
        let order = RunOrder {
            build: &job.scratch.key,
            rootfs: snapshot,
            args: plan.args.clone(),
            env,
            cwd: plan.folder().to_owned(),
            user: plan.user().to_owned(),
            mounts: std::mem::take(&mut given.mounts),
            network: plan.network.clone(),
            limits: job.wish.run.limits,
            shm_size: job.wish.run.shm_size,
            ulimits: &job.wish.run.ulimits,
            hosts: &job.wish.run.hosts,
            cancel: job.stop.clone(),
        };
        let mut tail = Tail::default();
        let mut left = MAX_OUTPUT;
        let code = job.runner.run(&order, &mut |stream, bytes| {
            tail.push(bytes);
            self.pass_on(stream, bytes, &mut left, (span, step));
        });
        if job.stop.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        match code {
            Err(report) => Err(job.fault(span, StepFault::Run(report))),
            Ok(0) => stubs
                .clean(&snapshot.upper)
                .map_err(|error| BuildError::scratch("clean", &snapshot.upper, error)),
            Ok(code) => Err(job.fault(span, StepFault::Exit { code, output: tail })),
        }
    }

    fn pass_on(&self, stream: Stream, bytes: &[u8], left: &mut usize, (span, step): (Span, usize)) {
        if *left == 0 {
            return;
        }
        let shown = &bytes[..bytes.len().min(*left)];
        *left -= shown.len();
        for piece in shown.chunks(PIECE) {
            self.job.teller.tell(Progress::Output { step, stream, bytes: piece.to_vec() });
        }
        if *left == 0 {
            let message = "the step's output is longer than 2 MiB; the rest is not shown".to_owned();
            self.job.teller.warn(span.start, message);
        }
    }

    /// Keeps the folders of caches from being removed, if this step has one.
    fn caches_stay(&self, plan: &Plan) -> Option<RwLockReadGuard<'_, ()>> {
        let cached = plan.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Cache(_)));
        cached.then(|| self.job.builder.caches.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lays out all that the command sees besides its root.
    fn give(&self, plan: &Plan, span: Span, step: usize) -> Result<Given<'_>, BuildError> {
        let mut given = Given::default();
        // Whoever wants several locked caches takes them in one order, so that nobody waits in a ring.
        let mut locked: Vec<&str> = plan.mounts.iter().filter_map(locked_cache).collect();
        locked.sort_unstable();
        locked.dedup();
        for id in locked {
            given.turns.push(self.job.builder.turns.take(&format!("cache {id}"), &self.job.stop)?);
        }
        for (index, mount) in plan.mounts.iter().enumerate() {
            self.give_one(mount, &mut given, span, (step, index))?;
        }
        if let Some((path, text)) = &plan.script {
            let folder = self.job.scratch.folder(&format!("script-{step}"))?;
            let file = run::write_script(&folder, text)
                .map_err(|error| BuildError::scratch("write", &folder, error))?;
            let kind = RunMountKind::Bind(file);
            given.mounts.push(RunMount { target: path.clone(), kind, read_only: true });
        }
        Ok(given)
    }

    fn give_one<'s>(
        &'s self,
        mount: &MountPlan,
        given: &mut Given<'s>,
        span: Span,
        (step, index): (usize, usize),
    ) -> Result<(), BuildError> {
        let job = self.job;
        let kind = match &mount.kind {
            MountKind::Tmpfs(size) => RunMountKind::Tmpfs(*size),
            MountKind::Cache(cache) => RunMountKind::Bind(self.cache(cache, given, span, (step, index))?),
            MountKind::Bind { from, source } => {
                let place = self.place(from.as_deref(), span, step)?;
                RunMountKind::Bind(self.bound(
                    &place,
                    (from.as_deref(), source),
                    mount,
                    span,
                    (step, index),
                )?)
            }
            MountKind::Secret { id, env, required, access } => {
                let secret = job.wish.secrets.secret(id);
                let Some(secret) = secret.map_err(|report| job.fault(span, StepFault::Run(report)))? else {
                    let missing = StepFault::NotGiven { what: "secret", id: id.clone() };
                    return if *required { Err(job.fault(span, missing)) } else { Ok(()) };
                };
                if let Some(name) = env {
                    given.env.push(format!("{name}={}", String::from_utf8_lossy(&secret.0)));
                }
                if mount.target.is_empty() {
                    return Ok(());
                }
                let private = self.private(given)?;
                let file = private.file(&format!("secret-{index}"), &secret.0, *access);
                RunMountKind::Bind(
                    file.map_err(|error| BuildError::scratch("write a secret in", private.path(), error))?,
                )
            }
            MountKind::Ssh { id, required, access } => {
                if !job.wish.agents.has(id) {
                    let missing = StepFault::NotGiven { what: "ssh agent", id: id.clone() };
                    return if *required { Err(job.fault(span, missing)) } else { Ok(()) };
                }
                if given.agents.is_empty() {
                    given.env.push(format!("SSH_AUTH_SOCK={}", mount.target));
                }
                let private = self.private(given)?;
                let path = private.path().join(format!("agent-{index}"));
                let agent = Agent::listen(&path, id, &job.wish.agents, *access);
                given.agents.push(agent.map_err(|error| BuildError::scratch("listen at", &path, error))?);
                RunMountKind::Bind(path)
            }
        };
        given.mounts.push(RunMount { target: mount.target.clone(), kind, read_only: mount.read_only });
        Ok(())
    }

    /// The folder of this command's secrets.
    fn private<'g>(&self, given: &'g mut Given<'_>) -> Result<&'g Private, BuildError> {
        let private = match given.private.take() {
            Some(private) => private,
            None => {
                let parent = self.job.scratch.unwritten();
                Private::new(parent)
                    .map_err(|error| BuildError::scratch("make a folder in", parent, error))?
            }
        };
        Ok(given.private.insert(private))
    }

    /// The folder of a cache mount.
    fn cache<'s>(
        &'s self,
        cache: &CachePlan,
        given: &mut Given<'s>,
        span: Span,
        (step, index): (usize, usize),
    ) -> Result<PathBuf, BuildError> {
        let job = self.job;
        let mut caches = job.builder.cache_dir();
        let mut id = cache.id.clone();
        if cache.sharing == Sharing::Private {
            // The first that nobody uses.
            let free = (0..MAX_PRIVATE).find_map(|number| {
                let name = if number == 0 { id.clone() } else { format!("{id}#{number}") };
                Some((job.builder.turns.try_take(&format!("cache {name}"))?, name))
            });
            match free {
                Some((turn, name)) => {
                    given.turns.push(turn);
                    id = name;
                }
                None => caches = job.scratch.folder(&format!("cache-{step}-{index}"))?,
            }
        }
        // Two that make it at the same time must not both fill it.
        let _making = job.builder.turns.take(&format!("making {id}"), &job.stop)?;
        let folder = cache_folder(&caches, &id, cache.access);
        let (folder, new) =
            folder.map_err(|error| BuildError::scratch("create a cache in", &caches, error))?;
        if let (Some((from, source)), true) = (&cache.from, new) {
            let place = self.place(Some(from), span, step)?;
            self.with_bound(&place, (Some(from), source), span, |node, _| {
                let upper = Upper::open(&folder, &[])?;
                let Node::Folder(inside, _) = node else {
                    return Err(io::Error::other("it is no folder"));
                };
                let (into, real) =
                    upper.folder(Path::new(""), Default::default()).map_err(io::Error::other)?;
                upper.put_all(inside, &into, &real, Path::new(""), How::default()).map_err(io::Error::other)
            })?;
        }
        Ok(folder)
    }

    /// What a bind mount shows: the folder itself where nothing can be written to it, else a copy, since nothing that
    /// the command writes there is kept.
    fn bound(
        &self,
        place: &Place<'_>,
        what: (Option<&str>, &str),
        mount: &MountPlan,
        span: Span,
        (step, index): (usize, usize),
    ) -> Result<PathBuf, BuildError> {
        if let Some(dir) = place.dir().filter(|_| mount.read_only) {
            return self.with_bound(place, what, span, |_, path| Ok(dir.join(path)));
        }
        let folder = self.job.scratch.folder(&format!("bind-{step}-{index}"))?;
        self.with_bound(place, what, span, |node, _| {
            let upper = Upper::open(&folder, &[])?;
            let (into, _) = upper.folder(Path::new(""), Default::default()).map_err(io::Error::other)?;
            upper.put(node, &into, Path::new("source"), How::default()).map_err(io::Error::other)?;
            Ok(folder.join("source"))
        })
    }
}

fn locked_cache(mount: &MountPlan) -> Option<&str> {
    match &mount.kind {
        MountKind::Cache(CachePlan { id, sharing: Sharing::Locked, .. }) => Some(id),
        _ => None,
    }
}
