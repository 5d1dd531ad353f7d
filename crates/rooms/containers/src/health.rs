//! Asking a container whether it is well, again and again while it runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::Report;
use runtime::Shim;
use spec::{HealthCheck, NetworkMode, Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::cell::{Cell, HealthLog};
use crate::record::{Record, State};
use crate::{Containers, ExecOrder, events, exec};

/// The most that is kept of what a check printed, as docker keeps it.
const OUTPUT: usize = 4096;
/// The first line of an answer fits in this.
const STATUS_LINE: usize = 512;

impl Containers {
    /// How to tell whether it is well: the service's check, else the image's, else none.
    pub(crate) fn healthcheck(&self, record: &Record) -> Option<HealthCheck> {
        let own = record.service.healthcheck.clone();
        let check = own.or_else(|| {
            let image = self.inner.rooms.images.find(&record.image_id).ok()?;
            image_check(image.config.config.healthcheck.as_ref()?)
        })?;
        let disabled =
            matches!(&check.probe, Probe::Exec(args) if args.first().is_some_and(|arg| arg == "NONE"));
        (!disabled).then_some(check)
    }

    /// Begins to ask, if there is something to ask.
    pub(crate) fn watch_health(&self, cell: &Arc<Cell>, shim: &Shim) -> Option<AbortHandle> {
        let record = cell.record();
        let check = self.healthcheck(&record)?;
        cell.live().health.checked = true;
        let (containers, cell, shim) = (self.clone(), cell.clone(), shim.clone());
        let name = format!("health of {}", cell.id.short());
        Some(self.inner.tasks.spawn(name, async move { containers.ask_on(&cell, &shim, &check).await }))
    }

    async fn ask_on(&self, cell: &Arc<Cell>, shim: &Shim, check: &HealthCheck) {
        // A failure counts once an interval, and not before the start period is over: what is asked more often than that
        // is asked to hear of the first good answer, and gives nobody less time to start.
        let mut counts_from = self.clock().now() + check.start_period.max(check.interval);
        loop {
            let well = cell.live().health.well;
            // Nobody waits for an instance to be well a whole interval: until the first good answer we ask often.
            let pause = match well {
                Some(_) => check.interval,
                None if check.start_interval.is_zero() => check.interval.min(Duration::from_secs(1)),
                None => check.start_interval.min(check.interval),
            };
            let first = cell.live().health.log.is_empty();
            tokio::time::sleep(if first { FIRST_ASK.min(pause) } else { pause }).await;
            let now = self.clock().now();
            let counts = well.is_some() || now >= counts_from;
            if counts {
                counts_from = now + check.interval;
            }
            let answer = self.ask(cell, shim, check).await;
            self.judge(cell, check, answer, counts);
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
    fn judge(&self, cell: &Arc<Cell>, check: &HealthCheck, answer: HealthLog, counts: bool) {
        let good = answer.exit_code == 0;
        let turned = {
            let mut live = cell.live();
            let health = &mut live.health;
            health.note(answer.clone());
            if good {
                health.failures = 0;
                health.well.replace(true) != Some(true)
            } else if !counts {
                false
            } else {
                health.failures = health.failures.saturating_add(1);
                health.failures >= check.retries.max(1) && health.well.replace(false) != Some(false)
            }
        };
        if turned {
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
        Probe::Http { port, path } => {
            let Some(address) = reach(cell, record) else { return (1, "it has no address".into()) };
            http(SocketAddr::new(address, *port), path).await
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

async fn http(address: SocketAddr, path: &str) -> (i32, String) {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: sea-health\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while head.len() < STATUS_LINE && !head.contains(&b'\n') {
            if stream.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned())
    };
    match asked.await {
        Err(error) => (1, format!("http://{address}{path}: {error}")),
        Ok(line) => {
            let status = line.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
            let well = line.starts_with("HTTP/1.") && status.is_some_and(|code| (200..400).contains(&code));
            (i32::from(!well), line)
        }
    }
}
