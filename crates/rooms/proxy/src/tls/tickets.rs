//! Keys of session tickets, which change every six hours and can be handed to the edge that comes after.
//!
//! A ticket is the name of its key, a nonce, and the session under AES-256-GCM, with the name authenticated too. The
//! nonce is drawn for each ticket, which is safe for some 2^32 of them a key: 200,000 a second until it changes.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base::{Clock, SystemClock};
use rustls::server::ProducesTickets;

use crate::handover::TicketKey;

/// How long a key makes tickets; it reads them for as long again.
const KEY_SECS: u64 = 6 * 3600;
/// Name and nonce.
const HEAD_BYTES: usize = 16 + NONCE_LEN;

/// The keys of one kind of clients, for all threads.
pub(super) struct Tickets {
    /// From the newest to the oldest.
    keys: Mutex<Vec<Key>>,
}

struct Key {
    plain: TicketKey,
    ready: RandomizedNonceKey,
}

impl Key {
    fn of(plain: TicketKey) -> Result<Self, String> {
        let ready =
            RandomizedNonceKey::new(&AES_256_GCM, &plain.secret).map_err(|error| error.to_string())?;
        Ok(Self { plain, ready })
    }

    fn fresh(now_secs: u64) -> Result<Self, String> {
        Self::of(TicketKey { name: base::kernel_bytes(), secret: base::kernel_bytes(), made_secs: now_secs })
    }

    fn is_younger(&self, secs: u64, now_secs: u64) -> bool {
        now_secs.saturating_sub(self.plain.made_secs) < secs
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(…)")
    }
}

impl Tickets {
    /// With the keys of the edge before, or a new one.
    pub(super) fn new(before: Vec<TicketKey>) -> Result<Self, String> {
        let mut keys = before.into_iter().map(Key::of).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            keys.push(Key::fresh(now_secs())?);
        }
        Ok(Self { keys: Mutex::new(keys) })
    }

    /// The keys as they are now.
    pub(super) fn keys(&self) -> Vec<TicketKey> {
        self.with_keys(now_secs(), |keys| Some(keys.iter().map(|key| key.plain.clone()).collect()))
            .unwrap_or_default()
    }

    /// The keys, changed if it is time; the first is for new tickets.
    fn with_keys<T>(&self, now_secs: u64, work: impl FnOnce(&[Key]) -> Option<T>) -> Option<T> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|key| key.is_younger(2 * KEY_SECS, now_secs));
        if !keys.first().is_some_and(|key| key.is_younger(KEY_SECS, now_secs)) {
            keys.insert(0, Key::fresh(now_secs).ok()?);
        }
        work(&keys)
    }

    fn seal(&self, plain: &[u8], now_secs: u64) -> Option<Vec<u8>> {
        self.with_keys(now_secs, |keys| {
            let key = keys.first()?;
            let name = key.plain.name;
            let mut sealed = plain.to_vec();
            let nonce = key.ready.seal_in_place_append_tag(Aad::from(name), &mut sealed).ok()?;
            let mut ticket = Vec::with_capacity(HEAD_BYTES + sealed.len());
            ticket.extend_from_slice(&name);
            ticket.extend_from_slice(nonce.as_ref());
            ticket.extend_from_slice(&sealed);
            Some(ticket)
        })
    }

    fn unseal(&self, ticket: &[u8], now_secs: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<16>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        self.with_keys(now_secs, |keys| {
            let key = keys.iter().find(|key| key.plain.name == *name)?;
            let mut sealed = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let plain = key.ready.open_in_place(nonce, Aad::from(*name), &mut sealed).ok()?;
            Some(plain.to_vec())
        })
    }
}

fn now_secs() -> u64 {
    u64::try_from(SystemClock.wall().secs()).unwrap_or(0)
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        2 * KEY_SECS as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now_secs())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.unseal(ticket, now_secs())
    }
}

#[cfg(test)]
mod tests;
