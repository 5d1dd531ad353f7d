//! A service that does as each request says, and timelines of calls to it as text.
//!
//! A timeline is one call a line: `at what [x after]`, times in milliseconds: `5 ok:20 x10` calls 5 ms after the
//! start, is answered `ok` 20 ms later, but is dropped after 10. `what` may hold several answers, one for each try, as
//! in `err:1/ok:2`; the last is repeated. Behind `@` is the client, as in `ok:1@ann`.

pub(crate) mod clock;

use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use resilience::deadline::Deadline;
use resilience::retry::Failure;
use tower::{Service, ServiceExt};
use tower_resilience::deadline::HasDeadline;
use tower_resilience::{AnyAnswer, BoxError, Ending, Refusal, Trouble, World};

pub(crate) fn world(seed: u64) -> World {
    World::simulated(clock::SimulatedClock::shared(), seed)
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) what: String,
    pub(crate) client: String,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) tries: Arc<AtomicUsize>,
}

impl Request {
    pub(crate) fn new(what: &str) -> Self {
        let (what, client) = what.split_once('@').unwrap_or((what, ""));
        Self { what: what.to_owned(), client: client.to_owned(), ..Self::default() }
    }
}

impl HasDeadline for Request {
    fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = Some(deadline);
    }
}

/// Does as requests say. Counts the calls it had, and those that are out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Puppet {
    pub(crate) name: &'static str,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) out: Arc<AtomicUsize>,
}

impl Puppet {
    pub(crate) fn named(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn out(&self) -> usize {
        self.out.load(Ordering::SeqCst)
    }
}

struct Out(Arc<AtomicUsize>);

impl Drop for Out {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service<Request> for Puppet {
    type Response = String;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.out.fetch_add(1, Ordering::SeqCst);
        let (out, name) = (Out(Arc::clone(&self.out)), self.name);
        Box::pin(async move {
            let _out = out;
            let tries: Vec<&str> = request.what.split('/').collect();
            let turn = request.tries.fetch_add(1, Ordering::SeqCst).min(tries.len() - 1);
            let (answer, ms) = tries[turn].split_once(':').unwrap_or((tries[turn], "0"));
            match answer {
                "hang" => std::future::pending().await,
                _ => tokio::time::sleep(Duration::from_millis(ms.parse()?)).await,
            }
            match answer {
                "err" => Err("it broke".into()),
                "ok" if !name.is_empty() => Ok(name.to_owned()),
                other => Ok(other.to_owned()),
            }
        })
    }
}

/// Answers that are numbers are statuses; `503` comes with `Retry-After` of two seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByNumber;

impl tower_resilience::Judge<String> for ByNumber {
    fn judge(&self, answer: Result<&String, &BoxError>) -> Ending {
        match answer.map(|answer| answer.parse::<u16>()) {
            Err(error) => AnyAnswer::of_error(error),
            Ok(Ok(503)) => Ending::NotNow(Trouble {
                retry_after: Some(Duration::from_secs(2)),
                ..Trouble::new(Failure::Status(503))
            }),
            Ok(Ok(status)) if status >= 500 => Ending::Failed(Trouble::new(Failure::Status(status))),
            Ok(_) => Ending::Good,
        }
    }

    fn mark(&self, answer: &mut String) {
        answer.push_str(" marked");
    }
}

/// Makes the calls of a timeline and tells when and how each ended.
pub(crate) async fn timeline<S>(service: S, calls: &str) -> String
where
    S: Service<Request, Response = String, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    let start = tokio::time::Instant::now();
    let mut tasks = Vec::new();
    for line in calls.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.trim_start_matches('x').parse().unwrap();
        let (at, request) = (number(words[0]), Request::new(words[1]));
        let after: u64 = words.get(2).map_or(3_600_000, |word| number(word));
        tokio::time::sleep_until(start + Duration::from_millis(at)).await;
        let service = service.clone();
        let call = async move { call(service, request).await };
        let line = line.to_owned();
        tasks.push(tokio::spawn(async move {
            let ended = match tokio::time::timeout(Duration::from_millis(after), call).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => short(&error),
                Err(_) => "dropped".to_owned(),
            };
            (line, start.elapsed().as_millis(), ended)
        }));
        // In the order of the lines, also for those that come at the same moment.
        tokio::task::yield_now().await;
    }
    let mut told = String::new();
    for task in tasks {
        let (line, at, ended) = task.await.unwrap();
        writeln!(told, "{line} -> {at} {ended}").unwrap();
    }
    told
}

pub(crate) async fn call<S>(mut service: S, request: Request) -> Result<S::Response, BoxError>
where
    S: Service<Request, Error = BoxError>,
{
    service.ready().await?.call(request).await
}

/// An error in one or two words.
pub(crate) fn short(error: &BoxError) -> String {
    let Some(refusal) = Refusal::of(&**error) else { return error.to_string() };
    let debug = format!("{refusal:?}");
    let name = debug.split([' ', '{']).next().unwrap_or_default();
    let detail = match refusal {
        Refusal::BulkheadFull { why } => format!(" {why:?}"),
        Refusal::LimitReached { limit } => format!(" {limit}"),
        Refusal::TimedOut { after, .. } => format!(" {}", after.as_millis()),
        Refusal::Expired
        | Refusal::BreakerOpen { .. }
        | Refusal::Shed { .. }
        | Refusal::RateExceeded { .. }
        | Refusal::AllSpared { .. }
        | Refusal::NoEndpoint => {
            refusal.retry_after().map_or_else(String::new, |t| format!(" {}", t.as_millis()))
        }
    };
    format!("{name}{detail}")
}
