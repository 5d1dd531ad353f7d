//! Balancing.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use expect_test::expect;
use resilience::balance::Standing;
use tower::{Service, ServiceExt};
use tower_resilience::BoxError;
use tower_resilience::balance::{Balance, BalancePolicy, Endpoint};

use crate::support::{ByNumber, Puppet, Request, call, short, timeline, world};

fn puppets() -> [Puppet; 3] {
    ["a", "b", "c"].map(Puppet::named)
}

fn endpoints<S: Clone>(of: &[S]) -> Vec<Endpoint<usize, S>> {
    of.iter().cloned().enumerate().map(|(key, service)| Endpoint::new(key, service)).collect()
}

#[tokio::test(start_paused = true)]
async fn requests_go_to_those_with_less_to_do_and_dropped_calls_are_not_counted() {
    let puppets = puppets();
    let balance = Balance::new(BalancePolicy::default(), &world(1), endpoints(&puppets));
    let pool = balance.pool();
    timeline(balance.clone(), &"0 ok:10\n".repeat(30)).await;
    let calls: Vec<usize> = puppets.iter().map(Puppet::calls).collect();
    assert!(calls.iter().all(|count| (8..=12).contains(count)), "{calls:?}");
    timeline(balance.clone(), &"0 hang x20\n".repeat(30)).await;
    assert!(pool.view().iter().all(|endpoint| endpoint.in_flight == 0));
}

/// Delays a puppet, whatever it is asked.
#[derive(Clone)]
struct Slow(Puppet, u64);

impl Service<Request> for Slow {
    type Response = String;
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (call, delay) = (self.0.call(request), Duration::from_millis(self.1));
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            call.await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_gets_little_and_one_that_hangs_until_callers_give_up_too() {
    for slow_ms in [100, 100_000] {
        let puppets = puppets();
        let services = [(&puppets[0], 5), (&puppets[1], 5), (&puppets[2], slow_ms)];
        let services = services.map(|(puppet, ms)| Slow(puppet.clone(), ms));
        let balance = Balance::new(BalancePolicy::default(), &world(1), endpoints(&services));
        for _ in 0..200 {
            timeline(balance.clone(), "0 ok:1 x200\n1 ok:1 x200").await;
        }
        let calls: Vec<usize> = puppets.iter().map(Puppet::calls).collect();
        assert!(calls[2] < 20, "at {slow_ms} ms: {calls:?}");
    }
}

/// Fails while told to.
#[derive(Clone)]
struct Moody(Puppet, Arc<Mutex<&'static str>>);

impl Service<Request> for Moody {
    type Response = String;
    type Error = BoxError;
    type Future = <Puppet as Service<Request>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match *self.1.lock().unwrap() {
            "unready" => Poll::Ready(Err("no connection".into())),
            "never" => Poll::Pending,
            _ => self.0.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mood = *self.1.lock().unwrap();
        self.0.call(if mood.is_empty() { request } else { Request::new(mood) })
    }
}

fn moody() -> ([Moody; 3], Vec<Arc<Mutex<&'static str>>>) {
    let services = puppets().map(|puppet| Moody(puppet, Arc::default()));
    let moods = services.iter().map(|service| Arc::clone(&service.1)).collect();
    (services, moods)
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_ejected_and_comes_back() {
    for mood in ["500:1", "unready", "err:1"] {
        let (services, moods) = moody();
        *moods[1].lock().unwrap() = mood;
        let changes = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&changes);
        let balance = Balance::new(BalancePolicy::default(), &world(1), endpoints(&services))
            .judged_by(ByNumber)
            .on_change(move |key, change| told.lock().unwrap().push((*key, format!("{change:?}"))));
        let pool = balance.pool();
        let standing = || pool.view()[1].standing;
        for _ in 0..30 {
            timeline(balance.clone(), &"0 ok:1\n".repeat(30)).await;
        }
        assert_eq!(standing(), Standing::Out, "{mood}");
        *moods[1].lock().unwrap() = "";
        tokio::time::sleep(Duration::from_secs(13)).await;
        timeline(balance.clone(), &"0 ok:1\n".repeat(30)).await;
        assert_eq!(standing(), Standing::Open, "{mood}");
        let changes = changes.lock().unwrap();
        assert!(changes[0].0 == 1 && changes[0].1.starts_with("Ejected"), "{changes:?}");
        assert_eq!(changes[1], (1, "Returned".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_say_not_now_are_spared_and_when_all_do_callers_hear_when_to_come_back() {
    let (services, moods) = moody();
    let balance = Balance::new(BalancePolicy::default(), &world(1), endpoints(&services)).judged_by(ByNumber);
    *moods[0].lock().unwrap() = "503";
    timeline(balance.clone(), &"0 ok:1\n".repeat(9)).await;
    assert_eq!(balance.pool().view()[0].standing, Standing::Spared);
    *moods[1].lock().unwrap() = "503";
    *moods[2].lock().unwrap() = "503";
    timeline(balance.clone(), &"0 ok:1\n".repeat(9)).await;
    let refused = short(&call(balance.clone(), Request::new("ok")).await.unwrap_err());
    let (name, wait_ms) = refused.split_once(' ').unwrap();
    let wait_ms: u64 = wait_ms.parse().unwrap();
    assert!(name == "AllSpared" && (1..=2_500).contains(&wait_ms), "{refused}");
    moods.iter().for_each(|mood| *mood.lock().unwrap() = "");
    tokio::time::sleep(Duration::from_millis(wait_ms + 1)).await;
    assert!(call(balance, Request::new("ok")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_one_is_and_waits_while_none_is() {
    let (services, moods) = moody();
    *moods[0].lock().unwrap() = "never";
    *moods[1].lock().unwrap() = "never";
    let balance = Balance::new(BalancePolicy::default(), &world(1), endpoints(&services));
    let told = expect![[r#"
        0 ok:1 -> 1 c
        0 ok:1 -> 1 c
        0 ok:1 -> 1 c
        0 ok:1 -> 1 c
    "#]];
    told.assert_eq(&timeline(balance.clone(), &"0 ok:1\n".repeat(4)).await);
    *moods[2].lock().unwrap() = "never";
    let mut waiting = balance.clone();
    let waits = tokio::time::timeout(Duration::from_secs(60), waiting.ready()).await;
    assert!(waits.is_err(), "none is ready");
    // One that comes wakes those who wait.
    let pool = balance.pool();
    let (ready, ()) = tokio::join!(waiting.ready(), async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let newcomer = Moody(Puppet::named("d"), Arc::default());
        pool.replace([Endpoint::new(7, newcomer)]);
    });
    assert_eq!(ready.unwrap().call(Request::new("ok")).await.unwrap(), "d");
}

#[tokio::test(start_paused = true)]
async fn endpoints_come_and_go_and_calls_to_those_that_left_go_on() {
    let puppets = puppets();
    let balance = Balance::new(BalancePolicy::default(), &world(1), endpoints(&puppets[..1]));
    let pool = balance.pool();
    let running = tokio::spawn(call(balance.clone(), Request::new("ok:50")));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(pool.view()[0].in_flight, 1);
    pool.replace(endpoints(&puppets));
    assert_eq!(pool.view()[0].in_flight, 1, "one that stays keeps its calls");
    pool.replace([Endpoint::new(1, puppets[1].clone())]);
    pool.replace([Endpoint::new(0, puppets[0].clone())]);
    assert_eq!(pool.view()[0].in_flight, 0, "one that comes back has none of its old ones");
    assert_eq!(running.await.unwrap().unwrap(), "a");
    assert_eq!(pool.view()[0].in_flight, 0);
    pool.replace([]);
    assert_eq!(short(&call(balance, Request::new("ok")).await.unwrap_err()), "NoEndpoint");
}
