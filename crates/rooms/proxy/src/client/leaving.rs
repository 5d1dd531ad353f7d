//! Edges that another has replaced and that are not done: what they still do counts, and what is wanted is told to them.
//!
//! Such an edge may get another request on each connection that it has, so a table is in force only when it goes by it
//! too. One that cannot be told gives up its connections that rest, and one that does not answer is ended.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use base::ContainerId;
use plan::traffic::{Answered, TrafficSeen};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;

use super::process::{self, Found, Life};
use crate::limits::LEAVING_KEPT;
use crate::protocol::{self, LEAVING_FOLDER, Reply, Request, VERSION};
use crate::table::Document;

/// How long such an edge may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Instances whose requests are remembered of edges that are gone.
const SETTLED: usize = 4096;

/// What instances answered, by instance.
pub(super) type Sums = BTreeMap<ContainerId, Answered>;

/// One edge that has left.
pub(super) struct Leaving {
    pub(super) id: u64,
    /// None when it does not answer any more.
    connection: Option<UnixStream>,
    /// It reads our documents.
    knows_us: bool,
    document: Document,
    /// As of the last look.
    answered: Sums,
}

/// All of them, from the first that left to the last, and what those did that are gone.
#[derive(Default)]
pub(super) struct AllLeaving {
    pub(super) list: Vec<Leaving>,
    settled: Sums,
    last: u64,
}

impl AllLeaving {
    /// One more, which goes by this document. Of too many, the oldest are told to end. Gives its number.
    pub(super) async fn add(&mut self, connection: UnixStream, version: u32, document: Document) -> u64 {
        self.last += 1;
        let connection = Some(connection);
        let knows_us = version == VERSION;
        self.list.push(Leaving { id: self.last, connection, knows_us, document, answered: Sums::new() });
        let surplus = self.list.len().saturating_sub(LEAVING_KEPT);
        for oldest in &mut self.list[..surplus] {
            oldest.ask(&Request::Stop).await;
        }
        self.last
    }

    /// One has ended, with these last words if it had any.
    pub(super) fn remove(&mut self, id: u64, last_words: Option<TrafficSeen>) {
        if let Some(at) = self.list.iter().position(|leaving| leaving.id == id) {
            let gone = self.list.remove(at);
            self.settle(&last_words.map_or(gone.answered, |seen| seen.answered));
        }
    }

    /// Counts what an edge did that is gone.
    pub(super) fn settle(&mut self, answered: &Sums) {
        add(&mut self.settled, answered);
        while self.settled.len() > SETTLED {
            self.settled.pop_first();
        }
    }

    /// Makes sure that all go by this document, or send nothing new where they cannot.
    pub(super) async fn put(&mut self, document: &Document) {
        for leaving in &mut self.list {
            if leaving.document != *document {
                leaving.put(document).await;
            }
        }
    }

    /// What they go by, as far as is known.
    pub(super) fn documents(&self) -> impl Iterator<Item = &Document> {
        self.list.iter().map(|leaving| &leaving.document)
    }

    /// Adds what these do and did.
    pub(super) async fn add_to(&mut self, seen: &mut TrafficSeen) {
        add(&mut seen.answered, &self.settled);
        for leaving in &mut self.list {
            if let Some(Reply::Seen { seen: theirs }) = leaving.ask(&Request::Look).await {
                for (instance, count) in theirs.in_flight {
                    *seen.in_flight.entry(instance).or_default() += count;
                }
                leaving.answered = theirs.answered;
                if leaving.knows_us {
                    seen.sending.extend(theirs.sending);
                }
            }
            add(&mut seen.answered, &leaving.answered);
        }
        seen.sending.sort();
        seen.sending.dedup();
    }

    /// Has those that know how throw kept answers away; the others give none but to who is just asking.
    pub(super) async fn purge(&mut self, request: &Request) {
        for leaving in self.list.iter_mut().filter(|leaving| leaving.knows_us) {
            leaving.ask(request).await;
        }
    }

    /// Tells all to end.
    pub(super) async fn stop(&mut self) {
        for leaving in &mut self.list {
            leaving.ask(&Request::Stop).await;
        }
    }
}

impl Leaving {
    async fn put(&mut self, document: &Document) {
        let request =
            if self.knows_us { Request::Apply { document: document.clone() } } else { Request::Finish };
        match self.ask(&request).await {
            Some(Reply::InForce { .. } | Reply::Done) => self.document = document.clone(),
            // It may go by routes of old; what it has under way ends all the same.
            Some(_) => {
                self.ask(&Request::Finish).await;
            }
            None => {}
        }
    }

    /// One request and its answer. Without an answer it is over: what does not answer may do anything.
    async fn ask(&mut self, request: &Request) -> Option<Reply> {
        let connection = self.connection.as_mut()?;
        let talk = async {
            protocol::write(connection, request).await?;
            protocol::read(connection).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        let reply = tokio::time::timeout(ANSWER, talk).await;
        let silent = reply.is_err();
        let reply: Option<Reply> = reply.ok().and_then(io::Result::ok);
        if reply.is_none() {
            let pid = connection.peer_cred().ok().and_then(|cred| cred.pid()).and_then(Pid::from_raw);
            self.connection = None;
            if silent && let Some(pid) = pid {
                tracing::warn!("an edge that was replaced does not answer; it is ended");
                // The connection is open, so the number is still that process's.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        reply
    }
}

fn add(sums: &mut Sums, more: &Sums) {
    for (instance, answered) in more {
        let sum = sums.entry(instance.clone()).or_default();
        sum.good += answered.good;
        sum.failed += answered.failed;
        sum.lost += answered.lost;
    }
}

/// The edges of this root that have left, from the first to the last.
pub(super) async fn find(folder: &Path) -> Vec<(Found, Life)> {
    let folder = folder.join(LEAVING_FOLDER);
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.ends_with(".sock"));
    names.sort();
    let mut all = Vec::new();
    for name in names {
        match process::meet(&folder, &name).await {
            Ok(met) => all.push(met),
            // Nobody listens there any more.
            Err(_) => {
                let _ = fs::remove_file(folder.join(&name));
            }
        }
    }
    all
}
