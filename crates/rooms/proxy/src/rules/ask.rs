//! Another service that is asked before a request goes on (forward auth): it lets through, or answers itself.
//!
//! What goes wrong on the way keeps the request out.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use base::{Clock, SystemClock};
use spec::{ForwardAuth, HeaderRules, HeaderSide};
use tokio::io::AsyncWrite;

use super::fields::Edits;
use crate::chunk::{Decoder, Step};
use crate::exchange;
use crate::forward::{self, Onward};
use crate::head::request::RequestHead;
use crate::head::response::{self, ResponseHead};
use crate::head::{self, Field, Framing, Known};
use crate::limits::RESPONSE_HEAD_BYTES;
use crate::local::{LocalPool, Upstream};
use crate::preface;
use crate::refusal::{Refusal, push_number};
use crate::table::PoolKey;
use crate::worker::Worker;

/// How long the service may take, a connection to it included.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest body of an answer that is passed on.
const BODY_BYTES: usize = 64 * 1024;

/// Whom a route asks first.
pub(crate) struct Asks {
    pub(crate) pool: PoolKey,
    path: Box<[u8]>,
    /// What is copied from its answer to the request; the client's own of these names do not pass.
    pub(crate) copied: Edits,
    names: Vec<Box<[u8]>>,
}

/// A question that is to be asked.
pub(crate) struct Ask {
    pool: Rc<LocalPool>,
    request: Vec<u8>,
    names: Vec<Box<[u8]>>,
}

/// Why a request does not go on.
pub(crate) enum Kept {
    Refused(Refusal),
    /// The service answers in the place of the one that was meant.
    Answered(Answer),
}

/// The answer of the service that was asked.
pub(crate) struct Answer {
    pub(crate) status: u16,
    reason: Vec<u8>,
    lines: Vec<u8>,
    body: Vec<u8>,
}

impl Asks {
    /// What this asks for, or what is wrong with it.
    pub(crate) fn of(auth: &ForwardAuth, pool: PoolKey) -> Result<Self, String> {
        if let Some(flaw) = auth.path.flaw() {
            return Err(format!("`{}` is no path: {flaw}", auth.path));
        }
        let rules = HeaderRules { remove: auth.copy.clone(), ..HeaderRules::default() };
        Ok(Self {
            pool,
            path: auth.path.0.as_bytes().into(),
            copied: Edits::of(&rules, HeaderSide::Request)?.unwrap_or_default(),
            names: auth.copy.iter().map(|name| name.as_bytes().into()).collect(),
        })
    }

    /// The question about a request: its fields without its body, its method and target as fields.
    pub(crate) fn about(
        &self,
        pool: &Rc<LocalPool>,
        (head, fields, buf): (&RequestHead, &[Field], &[u8]),
        on: &Onward<'_>,
    ) -> Ask {
        let mut request = b"GET ".to_vec();
        request.extend_from_slice(&self.path);
        request.extend_from_slice(b" HTTP/1.1\r\nx-forwarded-method: ");
        request.extend_from_slice(head.method.of(buf));
        request.extend_from_slice(b"\r\nx-forwarded-uri: ");
        request.extend_from_slice(head.target.of(buf));
        request.extend_from_slice(b"\r\n");
        let bare = RequestHead {
            framing: Framing::default(),
            expects_continue: false,
            takes_trailers: false,
            upgrade: None,
            ..*head
        };
        // A proxy of ours may have let through what its client said of these.
        let told = |field: &Field| {
            let name = field.name.of(buf);
            [&b"x-forwarded-method"[..], b"x-forwarded-uri"]
                .iter()
                .any(|told| name.eq_ignore_ascii_case(told))
        };
        let of_body = |field: &Field| matches!(field.known, Known::ContentLength | Known::ContentType);
        let fields = fields.iter().filter(|field| !of_body(field) && !told(field));
        let fields: Vec<Field> = fields.copied().collect();
        forward::fields(&mut request, buf, &bare, &fields, &Onward { rewrite: None, ..*on });
        Ask { pool: pool.clone(), request, names: self.names.clone() }
    }
}

impl Ask {
    /// Asks; gives the lines that the request gets when it may go on.
    pub(crate) async fn run(mut self, worker: &Rc<Worker>) -> Result<Vec<u8>, Kept> {
        let talk = tokio::time::timeout(PATIENCE, self.talk(worker));
        match talk.await {
            Ok(Some(said)) => said,
            Ok(None) | Err(_) => Err(Kept::Refused(Refusal::AUTH_DOWN)),
        }
    }

    /// One question and its answer; none if it came to nothing.
    async fn talk(&mut self, worker: &Rc<Worker>) -> Option<Result<Vec<u8>, Kept>> {
        let now = worker.watches.now();
        let picked = self.pool.pick(&[], now, (None, &mut worker.rng.borrow_mut()));
        let kept = picked.and_then(|endpoint| match self.pool.http2 {
            true => endpoint.take_stream(worker),
            false => endpoint.take_idle(now, worker.settings.upstream_idle, true),
        });
        // A kept connection may end at the moment of its use, and a question may be asked twice.
        let first = match kept {
            Some(mut up) => self.ask(worker, &mut up).await.map(|said| (up, said)),
            None => None,
        };
        let (up, (said, clean)) = match first {
            Some(done) => done,
            None => {
                let up = exchange::connect(worker, &mut self.pool, &[], None).await.ok()?;
                let up = preface::introduce(&self.pool, up, None).await.ok()?;
                let mut up = exchange::dress(worker, &self.pool, up).await.ok()?;
                let said = self.ask(worker, &mut up).await?;
                (up, said)
            }
        };
        let mut up = up;
        if clean && up.input.is_empty() {
            up.input.rest(&worker.buffers);
            up.rest(worker.watches.now());
        }
        Some(said)
    }

    /// Asks over this connection; also whether it is as before.
    async fn ask(&self, worker: &Worker, up: &mut Upstream) -> Option<(Result<Vec<u8>, Kept>, bool)> {
        let mut sent = 0;
        poll_fn(|cx| {
            while sent < self.request.len() {
                match std::task::ready!(Pin::new(&mut up.stream).poll_write(cx, &self.request[sent..])) {
                    Ok(0) => return io::Result::Err(io::ErrorKind::WriteZero.into()).into(),
                    Ok(count) => sent += count,
                    Err(error) => return Err(error).into(),
                }
            }
            Ok(()).into()
        })
        .await
        .ok()?;
        let began = SystemClock.now();
        let head = self.head(worker, up).await?;
        let took = SystemClock.now().since(began);
        up.flight.0.state.answered(worker.index, head.status, took);
        if (200..300).contains(&head.status) {
            let lines = self.passed(worker, up);
            let empty = head.status == 204 || head.framing.length == Some(0);
            up.input.consume(head.bytes);
            return Some((Ok(lines), empty && head.keeps()));
        }
        let mut answer = Self::dressed(worker, up, &head);
        up.input.consume(head.bytes);
        let clean = Self::body(worker, up, &head, &mut answer.body).await?;
        Some((Err(Kept::Answered(answer)), clean && head.keeps()))
    }

    /// Reads more of the answer; none at its end.
    async fn more(worker: &Worker, up: &mut Upstream) -> Option<()> {
        let read = poll_fn(|cx| up.input.poll_fill(cx, &mut up.stream, &worker.buffers, RESPONSE_HEAD_BYTES));
        read.await.ok().filter(|count| *count > 0).map(drop)
    }

    /// The head of the answer, which is still in the input; its fields are in those of the worker.
    async fn head(&self, worker: &Worker, up: &mut Upstream) -> Option<ResponseHead> {
        let mut scanned = 0;
        loop {
            if head::head_end(up.input.filled(), &mut scanned).is_some() {
                let head = response::parse(up.input.filled(), &mut worker.fields.borrow_mut()).ok()?;
                if !head.interim() {
                    // A tunnel to it is nobody's wish.
                    return Some(head).filter(|head| head.status != 101);
                }
                up.input.consume(head.bytes);
                scanned = 0;
            } else if up.input.len() >= RESPONSE_HEAD_BYTES {
                return None;
            } else {
                Self::more(worker, up).await?;
            }
        }
    }

    /// The lines that are copied to the request.
    fn passed(&self, worker: &Worker, up: &Upstream) -> Vec<u8> {
        let (fields, buf) = (worker.fields.borrow(), up.input.filled());
        let mut lines = Vec::new();
        let listed = |field: &&Field| {
            let name = field.name.of(buf);
            field.known == Known::Other && self.names.iter().any(|want| name.eq_ignore_ascii_case(want))
        };
        for field in fields.iter().filter(listed) {
            forward::push_field(&mut lines, buf, field);
        }
        lines
    }

    /// The answer as the client gets it, still without its body.
    fn dressed(worker: &Worker, up: &Upstream, head: &ResponseHead) -> Answer {
        let (fields, buf) = (worker.fields.borrow(), up.input.filled());
        let mut lines = Vec::new();
        let passes = |field: &&Field| {
            let free = matches!(field.known, Known::Other | Known::RetryAfter | Known::ContentType);
            free && !(head.says.names && head::listed(&fields, buf, field.name.of(buf)))
        };
        for field in fields.iter().filter(passes) {
            forward::push_field(&mut lines, buf, field);
        }
        Answer { status: head.status, reason: head.reason.of(buf).to_vec(), lines, body: Vec::new() }
    }

    /// Reads the body of the answer; gives whether nothing of it is left in the connection. None if it is too long.
    async fn body(
        worker: &Worker,
        up: &mut Upstream,
        head: &ResponseHead,
        body: &mut Vec<u8>,
    ) -> Option<bool> {
        let mut decoder = Decoder::new();
        let none = matches!(head.status, 204 | 304);
        loop {
            let (data, used, done) = match head.framing.length {
                _ if none => return Some(true),
                _ if head.framing.chunked => match decoder.step(up.input.filled()).ok()? {
                    Step::More => (0, 0, false),
                    Step::Done => return Some(true),
                    Step::Framing(count) | Step::Trailer(_, count) => (0, count, false),
                    Step::Data(count) => (count, count, false),
                },
                Some(length) => {
                    let left = usize::try_from(length).ok()?.checked_sub(body.len())?;
                    let here = left.min(up.input.len());
                    (here, here, here == left)
                }
                None => (up.input.len(), up.input.len(), false),
            };
            body.extend_from_slice(&up.input.filled()[..data]);
            up.input.consume(used);
            if body.len() > BODY_BYTES {
                return None;
            }
            if done {
                return Some(true);
            }
            if used == 0 && Self::more(worker, up).await.is_none() {
                let until_close = !head.framing.chunked && head.framing.length.is_none();
                return until_close.then_some(false);
            }
        }
    }
}

impl Answer {
    /// The whole answer in bytes, with these further lines in its head.
    pub(crate) fn write(&self, out: &mut Vec<u8>, lines: &[u8], close: bool, head_only: bool) {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, u64::from(self.status));
        out.push(b' ');
        out.extend_from_slice(&self.reason);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.lines);
        out.extend_from_slice(lines);
        if !matches!(self.status, 204 | 304) {
            out.extend_from_slice(b"content-length: ");
            push_number(out, self.body.len() as u64);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"x-sea-refused: ");
        out.extend_from_slice(Refusal::FORWARD_AUTH.code.as_bytes());
        out.extend_from_slice(if close { b"\r\nconnection: close\r\n\r\n" } else { &b"\r\n\r\n"[..] });
        if !head_only {
            out.extend_from_slice(&self.body);
        }
    }
}
