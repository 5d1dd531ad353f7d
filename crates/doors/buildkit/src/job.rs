//! Builds under way, by the name that their client gave them.
//!
//! A build's conductor may call before the build itself is here, and may ask for progress a little after its end: both
//! wait, and both find it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Tasks;
use build::Cancel;
use tokio::sync::{oneshot, watch};

use crate::grpc::{Code, Status};
use crate::hub::Hub;
use crate::proto::gateway::ReturnRequest;
use crate::work::Work;

/// So many builds at once, with those that ended just now.
const JOBS: usize = 512;
/// A call waits so long for its build.
const PATIENCE: Duration = Duration::from_secs(6);
/// A build that is over can be asked for its progress so long.
const LINGER: Duration = Duration::from_secs(10);
/// So many results of one build.
const RESULTS: usize = 64;

/// The builds that are under way; clones share them.
#[derive(Clone)]
pub(crate) struct Jobs {
    all: Arc<Mutex<BTreeMap<String, Arc<Job>>>>,
    changed: watch::Sender<()>,
    tasks: Tasks,
}

/// A build.
pub(crate) struct Job {
    /// Its name.
    pub reference: String,
    /// The session of its client.
    pub session: String,
    /// Its progress.
    pub hub: Hub,
    /// Ends it.
    pub cancel: Cancel,
    /// Commands may use the machine's network.
    pub host_network: bool,
    /// Its client wants the image to tell later builds of its steps.
    pub inline_cache: bool,
    results: Mutex<Vec<Arc<Work>>>,
    returned: Mutex<Option<oneshot::Sender<ReturnRequest>>>,
}

/// What a build begins with.
#[derive(Default)]
pub(crate) struct Opening {
    /// The session of its client.
    pub session: String,
    /// Commands may use the machine's network.
    pub host_network: bool,
    /// Its client wants the image to tell later builds of its steps.
    pub inline_cache: bool,
}

/// A build that is under way as long as this lives.
pub(crate) struct Open {
    jobs: Jobs,
    job: Arc<Job>,
}

impl std::ops::Deref for Open {
    type Target = Arc<Job>;
    fn deref(&self) -> &Arc<Job> {
        &self.job
    }
}

impl Drop for Open {
    /// Also reached when the client is gone: what is still done for it ends.
    fn drop(&mut self) {
        self.job.cancel.cancel();
        self.job.hub.end();
        // Who is late may still ask how it went; but what was built is no longer held, and may be removed.
        self.job.lock_results().clear();
        let (jobs, reference) = (self.jobs.clone(), self.job.reference.clone());
        self.jobs.tasks.spawn("forget a build", async move {
            tokio::time::sleep(LINGER).await;
            jobs.lock().remove(&reference);
        });
    }
}

impl Jobs {
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self { all: Arc::default(), changed: watch::Sender::new(()), tasks }
    }

    /// Begins a build. What its conductor returns comes out of the receiver.
    pub(crate) fn open(
        &self,
        reference: &str,
        opening: Opening,
    ) -> Result<(Open, oneshot::Receiver<ReturnRequest>), Status> {
        if reference.is_empty() {
            return Err(Status::new(Code::InvalidArgument, "the build has no name"));
        }
        let (sender, receiver) = oneshot::channel();
        let job = Arc::new(Job {
            reference: reference.to_owned(),
            session: opening.session,
            hub: Hub::new(),
            cancel: Cancel::default(),
            host_network: opening.host_network,
            inline_cache: opening.inline_cache,
            results: Mutex::default(),
            returned: Mutex::new(Some(sender)),
        });
        {
            let mut all = self.lock();
            if all.contains_key(reference) {
                return Err(Status::failed(format!("job ID {reference} exists")));
            }
            if all.len() >= JOBS {
                let message = format!("there are {JOBS} builds, which is the most at once");
                return Err(Status::new(Code::ResourceExhausted, message));
            }
            all.insert(reference.to_owned(), job.clone());
        }
        self.changed.send_replace(());
        Ok((Open { jobs: self.clone(), job }, receiver))
    }

    /// The build, as soon as it is there.
    pub(crate) async fn get(&self, reference: &str) -> Result<Arc<Job>, Status> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                changed.mark_unchanged();
                if let Some(job) = self.lock().get(reference) {
                    return Some(job.clone());
                }
                changed.changed().await.ok()?;
            }
        };
        let none = || Status::new(Code::NotFound, format!("no such job {reference}"));
        tokio::time::timeout(PATIENCE, wait).await.ok().flatten().ok_or_else(none)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Job>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Keeps a result and gives its id.
    pub(crate) fn add(&self, work: Arc<Work>) -> Result<String, Status> {
        let mut results = self.lock_results();
        if results.len() >= RESULTS {
            let message = format!("the build has {RESULTS} results, which is the most");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        results.push(work);
        Ok(format!("{}-{}", self.reference, results.len()))
    }

    /// The result of this id.
    pub(crate) fn result(&self, id: &str) -> Result<Arc<Work>, Status> {
        let number = id.strip_prefix(&self.reference).and_then(|rest| rest.strip_prefix('-'));
        let index =
            number.and_then(|number| number.parse::<usize>().ok()).and_then(|number| number.checked_sub(1));
        let none = || Status::new(Code::NotFound, format!("no such ref: {id}"));
        index.and_then(|index| self.lock_results().get(index).cloned()).ok_or_else(none)
    }

    /// The conductor is done; only its first word counts.
    pub(crate) fn give_back(&self, request: ReturnRequest) {
        let sender = self.returned.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            let _ = sender.send(request);
        }
    }

    fn lock_results(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Work>>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
