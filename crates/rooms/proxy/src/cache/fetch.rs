//! A request of the edge's own, on behalf of all that want its answer: a task that no client's connection ends.
//!
//! It is an exchange like any other, with the bounds, the breaker, the instances and the repetitions of its service.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;

use super::catch::{Catch, Errand};
use super::{Inlet, Kept, Led, Outlet, Wanted};
use crate::connection::{Client, Facts};
use crate::exchange::{After, Exchange, Question};
use crate::fork::Forked;
use crate::forward::push_field;
use crate::head::{Known, request};
use crate::local::LocalPool;
use crate::refusal::{Refusal, push_number};
use crate::stream::Stream;
use crate::worker::Worker;

/// Others wait so long for the end of a body whose head is there.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// What the one who began a fetch hears of it.
pub(crate) enum Told {
    /// The answer comes from an instance. `stored` says that it is kept, if its body comes to its end.
    Comes {
        outlet: Outlet,
        stored: bool,
    },
    /// It is there: what was kept was confirmed or is given on an error, or the client has conditions of its own. With the
    /// status of the instance's answer, if there was one.
    There {
        kept: Arc<Kept>,
        status: Option<u16>,
        on_error: bool,
    },
    Refused(Refusal, bool),
}

/// A fetch that is to be begun.
pub(crate) struct Order {
    pub(crate) led: Led,
    /// What is kept and stale.
    pub(crate) before: Option<Arc<Kept>>,
    /// The head that stands ready for an instance.
    pub(crate) request: Vec<u8>,
    pub(crate) pool: Rc<LocalPool>,
    /// What is known of the request that causes it.
    pub(crate) question: Question,
    pub(crate) forked: Option<Box<Forked>>,
    pub(crate) facts: Rc<Facts>,
}

/// Begins a fetch; tells of it if somebody waits.
pub(crate) fn begin(
    worker: &Rc<Worker>,
    wanted: &Wanted,
    order: Order,
    waits: bool,
) -> Option<oneshot::Receiver<Told>> {
    let (owner, told) = oneshot::channel();
    let Order { led, before, request, pool, question, forked, facts } = order;
    let head = fetching(&request, before.as_deref(), pool.policy.request);
    let errand = Errand {
        cache: wanted.cache.clone(),
        target: wanted.target.clone(),
        credential: wanted.credential,
        request,
        led: Some(led),
        before,
        owner: waits.then_some(owner),
        conditional: wanted.is_conditional(),
    };
    let worker = worker.clone();
    tokio::task::spawn_local(async move {
        let catch = Rc::new(RefCell::new(Catch::new(errand)));
        let mut client = Client::with(&worker, Stream::Inlet(Box::new(Inlet(catch.clone()))), facts);
        client.sent.bytes = head;
        client.forked = forked;
        client.enrol().await;
        let question = question.own(&pool.policy);
        let exchange = Exchange::new(&worker, &mut client, question, pool);
        let whole = run(exchange, &catch).await;
        catch.borrow_mut().finish(whole);
        drop(client);
        // An edge that ends waits for it as for a connection.
        worker.left.notify_one();
    });
    waits.then_some(told)
}

/// Runs the exchange; lets go of those who wait for a body that does not end.
async fn run(exchange: Exchange<'_>, catch: &Rc<RefCell<Catch>>) -> bool {
    let mut running = pin!(exchange.run(None));
    let mut late = None;
    let after = poll_fn(|cx| {
        if let Poll::Ready(after) = running.as_mut().poll(cx) {
            return Poll::Ready(after);
        }
        if late.is_none() && catch.borrow().is_kept() {
            late = Some(Box::pin(tokio::time::sleep(BODY_PATIENCE)));
        }
        if let Some(sleep) = &mut late
            && sleep.as_mut().poll(cx).is_ready()
        {
            late = None;
            catch.borrow_mut().let_go();
        }
        Poll::Pending
    });
    match after.await {
        After::Next | After::Leave | After::Close => true,
        After::Reset | After::Tunnel(_) => false,
    }
}

/// The head of a fetch: what one client alone wants is left out, and what is kept is asked about.
fn fetching(request: &[u8], before: Option<&Kept>, time: Option<Duration>) -> Vec<u8> {
    let mut fields = Vec::new();
    // It was written by ourselves, so that it can be read.
    let Ok(head) = request::parse(request, &mut fields) else { return request.to_vec() };
    let mut out = Vec::with_capacity(request.len() + 64);
    let line = memchr::memchr(b'\n', request).map_or(0, |at| at + 1);
    // One that only looks at the head has nothing else in another way.
    out.extend_from_slice(b"GET");
    out.extend_from_slice(&request[head.method.to as usize..line]);
    for field in &fields {
        let name = field.name.of(request);
        let own = [&b"if-none-match"[..], b"if-modified-since", b"range", b"if-range"];
        let own = own.iter().any(|own| name.eq_ignore_ascii_case(own));
        if !own && !matches!(field.known, Known::TimeoutMs | Known::GrpcTimeout) {
            push_field(&mut out, request, field);
        }
    }
    debug_assert!(!head.framing.chunked, "requests with bodies are not for the cache");
    for (name, value) in
        before.and_then(|before| before.entry.as_ref()).into_iter().flat_map(|e| e.validators())
    {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(time) = time {
        out.extend_from_slice(b"x-timeout-ms: ");
        push_number(&mut out, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}
