//! One RUN, done: its mounts laid out, its command run, its output passed on, its traces taken out.

use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use images::Snapshot;
use oci::Digest;

use crate::dockerfile::{Run, Span};
use crate::error::{BuildError, StepFault, Tail};
use crate::mounts::{MountKind, MountPlan, cache_folder};
use crate::order::{Progress, RunMount, RunMountKind, RunOrder, Stream};
use crate::run::{self, Plan, Stubs};
use crate::source;
use crate::stage::{Did, StageRun};
use crate::tree::{Node, Tree};
use crate::upper::{How, Upper};

/// So much of a step's output is passed on; an endless one must not drown whoever listens.
const MAX_OUTPUT: usize = 2 << 20;
/// The longest piece of output that is passed on at once.
const PIECE: usize = 64 << 10;

impl StageRun<'_> {
    pub(crate) fn run(&mut self, run: &Run, span: Span, step: usize) -> Result<Did, BuildError> {
        let job = self.job;
        let plan = Plan::new(run, &self.settings).map_err(|fault| job.fault(span, fault))?;
        let mut parts = vec![plan.key()];
        for mount in &plan.mounts {
            if let MountKind::Bind { from, source } = &mount.kind {
                parts.push(self.bound_digest(from.as_deref(), source, span)?.to_string());
            }
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let key = job.key(&self.image, "run", &parts);
        let line = plan.line.clone();
        self.layer(&key, line, step, |stage, snapshot| stage.execute(&plan, snapshot, span, step))
    }

    /// What a bind mount shows, for the layer cache.
    fn bound_digest(&self, from: Option<&str>, path: &str, span: Span) -> Result<Digest, BuildError> {
        self.with_bound(from, path, span, |node, _| source::digest(node, How::default()))
    }

    /// Looks a bind mount's source up and does something with it.
    fn with_bound<T>(
        &self,
        from: Option<&str>,
        path: &str,
        span: Span,
        act: impl FnOnce(&Node, &Path) -> std::io::Result<T>,
    ) -> Result<T, BuildError> {
        let job = self.job;
        let other = from.map(|name| self.source(name, span)).transpose()?;
        let tree: &Tree = other.as_ref().unwrap_or(&job.context);
        let place = from.map_or_else(|| "the context".to_owned(), |name| format!("`{name}`"));
        let read = |error| {
            job.fault(span, StepFault::Put(format!("could not read `{path}` in {place}"), Some(error)))
        };
        let found = tree.find(Path::new(path), true).map_err(read)?;
        match &found.node {
            Some(node) => act(node, &found.path).map_err(read),
            None => {
                let (path, place) = (path.to_owned(), place.clone());
                Err(job.fault(span, StepFault::NoSource { path, place }))
            }
        }
    }

    fn execute(&self, plan: &Plan, snapshot: &Snapshot, span: Span, step: usize) -> Result<(), BuildError> {
        let job = self.job;
        let script = plan.script.as_ref().map(|(path, _)| path.as_str());
        let targets = plan.mounts.iter().map(|mount| mount.target.as_str()).chain(script);
        let stubs = Stubs::before(&self.here()?, targets);
        let _turn = self.cache_turn(plan);
        let mounts = self.mounts(plan, span, step)?;
        let order = RunOrder {
            rootfs: snapshot,
            args: plan.args.clone(),
            env: plan.environment(&job.global),
            cwd: plan.folder().to_owned(),
            user: plan.user().to_owned(),
            mounts,
            network: plan.network,
            limits: job.wish.limits,
            cancel: job.wish.cancel.clone(),
        };
        let mut tail = Tail::default();
        let mut left = MAX_OUTPUT;
        let code = job.runner.run(&order, &mut |stream, bytes| {
            tail.push(bytes);
            self.pass_on(stream, bytes, &mut left, (span, step));
        });
        if job.wish.cancel.is_cancelled() {
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
            (self.job.progress)(Progress::Output { step, stream, bytes: piece.to_vec() });
        }
        if *left == 0 {
            let message = "the step's output is longer than 2 MiB; the rest is not shown".to_owned();
            (self.job.progress)(Progress::Warning { line: span.start, message });
        }
    }

    /// Waits until no other build uses the folders of cache mounts, if this step has one.
    fn cache_turn(&self, plan: &Plan) -> Option<MutexGuard<'_, ()>> {
        let shared = |mount: &MountPlan| matches!(mount.kind, MountKind::Cache { private: false, .. });
        let lock = || self.job.builder.caches.lock().unwrap_or_else(PoisonError::into_inner);
        plan.mounts.iter().any(shared).then(lock)
    }

    fn mounts(&self, plan: &Plan, span: Span, step: usize) -> Result<Vec<RunMount>, BuildError> {
        let job = self.job;
        let mut mounts = Vec::new();
        for (index, mount) in plan.mounts.iter().enumerate() {
            let kind = match &mount.kind {
                MountKind::Tmpfs(size) => RunMountKind::Tmpfs(*size),
                MountKind::Cache { id, private, mode, uid, gid } => {
                    let caches = if *private {
                        job.scratch.folder(&format!("cache-{step}-{index}"))?
                    } else {
                        job.builder.cache_dir()
                    };
                    let folder = cache_folder(&caches, id, *mode, (*uid, *gid));
                    RunMountKind::Bind(
                        folder.map_err(|error| BuildError::scratch("create a cache in", &caches, error))?,
                    )
                }
                MountKind::Bind { from, source } => {
                    let folder = job.scratch.folder(&format!("bind-{step}-{index}"))?;
                    RunMountKind::Bind(self.bound(from.as_deref(), source, &folder, span)?)
                }
            };
            mounts.push(RunMount { target: mount.target.clone(), kind, read_only: mount.read_only });
        }
        if let Some((path, text)) = &plan.script {
            let folder = job.scratch.folder(&format!("script-{step}"))?;
            let file = run::write_script(&folder, text)
                .map_err(|error| BuildError::scratch("write", &folder, error))?;
            mounts.push(RunMount { target: path.clone(), kind: RunMountKind::Bind(file), read_only: true });
        }
        Ok(mounts)
    }

    /// A copy of what a bind mount shows: the command may write to it, and nothing that it does there is kept.
    fn bound(
        &self,
        from: Option<&str>,
        path: &str,
        folder: &Path,
        span: Span,
    ) -> Result<PathBuf, BuildError> {
        self.with_bound(from, path, span, |node, _| {
            let upper = Upper::open(folder, &[])?;
            let (into, _) =
                upper.folder(Path::new(""), crate::users::Owner::default()).map_err(std::io::Error::other)?;
            upper.put(node, &into, Path::new("source"), How::default()).map_err(std::io::Error::other)?;
            Ok(folder.join("source"))
        })
    }
}
