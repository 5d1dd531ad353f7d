//! No request is lost by anything that we do; the short form. The whole is `bench/voyage`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::Rng;
use e2e::load::{Load, Order};
use e2e::{Sea, process, until_ok};
use rustix::process::Signal;

const RATE: u64 = 250;
const DEPLOYS: u32 = 5;
const SCALES: &[u32] = &[5, 3, 4, 3];
const ROLLBACKS: u32 = 2;
const KILLS: u32 = 3;
const DAEMON_KILLS: u32 = 4;

/// nginx without a health check: it is probed from outside, and ends its connections gracefully when it is told to.
const APP: &str = r#"
name: steady
services:
  web:
    image: nginx:1.22
    command: [nginx, -c, /etc/steady.conf, -g, "daemon off;"]
    configs: [{source: conf, target: /etc/steady.conf}]
    expose: ["8080"]
    stop_grace_period: 5s
    deploy: {replicas: 3, update_config: {monitor: 200ms, parallelism: 3}, rollback_config: {monitor: 200ms, parallelism: 3}}
    x-sea: {route: "steady.example -> 8080"}
configs:
  conf:
    content: |
      events {}
      http {
        access_log off;
        server { listen 8080; location / { default_type text/plain; return 200 "steady ${VERSION:-v0}\n"; } }
      }
"#;

fn deploy(sea: &Sea, version: u32) -> Result<()> {
    let mut command = sea.command(&["up", "-d", "--wait"]);
    let output = command.env("VERSION", format!("v{version}")).output()?;
    e2e::Done::new(format!("VERSION=v{version} sea up"), &output).exits(0);
    Ok(())
}

/// Waits until three instances are ready.
fn whole(sea: &Sea) -> Result<()> {
    until_ok("three instances are ready", 30, || {
        let status = sea.json(&["status"]);
        ensure!(status["services"][0]["ready"] == 3, "{status}");
        Ok(())
    })
}

/// Kills the main process of one container, as a crash does.
fn kill_one(sea: &Sea, rng: &mut Rng) -> Result<()> {
    let list = sea.json(&["ps"]);
    let victim = rng.pick(list.as_array().context("a list")?).context("there are containers")?.clone();
    process::signal(i32::try_from(victim["pid"].as_i64().context("a process")?)?, Signal::KILL);
    until_ok("the killed container is replaced", 30, || {
        let now = sea.json(&["ps"]);
        let same = |view: &&serde_json::Value| view["pid"] == victim["pid"];
        ensure!(now.as_array().context("a list")?.iter().find(same).is_none(), "{now}");
        Ok(())
    })?;
    whole(sea)
}

#[test]
fn no_request_is_lost() -> Result<()> {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_123);
    println!("SEED={seed} replays the moments");
    let mut rng = Rng::seeded(seed);
    let sea = Sea::with_images(&["nginx"])?;
    sea.write("compose.yaml", APP);
    deploy(&sea, 0)?;
    whole(&sea)?;
    let order = Order {
        address: sea.http()?,
        host: "steady.example".into(),
        rate: RATE,
        own: |answer| answer.status == 200 && answer.body.starts_with("steady "),
    };
    let load = Load::begin(order);
    let mut last = 0;
    let mut mark = |what: &str| {
        let tally = load.so_far();
        println!("{what}: {} sent, {} foreign, {} broken", tally.sent - last, tally.foreign, tally.broken);
        last = tally.sent;
    };
    for version in 1..=DEPLOYS {
        deploy(&sea, version)?;
    }
    mark("deploys");
    for replicas in SCALES {
        sea.sea(&["scale", &format!("web={replicas}")]).exits(0);
    }
    mark("scale changes");
    for _ in 0..ROLLBACKS {
        sea.sea(&["rollback"]).exits(0);
    }
    mark("rollbacks");
    // A rollback may lead to a release with another number of instances.
    sea.sea(&["scale", "web=3"]).exits(0);
    for _ in 0..KILLS {
        kill_one(&sea, &mut rng)?;
    }
    mark("kills of containers");
    for round in 0..DAEMON_KILLS {
        // In the middle of a deploy, at a moment that the seed chooses.
        let mut command = sea.command_for_this_daemon(&["up", "-d", "--wait"]);
        let mut child = command.env("VERSION", format!("k{round}")).env("SEA_FORMAT", "json").spawn()?;
        std::thread::sleep(Duration::from_millis(rng.below(1500)));
        sea.replace_daemon()?;
        child.wait()?;
        whole(&sea)?;
    }
    mark("kills of the daemon");
    let tally = load.end();
    println!(
        "{} requests, the slowest answer after {} ms, {} late",
        tally.sent,
        tally.slowest.as_millis(),
        tally.late
    );
    tally.lost_nothing();
    ensure!(tally.late == 0, "{} requests left late: the client was too slow to say anything", tally.late);
    sea.end()
}
