//! The client's end of a fetch: takes the answer as an exchange writes it, decides for whom it is, and tells them.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use base::{Clock, Instant, SystemClock};
use resilience::freshness::{self, Entry, NotKept, Received, Vary, may_share};
use tokio::sync::oneshot;

use super::fetch::Told;
use super::kept::{Draft, Says};
use super::pipe::{Outlet, Pipe};
use super::{Cache, Credential, Kept, Led, Outcome};
use crate::head::response::{self, ResponseHead};
use crate::head::{self, Field, request};
use crate::refusal::Refusal;

/// So much of an answer that nobody gets is taken all the same, to have the connection afterwards.
const IGNORED_BYTES: usize = 64 * 1024;

/// So much of interim answers is passed on.
const INTERIM_BYTES: usize = 16 * 1024;

/// In the place of a client's connection.
pub(crate) struct Inlet(pub(super) Rc<RefCell<Catch>>);

impl Inlet {
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, buf)
    }

    /// Another side of a split is asked: its answers are not kept among those of the one that was meant.
    pub(crate) fn note_fall(&mut self) {
        self.0.borrow_mut().is_from_elsewhere = true;
    }

    /// The edge answers in the place of an instance.
    pub(crate) fn refuse(&mut self, refusal: Refusal, marked: bool) {
        self.0.borrow_mut().refused = Some((refusal, marked));
    }
}

/// Where the answer is.
enum Stage {
    /// Its head comes.
    Head(Vec<u8>),
    /// Its body comes, behind so many bytes.
    Body(usize),
    /// Nobody wants more of it.
    Over(usize),
}

/// What is fetched, for whom.
pub(super) struct Errand {
    pub(super) cache: Arc<Cache>,
    pub(super) target: Vec<u8>,
    pub(super) credential: Credential,
    /// The request as it was before what is asked for nobody else was taken out.
    pub(super) request: Vec<u8>,
    pub(super) led: Option<Led>,
    /// The answer that is asked about, by its validators.
    pub(super) before: Option<Arc<Kept>>,
    /// Who began it, if that waits, and whether it may have the answer already.
    pub(super) owner: Option<oneshot::Sender<Told>>,
    pub(super) conditional: bool,
}

/// What becomes of an answer.
struct Fate {
    /// It is kept.
    entry: Option<Entry>,
    /// Those who wait get it too.
    shared: bool,
    vary: Vary,
    key: Vec<u8>,
}

/// An answer that comes.
pub(super) struct Catch {
    errand: Errand,
    pub(super) pipe: Rc<RefCell<Pipe>>,
    stage: Stage,
    draft: Option<Draft>,
    asked: Instant,
    /// Bytes that count among the cache's coming ones.
    coming: u64,
    refused: Option<(Refusal, bool)>,
    /// Another side of a split answers, as the own one has no instance.
    is_from_elsewhere: bool,
}

impl Drop for Catch {
    fn drop(&mut self) {
        self.uncount();
    }
}

impl Catch {
    pub(super) fn new(errand: Errand) -> Self {
        Self {
            pipe: Pipe::new(errand.owner.is_some()),
            errand,
            stage: Stage::Head(Vec::new()),
            draft: None,
            asked: SystemClock.now(),
            coming: 0,
            refused: None,
            is_from_elsewhere: false,
        }
    }

    /// Whether others wait for the rest of its body.
    pub(super) fn is_kept(&self) -> bool {
        self.draft.is_some()
    }

    fn is_stored(&self) -> bool {
        self.draft.as_ref().is_some_and(|draft| draft.entry.is_some())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Stage::Head(head) = &mut self.stage {
            head.extend_from_slice(buf);
            let taken = std::mem::take(head);
            return Poll::Ready(self.take_head(&taken).map(|()| buf.len()));
        }
        if self.is_kept() && !self.count(buf.len() as u64) {
            self.let_go();
        }
        match &mut self.stage {
            Stage::Head(_) => unreachable!("a head was taken above"),
            Stage::Body(_) => self.pipe.borrow_mut().poll_write(cx, buf),
            Stage::Over(ignored) => {
                *ignored += buf.len();
                let enough = *ignored > IGNORED_BYTES;
                Poll::Ready(if enough { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(buf.len()) })
            }
        }
    }

    /// Looks for whole heads, and takes what is behind the last as the body's beginning.
    fn take_head(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut fields = Vec::new();
        while head::head_end(bytes, &mut 0).is_some() {
            let head = response::parse(bytes, &mut fields).map_err(|_| io::ErrorKind::InvalidData)?;
            let (here, behind) = bytes.split_at(head.bytes);
            if !head.interim() {
                self.judge(&head, &fields, here);
                return self.begin_body(here, behind);
            }
            // Only who began it can still get it.
            let mut pipe = self.pipe.borrow_mut();
            if pipe.bytes.len() < INTERIM_BYTES {
                pipe.bytes.extend_from_slice(here);
            }
            drop(pipe);
            bytes = behind;
        }
        self.stage = Stage::Head(bytes.to_vec());
        Ok(())
    }

    fn begin_body(&mut self, head: &[u8], behind: &[u8]) -> io::Result<()> {
        if let Stage::Over(ignored) = &mut self.stage {
            *ignored += behind.len();
            return Ok(());
        }
        let mut pipe = self.pipe.borrow_mut();
        pipe.keep = self.draft.is_some();
        pipe.bytes.extend_from_slice(head);
        self.stage = Stage::Body(pipe.bytes.len());
        // It is short: an exchange copies little behind a head.
        pipe.bytes.extend_from_slice(behind);
        drop(pipe);
        if self.is_kept() && !self.count(behind.len() as u64) {
            self.let_go();
        }
        if !self.is_kept() || !self.errand.conditional {
            self.tell(|catch| Told::Comes {
                outlet: Outlet::pipe(catch.pipe.clone()),
                stored: catch.is_stored(),
            });
        }
        Ok(())
    }

    /// Decides what becomes of an answer with this head.
    fn judge(&mut self, head: &ResponseHead, fields: &[Field], buf: &[u8]) {
        let now = SystemClock.now();
        let received = Received { asked: self.asked, now, wall: SystemClock.wall() };
        let says = Says::of(fields, buf);
        if head.status == 304
            && let Some(before) = self.errand.before.take()
        {
            self.stage = Stage::Over(0);
            return self.confirm(&before, (fields, buf), &says, received);
        }
        let rules = *self.errand.cache.rules(self.errand.credential);
        let before = self.errand.before.as_ref();
        let stale = before.filter(|before| serves(before, &rules, Some(head.status), now)).cloned();
        if let Some(before) = stale {
            self.stage = Stage::Over(0);
            return self.fall_back(before, Some(head.status), now);
        }
        let fate = self.fate(head, &says, received);
        if fate.as_ref().map_or(true, |fate| fate.entry.is_none())
            && head.status < 500
            && let Some(before) = &self.errand.before
        {
            // There is something newer, if not for everybody.
            self.errand.cache.forget(before);
        }
        match fate {
            Ok(Fate { entry, shared, vary, key }) => {
                let mut draft = Draft::of((head, fields, buf), (vary, key), entry);
                draft.date(received.wall);
                self.draft = Some(draft);
                if !shared {
                    self.land(&Outcome::Apart);
                }
            }
            Err(_) => self.land(&Outcome::Alone),
        }
    }

    /// What becomes of an answer for others, or why it is for one request only.
    fn fate(&self, head: &ResponseHead, says: &Says, received: Received) -> Result<Fate, NotKept> {
        let Errand { cache, credential, target, request, .. } = &self.errand;
        let long = head.framing.length.is_some_and(|length| length > cache.policy.answer.0);
        if long || head.events || head.status == 101 {
            return Err(NotKept::Method);
        }
        let answer = says.answer(head.status);
        let asked = freshness::Request::get();
        let rules = cache.rules(*credential);
        let entry = Entry::of(rules, &asked, &answer, received).ok().filter(|_| !self.is_from_elsewhere);
        let shared = match may_share(rules, &asked, &answer, received) {
            Ok(()) => true,
            Err(NotKept::Silent) if cache.policy.join && *credential == Credential::None => true,
            Err(_) if entry.is_some() => false,
            Err(why) => return Err(why),
        };
        let mut fields = Vec::new();
        request::parse(request, &mut fields).map_err(|_| NotKept::Method)?;
        let vary = says.vary();
        let key = cache.key_for(target, &vary, (&fields, request)).ok_or(NotKept::Vary)?;
        Ok(Fate { entry, shared, vary, key })
    }

    /// What is kept is still good.
    fn confirm(
        &mut self,
        before: &Arc<Kept>,
        (fields, buf): (&[Field], &[u8]),
        says: &Says,
        received: Received,
    ) {
        let cache = self.errand.cache.clone();
        let answer = says.answer(before.status);
        let rules = cache.rules(self.errand.credential);
        let fresh = before.entry.clone().map(|mut entry| {
            entry.refresh(rules, &says.answer(304), received);
            entry
        });
        // Its fields are for everybody only if they would be beside the whole answer.
        let shared = match may_share(rules, &freshness::Request::get(), &answer, received) {
            Ok(()) | Err(NotKept::Silent | NotKept::Stale) => true,
            Err(_) => false,
        };
        let kept = Arc::new(before.renewed((fields, buf), fresh));
        if shared {
            if let Some(led) = &self.errand.led {
                cache.keep(led, &self.errand.target, &kept);
            }
            self.land(&Outcome::Take(kept.clone()));
        } else {
            cache.forget(before);
            self.land(&Outcome::Alone);
        }
        self.tell(|_| Told::There { kept, status: Some(304), on_error: false });
    }

    /// What is stale is given in the place of no good answer.
    fn fall_back(&mut self, before: Arc<Kept>, status: Option<u16>, now: Instant) {
        self.errand.cache.rest(&before, now.since(self.asked), now);
        self.land(&Outcome::Take(before.clone()));
        self.tell(|_| Told::There { kept: before, status, on_error: true });
    }

    /// The exchange has ended; `whole` says whether with all of an answer.
    pub(super) fn finish(&mut self, whole: bool) {
        let now = SystemClock.now();
        if let Some((refusal, marked)) = self.refused {
            let rules = *self.errand.cache.rules(self.errand.credential);
            match self.errand.before.take() {
                Some(before) if serves(&before, &rules, None, now) => self.fall_back(before, None, now),
                before => {
                    if let Some(before) = before {
                        self.errand.cache.rest(&before, now.since(self.asked), now);
                    }
                    self.land(&Outcome::Refused(refusal, marked));
                    self.tell(|_| Told::Refused(refusal, marked));
                }
            }
        }
        let draft = self.draft.take();
        if let (Some(draft), Stage::Body(from), true) = (draft, &self.stage, whole) {
            let kept = draft.with(&self.pipe.borrow().bytes[*from..]);
            if let Some(kept) = kept.map(Arc::new) {
                if let Some(led) = &self.errand.led {
                    self.errand.cache.keep(led, &self.errand.target, &kept);
                }
                self.land(&Outcome::Take(kept.clone()));
                self.tell(|_| Told::There { kept, status: None, on_error: false });
            }
        }
        self.land(&Outcome::Failed);
        self.pipe.borrow_mut().end(whole);
        self.tell(|catch| Told::Comes { outlet: Outlet::pipe(catch.pipe.clone()), stored: false });
    }

    /// It is too long, or takes too long, for others to wait for it.
    pub(super) fn let_go(&mut self) {
        self.draft = None;
        self.uncount();
        self.pipe.borrow_mut().let_go();
        self.land(&Outcome::Alone);
        self.tell(|catch| Told::Comes { outlet: Outlet::pipe(catch.pipe.clone()), stored: false });
    }

    fn land(&mut self, outcome: &Outcome) {
        if let Some(led) = &mut self.errand.led {
            led.land(outcome);
        }
    }

    fn tell(&mut self, told: impl FnOnce(&Self) -> Told) {
        if let Some(owner) = self.errand.owner.take() {
            // One that has gone does not want to know.
            let _ = owner.send(told(self));
        }
    }

    /// Counts bytes that come; false if there are too many.
    fn count(&mut self, bytes: u64) -> bool {
        self.coming += bytes;
        let Errand { cache, .. } = &self.errand;
        let all = cache.coming.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.coming <= cache.policy.answer.0 && all <= cache.policy.size.0
    }

    fn uncount(&mut self) {
        let bytes = std::mem::take(&mut self.coming);
        self.errand.cache.coming.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Whether an answer that is stale is given in the place of one with this status, or of none.
fn serves(before: &Kept, rules: &freshness::Rules, status: Option<u16>, now: Instant) -> bool {
    before.entry.as_ref().is_some_and(|entry| entry.serves_on_error(rules, status, now).is_some())
}
