//! Names and passwords: who is on a list of users.
//!
//! A hash is made to be dear, so it is checked on a thread of its own, one at a time for a list, and what was found right
//! is known again by a digest under a secret of this process. A list that stays the same in a new table keeps what it
//! knows; one that changes has forgotten everybody at once.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use spec::Blob;
use tokio::sync::Semaphore;

use crate::head::Field;
use crate::places::Places;
use crate::refusal::Refusal;
use crate::watch::Holder;

/// Right names and passwords that a list knows again.
const KNOWN: usize = 1024;
/// Requests that wait for their passwords to be checked, for a list; at usual costs that is some seconds.
const WAITING: usize = 64;
/// The longest name and password together; bcrypt itself looks at 72 bytes of a password.
const CREDENTIALS_BYTES: usize = 1024;

type Digest = [u8; 32];

/// A list of users.
pub(crate) struct Users {
    source: Blob,
    list: Vec<(Box<[u8]>, Box<str>)>,
    key: hmac::Key,
    known: Mutex<Known>,
    pub(super) checking: Arc<Semaphore>,
    waiting: Mutex<Places>,
}

#[derive(Default)]
struct Known {
    all: HashSet<Digest>,
    /// From the oldest to the newest.
    order: VecDeque<Digest>,
}

/// What is shown by a request that names somebody who is not known yet.
pub(crate) struct Check {
    users: Arc<Users>,
    credentials: Vec<u8>,
    digest: Digest,
    client: Holder,
}

/// What a request says of who it is.
pub(crate) enum Claim {
    /// Somebody who is known.
    Known,
    /// Nobody, or nothing that can be understood.
    Nobody,
    /// It must be checked.
    New(Check),
}

impl Users {
    /// The users of this list, or what is wrong with it.
    pub(crate) fn of(source: &Blob) -> Result<Self, String> {
        let text = std::str::from_utf8(&source.0).map_err(|_| "the list of users is no text".to_owned())?;
        let list = spec::users(text).map_err(|why| format!("the list of users: {why}"))?;
        let secret: [u8; 32] = base::kernel_bytes();
        Ok(Self {
            source: source.clone(),
            list: list.into_iter().map(|(name, hash)| (name.as_bytes().into(), hash.into())).collect(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            known: Mutex::default(),
            checking: Arc::new(Semaphore::new(1)),
            waiting: Mutex::new(Places::new(WAITING)),
        })
    }

    /// Whether it is this list.
    pub(crate) fn is(&self, source: &Blob) -> bool {
        self.source == *source
    }

    /// What the fields of a request of this client claim.
    pub(crate) fn claim(self: &Arc<Self>, client: IpAddr, fields: &[Field], buf: &[u8]) -> Claim {
        let mut given =
            fields.iter().filter(|field| field.name.of(buf).eq_ignore_ascii_case(b"authorization"));
        let (Some(field), None) = (given.next(), given.next()) else { return Claim::Nobody };
        let Some(credentials) = credentials(field.value.of(buf)) else { return Claim::Nobody };
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.key, &credentials).as_ref());
        if self.knows(&digest) {
            return Claim::Known;
        }
        Claim::New(Check { users: self.clone(), credentials, digest, client: Holder::of(client) })
    }

    fn knows(&self, digest: &Digest) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).all.contains(digest)
    }

    fn learn(&self, digest: Digest) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.all.insert(digest) {
            known.order.push_back(digest);
        }
        if known.order.len() > KNOWN
            && let Some(oldest) = known.order.pop_front()
        {
            known.all.remove(&oldest);
        }
    }

    /// Whether name and password belong together; takes as long for a name that is not on the list.
    fn verify(&self, credentials: &[u8]) -> bool {
        let Some(colon) = memchr::memchr(b':', credentials) else { return false };
        let (name, password) = (&credentials[..colon], &credentials[colon + 1..]);
        let found = self.list.iter().find(|(user, _)| **user == *name);
        let Some((_, hash)) = found.or(self.list.first()) else { return false };
        bcrypt::verify(password, hash).is_ok_and(|right| right && found.is_some())
    }
}

/// Name and password of a field `Basic …`.
fn credentials(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let encoded = rest.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"basic ") || encoded.len() > CREDENTIALS_BYTES * 4 / 3 {
        return None;
    }
    BASE64.decode(encoded).ok()
}

impl Check {
    /// Finds out whether it is right.
    pub(crate) async fn run(self) -> Result<(), Refusal> {
        let Self { users, credentials, digest, client } = self;
        let place = Place::take(&users, client)?;
        let Ok(turn) = users.checking.clone().acquire_owned().await else { return Err(Refusal::AUTH_BUSY) };
        // The same may have been asked by others that waited too, as by a browser with many requests at once.
        if users.knows(&digest) {
            return Ok(());
        }
        let checked = users.clone();
        // The turn ends with the check, not with whoever gives up waiting for it: nobody gets two at once by that.
        let check = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            checked.verify(&credentials)
        });
        let right = check.await;
        drop(place);
        if !right.is_ok_and(|right| right) {
            return Err(Refusal::UNAUTHORIZED);
        }
        users.learn(digest);
        Ok(())
    }
}

/// A place among those that wait.
struct Place<'a>(&'a Users, Holder);

impl<'a> Place<'a> {
    fn take(users: &'a Users, client: Holder) -> Result<Self, Refusal> {
        let fits = users.waiting.lock().unwrap_or_else(PoisonError::into_inner).take(client);
        if fits { Ok(Self(users, client)) } else { Err(Refusal::AUTH_BUSY) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).give_back(self.1);
    }
}
