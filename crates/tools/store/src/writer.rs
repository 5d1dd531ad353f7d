//! The one writer: a thread that takes changes from a bounded queue and commits those that wait together as one.

use std::io;
use std::sync::Arc;
use std::thread;

use base::Clock;
use rusqlite::Connection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{oneshot, watch};

use crate::schema::JOURNAL_LINES;
use crate::{Entry, Source, StoreError, journal};

/// So many changes may wait; more callers wait for a place.
const QUEUE: usize = 256;
/// So many changes share a commit at most, so that the first of them does not wait for ever.
const BATCH: usize = 64;
/// The journal is trimmed after so many new lines.
const TRIM_EVERY: u64 = 4096;

/// A transaction under way.
pub struct Tx<'a> {
    connection: &'a Connection,
    clock: &'a dyn Clock,
}

impl Source for Tx<'_> {
    fn connection(&self) -> &Connection {
        self.connection
    }
}

impl Tx<'_> {
    /// Writes a line of the journal; it is there exactly if the change is.
    pub fn journal(&self, entry: &Entry) -> Result<u64, StoreError> {
        journal::append(self.connection, self.clock.wall(), entry)
    }
}

type Finish = Box<dyn FnOnce(Option<&str>) + Send>;
/// Makes the change, and returns what to call once it is known whether it was committed.
type Work = Box<dyn FnOnce(&Tx<'_>) -> Result<Finish, Finish> + Send>;

/// How much a change must outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlives {
    /// The death of the machine: it is on the disk when the answer comes.
    Machine,
    /// The death of the daemon: the kernel has it, and the next change of the other sort takes it to the disk.
    Daemon,
}

struct Job {
    work: Work,
    outlives: Outlives,
}

pub(crate) struct Writer {
    /// Both are there until the writer is dropped.
    queue: Option<tokio::sync::mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Writer {
    /// Waits until the changes that were taken are on the disk and the file is closed.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the writer was told to everybody who waited for it.
            let _ = thread.join();
        }
    }
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        clock: Arc<dyn Clock>,
        announce: watch::Sender<u64>,
    ) -> io::Result<Self> {
        let (queue, jobs) = tokio::sync::mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("store-writer".into()).spawn(move || {
            Loop { connection, clock, announce, trimmed_at: 0, waits: true }.run(jobs);
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(crate) async fn submit<R: Send + 'static>(
        &self,
        outlives: Outlives,
        change: impl FnOnce(&Tx<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (answer, result) = oneshot::channel();
        let work: Work = Box::new(move |tx| match change(tx) {
            Ok(value) => Ok(Box::new(move |failure| {
                let outcome = match failure {
                    None => Ok(value),
                    Some(why) => Err(StoreError::NotCommitted(why.to_owned())),
                };
                // Whoever asked may have gone; the change stands all the same.
                let _ = answer.send(outcome);
            })),
            Err(error) => Err(Box::new(move |_| {
                let _ = answer.send(Err(error));
            })),
        });
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(Job { work, outlives }).await.map_err(|_| StoreError::Closed)?;
        result.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Writer {
    /// Hands a line of the journal over; nobody hears whether it was written but the log.
    pub(crate) fn tell(&self, entry: Entry) {
        let Some(queue) = &self.queue else { return };
        let work: Work = Box::new(move |tx| {
            let written = tx.journal(&entry).map(drop).map_err(|error| error.to_string());
            let said = move |failure: Option<&str>| {
                if let Some(why) = written.err().as_deref().or(failure) {
                    tracing::warn!("could not write a line of the journal: {why}");
                }
            };
            Ok(Box::new(said))
        });
        let job = Job { work, outlives: Outlives::Daemon };
        let Err(TrySendError::Full(job)) = queue.try_send(job) else { return };
        // Whoever tells must not wait; the line does.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let queue = queue.clone();
                // A writer that has ended writes nothing more.
                runtime.spawn(async move { drop(queue.send(job).await) });
            }
            Err(_) => drop(queue.blocking_send(job)),
        }
    }
}

struct Loop {
    connection: Connection,
    clock: Arc<dyn Clock>,
    announce: watch::Sender<u64>,
    trimmed_at: u64,
    /// Whether commits wait for the disk at present.
    waits: bool,
}

impl Loop {
    fn run(mut self, mut jobs: tokio::sync::mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = jobs.try_recv()
            {
                batch.push(next);
            }
            self.commit(batch);
        }
    }

    /// Sets whether a commit waits for the disk. In the write-ahead log both ways keep the file whole.
    fn wait_for_disk(&mut self, wait: bool) -> Result<(), StoreError> {
        if self.waits != wait {
            self.connection.pragma_update(None, "synchronous", if wait { "FULL" } else { "NORMAL" })?;
            self.waits = wait;
        }
        Ok(())
    }

    /// Each change runs in a savepoint of its own, so one that fails takes no other with it.
    fn commit(&mut self, batch: Vec<Job>) {
        let mut finished = Vec::with_capacity(batch.len());
        let outcome = (|| -> Result<u64, StoreError> {
            self.wait_for_disk(batch.iter().any(|job| job.outlives == Outlives::Machine))?;
            let mut transaction = self.connection.transaction()?;
            for job in batch {
                let savepoint = transaction.savepoint()?;
                let tx = Tx { connection: &savepoint, clock: &*self.clock };
                match (job.work)(&tx) {
                    Ok(finish) => {
                        finished.push(finish);
                        savepoint.commit()?;
                    }
                    // Dropping the savepoint undoes what the change did before it failed.
                    Err(finish) => finished.push(finish),
                }
            }
            let head = journal::head(&transaction)?;
            if head >= self.trimmed_at + TRIM_EVERY {
                journal::trim(&transaction, JOURNAL_LINES)?;
                self.trimmed_at = head;
            }
            base::crash::point("store: about to commit");
            transaction.commit()?;
            base::crash::point("store: committed");
            Ok(head)
        })();
        let failure = outcome.as_ref().err().map(ToString::to_string);
        for finish in finished {
            finish(failure.as_deref());
        }
        if let Ok(head) = outcome {
            self.announce.send_if_modified(|known| std::mem::replace(known, head) != head);
        }
    }
}
