//! Crashes while an app is deployed, changed and taken down.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::crash::Role;
use e2e::{Done, Sea, process};
use rustix::process::Signal;

use super::{Operation, soon, survives};

const APP: &str = r#"
name: app
services:
  web:
    image: busybox:1.36
    init: true
    command: [sh, -c, "mkdir /www; echo release $$VERSION > /www/index.html; exec httpd -f -p 8080 -h /www"]
    environment: {VERSION: "${VERSION:-v1}"}
    depends_on: {db: {condition: service_started}, migrate: {condition: service_completed_successfully}}
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/"], interval: 300ms, start_interval: 100ms, start_period: 5s}
    stop_grace_period: 2s
    ports: ["127.0.0.1::8080"]
    secrets: [word]
    tmpfs: [/tmp]
    volumes: ["/scratch"]
    networks: [front]
    deploy: {update_config: {monitor: 100ms}}
    x-sea: {route: "app.example -> 8080"}
  db:
    image: busybox:1.36
    init: true
    command: [sh, -c, "echo $$VERSION >> /data/log; exec sleep infinity"]
    environment: {VERSION: "${VERSION:-v1}"}
    volumes: ["data:/data"]
    networks: [front]
    stop_grace_period: 2s
    deploy: {update_config: {monitor: 100ms, order: stop-first}}
  migrate:
    image: busybox:1.36
    command: ["true"]
    environment: {VERSION: "${VERSION:-v1}"}
    networks: [back]
networks: {front: {}, back: {internal: true}}
volumes: {data: {}}
secrets: {word: {file: word.txt}}
"#;

fn prepare(sea: &Sea) {
    sea.write("compose.yaml", APP);
    sea.write("word.txt", "swordfish");
}

fn up(sea: &Sea, version: &str) -> Result<Done> {
    prepare(sea);
    let output = sea.command(&["up", "-d", "--wait"]).env("VERSION", version).output()?;
    Ok(Done::new(format!("VERSION={version} sea up"), &output))
}

/// The number of the newest release; 0 without one.
fn newest(sea: &Sea) -> Result<u64> {
    let done = sea.sea(&["--format", "json", "-p", "app", "releases"]);
    Ok(if done.code == 0 { done.json()[0]["number"].as_u64().unwrap_or(0) } else { 0 })
}

fn is_there(sea: &Sea) -> bool {
    sea.sea(&["ls", "-q"]).exits(0).text() == "app"
}

/// The app runs as this release has it.
fn runs(sea: &Sea, release: u64, version: &str, webs: u64) -> Result<()> {
    serves(sea, version, webs)?;
    let status = sea.json(&["-p", "app", "status"]);
    ensure!(status["summary"]["release"] == release, "{status}");
    Ok(())
}

/// The app runs: so many of `web` of this version, one of `db`, each as its file says.
fn serves(sea: &Sea, version: &str, webs: u64) -> Result<()> {
    let status = soon("the app runs", || {
        let status = sea.sea(&["--format", "json", "-p", "app", "status"]);
        ensure!(status.code == 0, "{status}");
        let status = status.json();
        let summary = &status["summary"];
        let all = summary["ready"] == webs + 1 && summary["wanted"] == webs + 1;
        ensure!(summary["state"] == "running" && all, "{status}");
        let instances = status["services"].as_array().into_iter().flatten();
        let instances =
            instances.filter_map(|service| Some(service["instances"].as_array()?.len() as u64)).sum::<u64>();
        ensure!(instances <= webs + 2, "an old instance is there still: {status}");
        Ok(status)
    })?;
    let answer = sea.answers("app.example", "/", &format!("release {version}"))?;
    ensure!(answer.status == 200, "{answer:?} of {status}");
    let web = sea.json(&["ps", "web"])[0]["name"].as_str().unwrap_or_default().to_owned();
    sea.sea(&["exec", "-T", &web, "cat", "/run/secrets/word"]).exits(0).says("swordfish");
    sea.sea(&["exec", "-T", &web, "touch", "/scratch/x"]).exits(0);
    soon("the names are answered", || {
        let done = sea.sea(&["exec", "-T", &web, "nslookup", "db"]);
        ensure!(done.code == 0, "{done}");
        Ok(())
    })?;
    Ok(())
}

fn nothing(_: &Sea) -> Result<()> {
    Ok(())
}

fn first(sea: &Sea) -> Result<()> {
    up(sea, "v1")?.exits(0);
    Ok(())
}

const UP: Operation<'static> = Operation {
    before: &nothing,
    act: &|sea| Ok(vec![up(sea, "v1")?]),
    again: &|sea| {
        if !is_there(sea) {
            up(sea, "v1")?.exits(0);
        }
        Ok(())
    },
    check: &|sea| runs(sea, 1, "v1", 1),
};

#[test]
fn an_app_comes_up() -> Result<()> {
    survives(Role::Serving, &UP)
}

/// The end of a migration whose shim died cannot be told, so the release may have failed; then a person asks again.
fn insist(sea: &Sea, version: &str) -> Result<()> {
    soon("the release has ended", || {
        let status = sea.json(&["-p", "app", "status"]);
        let state = status["summary"]["state"].as_str().unwrap_or_default();
        ensure!(["running", "failed"].contains(&state), "{status}");
        Ok(())
    })?;
    let live = sea.json(&["-p", "app", "releases"])[0]["status"] == "live";
    if !live {
        up(sea, version)?.exits(0);
    }
    Ok(())
}

#[test]
fn an_app_comes_up_though_a_shim_dies() -> Result<()> {
    let again = |sea: &Sea| insist(sea, "v1");
    survives(Role::Shim, &Operation { again: &again, check: &|sea| serves(sea, "v1", 1), ..UP })
}

#[test]
fn an_app_comes_up_though_the_edge_dies() -> Result<()> {
    survives(Role::Edge, &UP)
}

#[test]
fn an_app_comes_up_though_the_names_die() -> Result<()> {
    survives(Role::Names, &UP)
}

#[test]
fn an_app_comes_up_though_a_first_process_dies() -> Result<()> {
    let again = |sea: &Sea| insist(sea, "v1");
    survives(Role::Inside, &Operation { again: &again, check: &|sea| serves(sea, "v1", 1), ..UP })
}

const CHANGE: Operation<'static> = Operation {
    before: &first,
    act: &|sea| Ok(vec![up(sea, "v2")?]),
    again: &|sea| {
        if newest(sea)? < 2 {
            up(sea, "v2")?.exits(0);
        }
        Ok(())
    },
    check: &|sea| runs(sea, 2, "v2", 1),
};

#[test]
fn an_app_is_changed() -> Result<()> {
    survives(Role::Serving, &CHANGE)
}

#[test]
fn an_app_is_changed_though_a_shim_dies() -> Result<()> {
    let again = |sea: &Sea| insist(sea, "v2");
    survives(Role::Shim, &Operation { again: &again, check: &|sea| serves(sea, "v2", 1), ..CHANGE })
}

fn scale(sea: &Sea, count: u64) -> Done {
    sea.sea(&["scale", &format!("web={count}")])
}

#[test]
fn a_service_gets_more_instances() -> Result<()> {
    let again = |sea: &Sea| {
        if newest(sea)? < 2 {
            scale(sea, 3).exits(0);
        }
        Ok(())
    };
    survives(
        Role::Serving,
        &Operation {
            before: &first,
            act: &|sea| Ok(vec![scale(sea, 3)]),
            again: &again,
            check: &|sea| runs(sea, 2, "v1", 3),
        },
    )
}

#[test]
fn a_service_gets_fewer_instances() -> Result<()> {
    let before = |sea: &Sea| {
        first(sea)?;
        scale(sea, 3).exits(0);
        runs(sea, 2, "v1", 3)
    };
    let again = |sea: &Sea| {
        if newest(sea)? < 3 {
            scale(sea, 1).exits(0);
        }
        Ok(())
    };
    survives(
        Role::Serving,
        &Operation {
            before: &before,
            act: &|sea| Ok(vec![scale(sea, 1)]),
            again: &again,
            check: &|sea| runs(sea, 3, "v1", 1),
        },
    )
}

#[test]
fn an_app_is_rolled_back() -> Result<()> {
    let before = |sea: &Sea| {
        first(sea)?;
        up(sea, "v2")?.exits(0);
        Ok(())
    };
    let again = |sea: &Sea| {
        if newest(sea)? < 3 {
            sea.sea(&["rollback"]).exits(0);
        }
        Ok(())
    };
    survives(
        Role::Serving,
        &Operation {
            before: &before,
            act: &|sea| Ok(vec![sea.sea(&["rollback"])]),
            again: &again,
            check: &|sea| runs(sea, 3, "v1", 1),
        },
    )
}

#[test]
fn a_service_is_stopped_and_started() -> Result<()> {
    let act = |sea: &Sea| Ok(vec![sea.sea(&["stop", "web"]), sea.sea(&["start", "web"])]);
    let again = |sea: &Sea| {
        sea.sea(&["start", "web"]).exits(0);
        Ok(())
    };
    survives(
        Role::Serving,
        &Operation { before: &first, act: &act, again: &again, check: &|sea| runs(sea, 1, "v1", 1) },
    )
}

#[test]
fn an_instance_that_dies_is_replaced() -> Result<()> {
    let act = |sea: &Sea| {
        let before = sea.sea(&["--format", "json", "ps", "web"]);
        if before.code != 0 {
            return Ok(Vec::new());
        }
        let pid = before.json()[0]["pid"].as_i64().unwrap_or(0);
        process::signal(i32::try_from(pid)?, Signal::KILL);
        soon("another runs, or the daemon died", || {
            if sea.crashed() {
                return Ok(Vec::new());
            }
            let now = sea.sea(&["--format", "json", "ps", "web"]);
            ensure!(now.code == 0 || sea.crashed(), "{now}");
            let fresh = now.code == 0 && now.json()[0]["pid"].as_i64().is_some_and(|now| now != pid);
            ensure!(fresh && now.json()[0]["health"]["status"] == "healthy", "{now}");
            Ok(Vec::new())
        })
    };
    survives(
        Role::Serving,
        &Operation { before: &first, act: &act, again: &nothing, check: &|sea| runs(sea, 1, "v1", 1) },
    )
}

#[test]
fn a_daemon_finds_an_app_again_whose_instances_and_edge_died() -> Result<()> {
    let before = |sea: &Sea| {
        first(sea)?;
        let list = sea.json(&["ps"]);
        let pids = list.as_array().into_iter().flatten().filter_map(|view| view["pid"].as_i64());
        let edge = |pid: &i32| process::arguments(*pid).get(1).is_some_and(|word| word == "edge");
        let mut victims: Vec<i32> = sea.traces().processes().into_iter().filter(edge).collect();
        victims.extend(pids.filter_map(|pid| i32::try_from(pid).ok()));
        sea.end_daemon(Signal::KILL)?;
        for pid in victims {
            process::signal(pid, Signal::KILL);
            ensure!(process::ended(pid, Duration::from_secs(10)), "it ends");
        }
        Ok(())
    };
    survives(
        Role::Starting,
        &Operation {
            before: &before,
            act: &|_| Ok(Vec::new()),
            again: &nothing,
            check: &|sea| runs(sea, 1, "v1", 1),
        },
    )
}

/// How often the app was told to leave.
fn farewells(sea: &Sea) -> usize {
    sea.sea(&["events", "--everything", "-n", "100000"]).exits(0).stdout.matches("shall leave").count()
}

fn leaves(role: Role, arguments: &[&str], check: super::Do<'_>) -> Result<()> {
    let told = std::cell::Cell::new(0);
    let before = |sea: &Sea| {
        // The shim of a job has ended before, and must not be the one that dies.
        let (begin, rest) = APP.split_once("  migrate:\n").context("there is a job")?;
        let (_, end) = rest.split_once("networks: {front").context("networks follow")?;
        let app = begin.replace(", migrate: {condition: service_completed_successfully}", "");
        sea.write("compose.yaml", &format!("{app}networks: {{front{end}"));
        sea.write("word.txt", "swordfish");
        sea.sea(&["up", "-d", "--wait"]).exits(0);
        told.set(farewells(sea));
        Ok(())
    };
    let again = |sea: &Sea| {
        if farewells(sea) == told.get() {
            sea.sea(arguments).exits(0);
        }
        Ok(())
    };
    let check = |sea: &Sea| {
        soon("the app is gone", || {
            ensure!(!is_there(sea), "it is there still");
            Ok(())
        })?;
        let left = sea.json(&["ps", "--all", "--everything"]);
        ensure!(left.as_array().is_some_and(Vec::is_empty), "{left}");
        let left = sea.sea(&["network", "ls", "-q"]).exits(0);
        ensure!(!left.stdout.contains("app_"), "{left}");
        check(sea)
    };
    survives(
        role,
        &Operation {
            before: &before,
            act: &|sea| Ok(vec![sea.sea(arguments)]),
            again: &again,
            check: &check,
        },
    )
}

fn keeps_its_data(sea: &Sea) -> Result<()> {
    sea.sea(&["volume", "ls", "-q"]).exits(0).says("app_data");
    Ok(())
}

#[test]
fn an_app_goes_down_and_leaves_its_data() -> Result<()> {
    leaves(Role::Serving, &["down"], &keeps_its_data)
}

#[test]
fn an_app_goes_down_though_a_shim_dies() -> Result<()> {
    leaves(Role::OldShim, &["down"], &keeps_its_data)
}

#[test]
fn an_app_goes_down_with_its_data() -> Result<()> {
    let check = |sea: &Sea| {
        sea.sea(&["volume", "ls", "-q"]).exits(0).says("");
        // What comes under the same name is new.
        sea.sea(&["run", "--rm", "-v", "app_data:/data", super::BUSYBOX, "ls", "/data"]).exits(0).says("");
        sea.sea(&["volume", "rm", "app_data"]).exits(0);
        Ok(())
    };
    leaves(Role::Serving, &["down", "--volumes"], &check)
}
