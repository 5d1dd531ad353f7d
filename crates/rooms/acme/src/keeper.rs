//! The loop that has every wanted certificate issued and renewed, one order at a time.
//!
//! It looks at what is wanted, orders what is due, and waits for a nudge, the next due time, or a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, Problem, Report, Rng, Timestamp};
use plan::renewal::{Next, Renewal};
use plan::tls::{Certificate, Issued, PrivateKey};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio::sync::Notify;

use crate::client::{Account, Client, Proof, Way, Wish, leaf};
use crate::error::AcmeError;
use crate::front::{BoxFuture, Front};
use crate::http::Http;
use crate::keys::{pem, sha256};
use crate::settings::Settings;
use crate::store::{Files, Record};

/// A clock may be set, so it is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The year 2255.
const LATEST: u64 = 9_000_000_000;

/// How it stands with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its names.
    pub names: Vec<String>,
    /// What there is.
    pub state: State,
    /// Why the last order came to nothing, and when the next is made.
    pub failed: Option<(String, Timestamp)>,
}

/// What there is of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// None yet: the host shows one of the edge's own authority.
    Missing,
    /// One that is good until then, and is renewed from then on.
    Good {
        /// Its last second.
        until: Timestamp,
        /// When it is renewed.
        due: Timestamp,
    },
}

/// Keeps certificates.
#[derive(Clone)]
pub struct Keeper {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    files: Files,
    front: Arc<dyn Front>,
    clock: Arc<dyn Clock>,
    http: Http,
    entries: Mutex<BTreeMap<Vec<String>, Entry>>,
    /// After a failure that has nothing to do with one certificate the others wait too, until then.
    pub(crate) quiet_until: AtomicU64,
    /// Somebody wants an order to be made again now.
    pub(crate) hurry: Notify,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) renewal: Renewal,
    /// Somebody wants it now.
    pub(crate) wanted: bool,
    /// It is being ordered.
    pub(crate) under_way: bool,
}

impl Entry {
    fn of(record: Record, rng: &mut Rng) -> Self {
        let mut renewal = Renewal::missing();
        if let Some(facts) = leaf(&record.chain) {
            renewal.issued(facts.life, rng);
        }
        renewal.failures = record.failures;
        renewal.pause_until = record.pause_until_secs;
        Self { record, renewal, wanted: false, under_way: false }
    }

    fn next(&self, now: u64) -> Next {
        self.renewal.next(now, self.renewal.life.is_some())
    }

    fn certificate(&self) -> Option<Certificate> {
        let Record { names, chain, key, .. } = &self.record;
        let key = PrivateKey(key.clone());
        (!chain.is_empty()).then(|| Certificate {
            names: names.clone(),
            chain: chain.clone(),
            key,
            fallback: false,
        })
    }
}

impl Keeper {
    /// Reads what there is; its things lie in this folder.
    pub fn open(
        folder: &Path,
        settings: Settings,
        front: Arc<dyn Front>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AcmeError> {
        let files = Files::open(folder)?;
        let mut rng = Rng::from_kernel();
        let records = files.all()?.into_iter();
        let entries = records.map(|record| (record.names.clone(), Entry::of(record, &mut rng))).collect();
        let http = Http::default();
        let entries = Mutex::new(entries);
        let (quiet_until, hurry) = (AtomicU64::new(0), Notify::new());
        let inner = Inner { settings, files, front, clock, http, entries, quiet_until, hurry };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How it stands with what is wanted.
    pub fn status(&self) -> Vec<Status> {
        let of = |entry: &Entry| Status {
            names: entry.record.names.clone(),
            state: entry.renewal.life.map_or(State::Missing, |life| State::Good {
                until: time(life.until),
                due: time(entry.renewal.due()),
            }),
            failed: entry.record.why.clone().map(|why| (why, time(entry.renewal.pause_until))),
        };
        self.inner.entries().values().filter(|entry| entry.wanted).map(of).collect()
    }

    /// Whether an order is under way.
    #[cfg(test)]
    pub(crate) fn is_ordering(&self) -> bool {
        self.inner.entries().values().any(|entry| entry.under_way)
    }

    /// Works until it is dropped.
    pub async fn run(self) {
        let mut rng = Rng::from_kernel();
        loop {
            let changed = self.inner.front.changed();
            let wait = self.inner.round(&mut rng).await;
            tokio::select! {
                () = changed => {}
                () = self.inner.hurry.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

impl Inner {
    pub(crate) fn entries(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.clock.wall().secs()).unwrap_or(0)
    }

    /// One look at everything; gives how long to wait for the next.
    async fn round(&self, rng: &mut Rng) -> Duration {
        let wanted = self.front.wanted().await;
        self.heed(&wanted, rng);
        if wanted.is_empty() && self.entries().is_empty() {
            return LOOK_EVERY;
        }
        if let Err(error) = self.show(&[]).await {
            tracing::warn!("{}", Report::of(&error));
        }
        if !self.settings.agreed {
            self.entries()
                .values_mut()
                .for_each(|entry| entry.record.why = Some(said(&AcmeError::NotAgreed)));
            return LOOK_EVERY;
        }
        for names in &wanted {
            let now = self.now();
            let Some(entry) = self.entries().get(names).cloned() else { continue };
            match entry.next(now) {
                Next::Order if now < self.quiet_until.load(Ordering::Relaxed) => {}
                Next::Order => self.order(entry, rng).await,
                Next::Ask => self.seek_advice(entry, rng).await,
                Next::Wait(_) => {}
            }
        }
        let now = self.now();
        let next = |entry: &Entry| match entry.next(now) {
            Next::Order => self.quiet_until.load(Ordering::Relaxed).max(now + 1),
            Next::Ask => now + 1,
            Next::Wait(until) => until,
        };
        let next = self.entries().values().filter(|entry| entry.wanted).map(next).min();
        let wait = next.map_or(LOOK_EVERY, |next| Duration::from_secs(next.saturating_sub(now)));
        wait.clamp(Duration::from_secs(1), LOOK_EVERY)
    }

    /// Takes in what is wanted, and lets go of what is over and not wanted any more.
    fn heed(&self, wanted: &BTreeSet<Vec<String>>, rng: &mut Rng) {
        let now = self.now();
        let mut entries = self.entries();
        for names in wanted {
            entries.entry(names.clone()).or_insert_with(|| Entry::of(Record::missing(names), rng));
        }
        entries.retain(|names, entry| {
            entry.wanted = wanted.contains(names);
            let stays = entry.wanted || entry.renewal.life.is_some_and(|life| now < life.until);
            if !stays {
                self.files.remove(names);
            }
            stays
        });
    }

    /// Has the front show all certificates and these proofs.
    async fn show(&self, proofs: &[Proof]) -> Result<(), AcmeError> {
        let mut issued = Issued::default();
        {
            let entries = self.entries();
            // For a name in several certificates the one that is wanted as it is comes first.
            let mut all: Vec<&Entry> = entries.values().collect();
            all.sort_by_key(|entry| {
                (!entry.wanted, std::cmp::Reverse(entry.renewal.life.map(|life| life.until)))
            });
            issued.certificates = all.into_iter().filter_map(Entry::certificate).collect();
        }
        for proof in proofs {
            match proof.way {
                Way::Http => {
                    issued.answers.insert(proof.token.clone(), proof.answer.clone());
                }
                Way::Tls => issued.proofs.push(shown_to_authority(proof)?),
            }
        }
        self.front.show(issued).await.map_err(|report| AcmeError::NotShown { why: report.to_string() })
    }

    /// Orders one certificate, and notes what came of it.
    async fn order(&self, entry: Entry, rng: &mut Rng) {
        let names = entry.record.names.clone();
        if let Some(entry) = self.entries().get_mut(&names) {
            entry.under_way = true;
        }
        let shown = names.join(", ");
        let failed = match self.obtain(&entry).await {
            Ok((record, renewal)) => {
                tracing::info!("the certificate for {shown} was issued");
                self.entries()
                    .insert(names.clone(), Entry { record, renewal, wanted: true, under_way: false });
                base::crash::point("acme: certificate kept");
                None
            }
            Err(error) => Some(error),
        };
        // The proofs go, and what was issued is shown.
        if let Err(error) = self.show(&[]).await {
            tracing::warn!("{}", Report::of(&error));
        }
        let Some(error) = failed else { return };
        let Entry { mut record, mut renewal, .. } = entry;
        let again = renewal.failed(self.now(), error.patience(), rng);
        if error.is_general() {
            self.quiet_until.store(again, Ordering::Relaxed);
        }
        let why = said(&error);
        // What needs a person is told each time, which is seldom.
        tracing::warn!("no certificate for {shown}: {why}; the next try is in {} s", again - self.now());
        record.why = Some(why);
        // What the authority has counted holds for the next daemon too.
        if error.is_counted() {
            (record.failures, record.pause_until_secs) = (renewal.failures, renewal.pause_until);
            if let Err(error) = self.files.put(&record) {
                tracing::warn!("{}", Report::of(&error));
            }
        }
        self.entries().insert(names, Entry { record, renewal, wanted: true, under_way: false });
    }

    /// A certificate that was issued and is kept.
    async fn obtain(&self, entry: &Entry) -> Result<(Record, Renewal), AcmeError> {
        let directory = &self.settings.directory;
        let mut account = self.files.account(directory)?;
        let mut client = Client::open(&self.http, &*self.clock, &self.settings).await?;
        let was_known = account.kid.is_some();
        self.enrol(&mut client, &mut account).await?;
        let id = leaf(&entry.record.chain).and_then(|facts| facts.id);
        // Who cannot be reached in one way may be in the other.
        let way = if entry.renewal.failures.is_multiple_of(2) { Way::Http } else { Way::Tls };
        let wish = Wish { names: &entry.record.names, way, replaces: id.as_deref() };
        let show = |proofs: Vec<Proof>| -> BoxFuture<'_, Result<(), AcmeError>> {
            Box::pin(async move {
                self.show(&proofs).await?;
                base::crash::point("acme: proofs shown");
                Ok(())
            })
        };
        let granted = match client.order(&account, &wish, &show).await {
            // An authority of one's own may have been set up anew.
            Err(AcmeError::Refused { kind, .. }) if kind == "accountDoesNotExist" && was_known => {
                account.kid = None;
                self.enrol(&mut client, &mut account).await?;
                client.order(&account, &wish, &show).await?
            }
            other => other?,
        };
        let record =
            Record { chain: granted.chain, key: granted.key, ..Record::missing(&entry.record.names) };
        self.files.put(&record)?;
        let renewal = Entry::of(record.clone(), &mut Rng::from_kernel()).renewal;
        Ok((record, renewal))
    }

    async fn enrol(&self, client: &mut Client<'_>, account: &mut Account) -> Result<(), AcmeError> {
        let known = account.kid.clone();
        client.enrol(account).await?;
        if account.kid != known {
            self.files.note_account(&self.settings.directory, account.kid.as_deref())?;
        }
        Ok(())
    }

    /// Asks when a certificate is to be renewed. That it says nothing is no failure: then its life decides.
    async fn seek_advice(&self, entry: Entry, rng: &mut Rng) {
        let asked = async {
            let client = Client::open(&self.http, &*self.clock, &self.settings).await?;
            let id = leaf(&entry.record.chain).and_then(|facts| facts.id);
            match id.filter(|_| client.advises()) {
                Some(id) => client.advice(&id).await.map(Some),
                None => Ok(None),
            }
        };
        let told = asked.await.unwrap_or_else(|error: AcmeError| {
            tracing::debug!("{}", Report::of(&error));
            None
        });
        let (window, again) = told.map_or((None, None), |(window, again)| (Some(window), again));
        if let Some(entry) = self.entries().get_mut(&entry.record.names) {
            entry.renewal.advised(window, again, u64::try_from(self.clock.wall().secs()).unwrap_or(0), rng);
        }
    }
}

/// Certificates without an end say the year 9999, which is later than times can be told.
pub(crate) fn time(secs: u64) -> Timestamp {
    Timestamp::from_secs(i64::try_from(secs.min(LATEST)).unwrap_or(0))
}

/// A sentence with its cause and its hint.
fn said(error: &AcmeError) -> String {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{error}{cause}{hint}")
}

/// The certificate that an authority is to see (RFC 8737, section 3).
fn shown_to_authority(proof: &Proof) -> Result<Certificate, AcmeError> {
    let key = KeyPair::generate().map_err(|_| AcmeError::NoKey)?;
    let mut params = CertificateParams::new(vec![proof.host.clone()]).map_err(|_| AcmeError::NoKey)?;
    params.distinguished_name = DistinguishedName::new();
    let digest = sha256(proof.answer.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
    let made = params.self_signed(&key).map_err(|_| AcmeError::NoKey)?;
    Ok(Certificate {
        names: vec![proof.host.clone()],
        chain: pem("CERTIFICATE", made.der()),
        key: PrivateKey(pem("PRIVATE KEY", &key.serialize_der())),
        fallback: false,
    })
}
