//! A connection to an instance for a request: picked, reused or made, and waited for when there is none.

use std::rc::Rc;
use std::time::Duration;

use base::{Clock, Instant, SystemClock};
use tokio::net::TcpStream;

use super::Exchange;
use crate::buffer::Input;
use crate::head::request::Method;
use crate::local::{Flight, LocalEndpoint, LocalPool, Upstream};
use crate::refusal::Refusal;
use crate::worker::Worker;

/// Between two looks at a pool whose instances take no connections; they back off by themselves.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Exchange<'_> {
    /// Gets a connection, or the reason why there is none.
    pub(super) async fn obtain(&mut self) -> Result<(), Refusal> {
        if let Some(up) = self.reuse() {
            self.up = Some(up);
            self.touch();
            return Ok(());
        }
        // Connecting and holding have their own timers.
        self.client.watched.within(Duration::from_secs(3600));
        let got = connect(self.worker, &mut self.pool, &mut self.tried).await;
        self.up = Some(got?);
        self.touch();
        Ok(())
    }

    /// A kept connection to the instance whose turn it is.
    fn reuse(&mut self) -> Option<Upstream> {
        if !self.tried.is_empty() {
            return None;
        }
        let worker = self.worker;
        let now = worker.watches.now();
        let endpoint = self.pool.pick(&[], now, &mut worker.rng.borrow_mut())?;
        let once = self.question.method == Method::Once;
        let most = if once { worker.settings.upstream_idle_unsafe } else { worker.settings.upstream_idle };
        let up = endpoint.take_idle(now, most, once);
        if up.is_none() {
            worker.turn.replace(Some(endpoint));
        }
        up
    }
}

/// Makes a connection to an instance of the pool; holds the request while there is none that takes it.
pub(crate) async fn connect(
    worker: &Rc<Worker>,
    pool: &mut Rc<LocalPool>,
    tried: &mut Vec<Rc<LocalEndpoint>>,
) -> Result<Upstream, Refusal> {
    let began = SystemClock.now();
    let mut held = None;
    loop {
        let table = worker.table();
        if let Some(fresh) = table.pool(&pool.key) {
            *pool = fresh.clone();
        }
        if let Some(up) = try_all(worker, pool, tried).await {
            pool.down_since.set(None);
            return Ok(up);
        }
        let now = SystemClock.now();
        let none = pool.endpoints.is_empty();
        let refusal = if none { Refusal::NO_INSTANCE } else { Refusal::UNREACHABLE };
        let down = pool.down_since.get().unwrap_or(now);
        pool.down_since.set(Some(down));
        let settings = &worker.settings;
        if now.since(began) >= settings.hold || now.since(down) >= settings.hold_while_down {
            return Err(refusal);
        }
        if held.is_none() {
            held = Some(worker.hold()?);
        }
        let left = settings.hold.saturating_sub(now.since(began));
        let wait = if none { left } else { left.min(LOOK_AGAIN) };
        let changed = worker.changed.notified();
        // A table that came while we tried is looked at without a wait.
        if Rc::ptr_eq(&worker.table(), &table) {
            let _ = tokio::time::timeout(wait, changed).await;
        }
        tried.clear();
    }
}

/// Tries instances until one takes the connection or as many as allowed were tried.
async fn try_all(
    worker: &Rc<Worker>,
    pool: &Rc<LocalPool>,
    tried: &mut Vec<Rc<LocalEndpoint>>,
) -> Option<Upstream> {
    let most = worker.settings.tries as usize;
    let mut connects = 0;
    while connects < most {
        let now = SystemClock.now();
        let turn = worker.turn.take().filter(|_| connects == 0 && tried.is_empty());
        let turn = turn.filter(|turn| pool.endpoints.iter().any(|e| Rc::ptr_eq(e, turn)));
        let picked = turn.or_else(|| pool.pick(tried, now, &mut worker.rng.borrow_mut()))?;
        let others = pool.endpoints.iter().any(|e| {
            !Rc::ptr_eq(e, &picked) && !tried.iter().any(|t| Rc::ptr_eq(t, e)) && !e.state.is_avoided(now)
        });
        let limit = if others { worker.settings.connect } else { worker.settings.connect_last };
        if let Some(up) = open(worker, &picked, limit, now).await {
            return Some(up);
        }
        connects += 1;
        tried.push(picked);
        if tried.len() >= pool.endpoints.len().max(1) && !others {
            return None;
        }
    }
    None
}

/// One connection, within its time.
async fn open(
    worker: &Rc<Worker>,
    endpoint: &Rc<LocalEndpoint>,
    limit: Duration,
    now: Instant,
) -> Option<Upstream> {
    let flight = Flight::begin(endpoint);
    let address = endpoint.state.address;
    let made = tokio::time::timeout(limit, TcpStream::connect(address)).await;
    if let Ok(Ok(stream)) = made {
        endpoint.state.connected();
        prepare(&stream);
        return Some(Upstream { stream, input: Input::default(), flight });
    }
    let settings = &worker.settings;
    endpoint.state.connect_failed(now, settings.avoid_first, settings.avoid_most);
    None
}

/// Options of connections to instances: no delay, and a dead host is noticed within some ten seconds.
fn prepare(stream: &TcpStream) {
    use rustix::net::sockopt;
    // None of these can fail on a connected TCP socket; if one does, the connection still works.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_tcp_user_timeout(stream, 10_000);
    let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(5));
    let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(2));
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
    let _ = sockopt::set_socket_keepalive(stream, true);
}
