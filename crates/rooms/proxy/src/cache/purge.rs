//! Kept answers that are thrown away because somebody says so.
//!
//! All variants of an address go at once: they are under the keys of one target. What is being fetched at that moment may be
//! as old as what is thrown away, so it is neither kept nor given to requests that come later, whatever its target is; who
//! has waited for it gets it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::wanted::Parts;
use super::{Cache, Item};
use crate::table::PoolSpec;

/// What is to be thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purge {
    /// What is kept for one address, or for all that begin so.
    Address(Address),
    /// All that a service keeps, or all services of an app.
    Owner(String),
}

/// An address as clients write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Over HTTPS, or not; either if it is not said.
    pub secure: Option<bool>,
    /// The host, with a port if only that port is meant.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// All that begin like `target` are meant.
    pub prefix: bool,
}

/// What a service that keeps answers has thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// As in `shop/web`.
    pub service: String,
    /// How many answers.
    pub answers: u64,
}

impl Purge {
    /// The pools whose caches are to be looked through.
    fn means(&self, pool: &PoolSpec) -> bool {
        match self {
            Self::Address(_) => true,
            Self::Owner(name) => pool.key.0 == *name || pool.service == *name,
        }
    }

    fn fits(&self, parts: &Parts<'_>) -> bool {
        match self {
            Self::Address(address) => address.fits(parts),
            Self::Owner(_) => true,
        }
    }
}

impl Address {
    fn fits(&self, parts: &Parts<'_>) -> bool {
        let host = if parts.behind.is_empty() { parts.host } else { parts.behind };
        self.secure.is_none_or(|secure| secure == parts.secure)
            && (self.is(host) || self.is(without_port(host)))
            && match self.prefix {
                true => parts.target.starts_with(self.target.as_bytes()),
                false => parts.target == self.target.as_bytes(),
            }
    }

    fn is(&self, host: &[u8]) -> bool {
        self.host.as_bytes().eq_ignore_ascii_case(host)
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    let name = memchr::memrchr(b']', host).map_or(0, |at| at + 1);
    memchr::memchr(b':', &host[name..]).map_or(host, |at| &host[..name + at])
}

/// Throws it away in all pools that are meant; gives a line for each of their services that keeps answers.
pub(crate) fn purge(pools: &[PoolSpec], which: &Purge) -> Vec<Purged> {
    let mut all: Vec<Purged> = Vec::new();
    for pool in pools.iter().filter(|pool| which.means(pool)) {
        let Some(cache) = &pool.cache else { continue };
        let answers = cache.purge(which);
        match all.iter_mut().find(|one| one.service == pool.service) {
            Some(one) => one.answers += answers,
            None => all.push(Purged { service: pool.service.clone(), answers }),
        }
    }
    all
}

impl Cache {
    /// Throws away what is meant; says how many answers that were.
    fn purge(&self, which: &Purge) -> u64 {
        let mut locked = self.locked();
        let inner = &mut *locked;
        inner.purges += 1;
        inner.under_way.values_mut().for_each(|(_, invalid)| *invalid += 1);
        let mut numbers: HashMap<Vec<u8>, u64> = HashMap::new();
        for (key, item) in inner.store.iter() {
            if let Item::Names(_, number) = item
                && Parts::of(key).is_some_and(|parts| which.fits(&parts))
            {
                numbers.insert(key.to_vec(), *number);
            }
        }
        let mut answers = 0;
        inner.store.remove_where(|key, item| {
            let Some(parts) = Parts::of(key).filter(|parts| which.fits(parts)) else { return false };
            let (target, variant) = key.split_at(parts.end);
            // Variants whose target was made invalid before are found by nobody, and do not count.
            let is_found = match numbers.get(target) {
                Some(number) => variant.starts_with(&number.to_be_bytes()),
                None => variant.is_empty(),
            };
            answers += u64::from(is_found && matches!(item, Item::Answer(..)));
            true
        });
        self.counts.purged.fetch_add(answers, Ordering::Relaxed);
        answers
    }
}

#[cfg(test)]
mod tests;
