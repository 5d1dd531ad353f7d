//! Asking a container whether it is well, again and again while it runs.
//!
//! Two may ask, each with its own times: the check of the container itself, and that of the edge (`x-sea.edge.check`). It
//! is well when both say so. One that fails its own is sick, and who owns it may start it anew; one that fails that of
//! the edge alone is spared: it runs on, and gets no requests until it passes again.

mod http;
mod rpc;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::Report;
use runtime::Shim;
use spec::{HealthCheck, NetworkMode, Probe};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::cell::{Asker, Cell, HealthLog};
use crate::record::{Record, State};
use crate::{Containers, ExecOrder, events, exec};

/// The most that is kept of what a check printed, as docker keeps it.
const OUTPUT: usize = 4096;

impl Containers {
    /// How to tell whether it is well: the service's check, else the image's, else none.
    pub(crate) fn healthcheck(&self, record: &Record) -> Option<HealthCheck> {
        let own = record.service.healthcheck.clone();
        let check = own.or_else(|| {
            let image = self.inner.rooms.images.find(&record.image_id).ok()?;
            image_check(image.config.config.healthcheck.as_ref()?)
        })?;
        (!check.is_disabled()).then_some(check)
    }

    /// Who asks it, and what.
    fn checks(&self, record: &Record) -> Vec<(Asker, HealthCheck)> {
        let own = self.healthcheck(record).map(|check| (Asker::Own, check));
        let edge = record.service.check.clone().map(|check| (Asker::Edge, check));
        own.into_iter().chain(edge).collect()
    }

    /// Who asks it.
    pub(crate) fn askers(&self, record: &Record) -> Vec<Asker> {
        self.checks(record).into_iter().map(|(asker, _)| asker).collect()
    }

    /// Begins to ask, if there is something to ask.
    pub(crate) fn watch_health(&self, cell: &Arc<Cell>, shim: &Shim) -> Vec<AbortHandle> {
        let checks = self.checks(&cell.record());
        let begin = |(asker, check): (Asker, HealthCheck)| {
            let (containers, cell, shim) = (self.clone(), cell.clone(), shim.clone());
            let name = format!("health of {}", cell.id.short());
            self.inner
                .tasks
                .spawn(name, async move { containers.ask_on(&cell, &shim, (asker, &check)).await })
        };
        checks.into_iter().map(begin).collect()
    }

    async fn ask_on(&self, cell: &Arc<Cell>, shim: &Shim, (asker, check): (Asker, &HealthCheck)) {
        // A failure counts once an interval, and not before the start period is over: what is asked more often than that
        // is asked to hear of the first good answer, and gives nobody less time to start.
        let mut counts_from = self.clock().now() + check.start_period.max(check.interval);
        let mut first = true;
        loop {
            let well = cell.live().health.says(asker);
            // Nobody waits for an instance to be well a whole interval: until the first good answer we ask often.
            let pause = match well {
                Some(_) => check.interval,
                None if check.start_interval.is_zero() => check.interval.min(Duration::from_secs(1)),
                None => check.start_interval.min(check.interval),
            };
            let first = std::mem::take(&mut first);
            tokio::time::sleep(if first { FIRST_ASK.min(pause) } else { pause }).await;
            let now = self.clock().now();
            let counts = well.is_some() || now >= counts_from;
            if counts {
                counts_from = now + check.interval;
            }
            let answer = self.ask(cell, shim, check).await;
            self.judge(cell, (asker, check), answer, counts);
        }
    }

    async fn ask(&self, cell: &Cell, shim: &Shim, check: &HealthCheck) -> HealthLog {
        let start = self.clock().wall();
        let mut said = Vec::new();
        let asked =
            tokio::time::timeout(check.timeout, probe(self, cell, shim, &check.probe, &mut said)).await;
        let (exit_code, output) = asked.unwrap_or_else(|_| {
            // As docker words it, with what it said until then.
            let late = format!("Health check exceeded timeout ({:?})", check.timeout);
            let said = String::from_utf8_lossy(&said);
            (-1, if said.is_empty() { late } else { format!("{late}: {said}") })
        });
        HealthLog { start, end: self.clock().wall(), exit_code, output }
    }

    /// Notes an answer, and tells when it changes what the container is taken for.
    fn judge(
        &self,
        cell: &Arc<Cell>,
        (asker, check): (Asker, &HealthCheck),
        answer: HealthLog,
        counts: bool,
    ) {
        let turned = {
            let health = &mut cell.live().health;
            health.note(answer.clone());
            health.hear(asker, answer.exit_code == 0, counts.then_some(check.retries))
        };
        if let Some(good) = turned {
            events::health_changed(self, &cell.record(), good, &answer);
            if good {
                self.ready(cell);
            } else {
                self.unready(cell);
            }
        }
    }

    /// It may be sent requests.
    fn ready(&self, cell: &Arc<Cell>) {
        let now = self.clock().wall();
        cell.note(|live| {
            if let State::Running { ready, .. } = &mut live.record.state {
                ready.get_or_insert(now);
            }
        });
        self.tell_names(cell, true);
    }

    fn unready(&self, cell: &Arc<Cell>) {
        self.tell_names(cell, false);
    }

    /// Shared names lead to it only while it is well.
    fn tell_names(&self, cell: &Arc<Cell>, ready: bool) {
        let (containers, cell) = (self.clone(), cell.clone());
        self.inner.tasks.spawn("names", async move {
            let record = cell.record();
            if !record.networks.is_empty()
                && record.names_wait()
                && let Err(problem) = containers.inner.rooms.networks.set_ready(&cell.id, ready).await
            {
                tracing::warn!(container.id = %cell.id, "could not tell the names of a container: {problem}");
            }
            containers.announce(&cell);
        });
    }
}

/// The first question comes soon after the start: most programs are up by then.
const FIRST_ASK: Duration = Duration::from_millis(50);

/// The image's `HEALTHCHECK`, with docker's defaults for what it leaves out.
pub fn image_check(check: &oci::Health) -> Option<HealthCheck> {
    let probe = match check.test.first().map(String::as_str) {
        Some("CMD") => Probe::Exec(check.test[1..].to_vec()),
        Some("CMD-SHELL") => Probe::Shell(check.test[1..].join(" ")),
        _ => return None,
    };
    let nanos = |value: u64, otherwise: u64| Duration::from_nanos(if value == 0 { otherwise } else { value });
    const SECOND: u64 = 1_000_000_000;
    Some(HealthCheck {
        probe,
        interval: nanos(check.interval, 30 * SECOND),
        timeout: nanos(check.timeout, 30 * SECOND),
        retries: u32::try_from(check.retries).ok().filter(|retries| *retries > 0).unwrap_or(3),
        start_period: nanos(check.start_period, 0),
        start_interval: nanos(check.start_interval, SECOND),
    })
}

async fn probe(
    containers: &Containers,
    cell: &Cell,
    shim: &Shim,
    probe: &Probe,
    said: &mut Vec<u8>,
) -> (i32, String) {
    let record = &cell.record();
    match probe {
        Probe::Exec(args) => run(containers, shim, record, args.clone(), said).await,
        Probe::Shell(line) => {
            run(containers, shim, record, vec!["/bin/sh".into(), "-c".into(), line.clone()], said).await
        }
        Probe::Http(asked) => {
            let Some(address) = reach(cell, record) else { return (1, "it has no address".into()) };
            http::ask(SocketAddr::new(address, asked.port), asked).await
        }
        Probe::Grpc { port, service } => {
            let Some(address) = reach(cell, record) else { return (1, "it has no address".into()) };
            rpc::serves(SocketAddr::new(address, *port), service).await
        }
        Probe::Tcp { port } => {
            let Some(address) = reach(cell, record) else { return (1, "it has no address".into()) };
            match TcpStream::connect((address, *port)).await {
                Ok(_) => (0, String::new()),
                Err(error) => (1, format!("port {port} takes no connection: {error}")),
            }
        }
    }
}

/// Where the host reaches it.
pub(crate) fn reach(cell: &Cell, record: &Record) -> Option<IpAddr> {
    match record.service.network_mode {
        NetworkMode::Host => Some(IpAddr::from([127, 0, 0, 1])),
        NetworkMode::Networks | NetworkMode::None | NetworkMode::Service(_) | NetworkMode::Container(_) => {
            cell.live().addresses.first().copied()
        }
    }
}

async fn run(
    containers: &Containers,
    shim: &Shim,
    record: &Record,
    args: Vec<String>,
    said: &mut Vec<u8>,
) -> (i32, String) {
    match containers.exec_in(shim, record, ExecOrder { args, ..ExecOrder::default() }).await {
        Ok(attached) => {
            let code = exec::collect(attached, OUTPUT, said).await;
            (code, String::from_utf8_lossy(said).into_owned())
        }
        Err(problem) => (-1, Report::of(&problem).to_string()),
    }
}
