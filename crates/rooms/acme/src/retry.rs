//! Orders that came to nothing and are made again at once, as somebody says that what was wrong is set right.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use plan::renewal::{Renewal, TooSoon};

use crate::error::RetryError;
use crate::keeper::{Entry, Keeper, time};

/// Certificates by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retried {
    /// Those that are ordered again.
    pub begun: Vec<Vec<String>>,
    /// Those that are being ordered anyhow, or are next.
    pub under_way: Vec<Vec<String>>,
}

impl Keeper {
    /// Has the certificates of these hosts ordered now, of all where none is named. Nothing is, where one that was named
    /// must not be.
    pub fn retry(&self, hosts: &[String]) -> Result<Retried, RetryError> {
        if !self.inner.settings.agreed {
            return Err(RetryError::NotAgreed);
        }
        let now = self.inner.now();
        let mut entries = self.inner.entries();
        let wanted = |entry: &Entry, host: &String| entry.wanted && entry.record.names.contains(host);
        if let Some(host) = hosts.iter().find(|host| !entries.values().any(|entry| wanted(entry, host))) {
            return Err(RetryError::Unknown { host: host.clone() });
        }
        let meant = |entry: &Entry| match hosts {
            [] => entry.wanted && entry.renewal.failures > 0,
            named => named.iter().any(|host| wanted(entry, host)),
        };
        let held =
            Held { quiet: now < self.inner.quiet_until.load(Ordering::Relaxed), asked: asked(&entries) };
        let (mut retried, mut refused) = (Retried::default(), None);
        for entry in entries.values().filter(|entry| meant(entry)) {
            match what(entry, held, now) {
                Ok(What::Begin) => retried.begun.push(entry.record.names.clone()),
                Ok(What::Wait) => retried.under_way.push(entry.record.names.clone()),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        // One that may not be ordered again keeps nobody else from it who was not named beside it.
        if let Some(error) = refused
            && (!hosts.is_empty() || retried == Retried::default())
        {
            return Err(error);
        }
        for names in &retried.begun {
            if let Some(entry) = entries.get_mut(names) {
                entry.renewal.retry(now);
            }
        }
        drop(entries);
        if !retried.begun.is_empty() {
            self.inner.quiet_until.store(0, Ordering::Relaxed);
            self.inner.hurry.notify_one();
        }
        Ok(retried)
    }
}

/// What holds all orders up.
#[derive(Clone, Copy)]
struct Held {
    /// A failure that has nothing to do with one certificate.
    quiet: bool,
    /// Until when the authority has asked for patience; past where it has not.
    asked: u64,
}

fn asked(entries: &BTreeMap<Vec<String>, Entry>) -> u64 {
    entries.values().map(|entry| entry.renewal.asked_until).max().unwrap_or(0)
}

/// What is to be done about a certificate.
enum What {
    Begin,
    Wait,
}

fn what(entry: &Entry, held: Held, now: u64) -> Result<What, RetryError> {
    let names = || entry.record.names.join(", ");
    let Renewal { failures, life, .. } = entry.renewal;
    match life {
        _ if entry.under_way => return Ok(What::Wait),
        Some(life) if failures == 0 => {
            return Err(RetryError::Good { names: names(), until: time(life.until) });
        }
        None if failures == 0 && !held.quiet => return Ok(What::Wait),
        Some(_) | None => {}
    }
    let may = match held.quiet && now < held.asked {
        true => Err(TooSoon::Asked(held.asked)),
        false => entry.renewal.may_retry(now),
    };
    match may {
        Ok(()) => Ok(What::Begin),
        Err(TooSoon::Asked(until)) => Err(RetryError::Asked { names: names(), again: time(until) }),
        Err(TooSoon::Often(until)) => Err(RetryError::Often { names: names(), again: time(until) }),
    }
}
