//! The daemon may be killed, ended, or unable to start: apps go on, and errors are clear.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::load::{Load, Order};
use e2e::{Sea, http, process, until_ok};
use rustix::process::Signal;

const PAIR: &str = r#"
name: pair
services:
  web:
    image: busybox:1.36
    init: true
    command: [sh, -c, "mkdir /www; echo $$HOSTNAME > /www/index.html; exec httpd -f -p 8080 -h /www"]
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/"], interval: 1s, start_interval: 100ms, start_period: 10s}
    stop_grace_period: 2s
    deploy: {replicas: 2, update_config: {monitor: 100ms}}
    x-sea: {route: "pair.example -> 8080"}
  asker:
    image: busybox:1.36
    init: true
    command: [sh, -c, "while :; do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 web 8080 | grep -q '200 OK' && echo good || echo bad; sleep 0.1; done"]
    depends_on: {web: {condition: service_healthy}}
    stop_grace_period: 1s
"#;

fn pair() -> Result<Sea> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("compose.yaml", PAIR);
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    sea.answers("pair.example", "/", "")?;
    Ok(sea)
}

fn containers(sea: &Sea) -> Result<Vec<(String, u64)>> {
    let list = sea.json(&["ps"]);
    let one = |view: &serde_json::Value| {
        Ok((view["id"].as_str().context("an id")?.to_owned(), view["pid"].as_u64().context("a process")?))
    };
    let mut found = list.as_array().context("a list")?.iter().map(one).collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

#[test]
fn apps_go_on_without_the_daemon_and_a_new_one_finds_them() -> Result<()> {
    let sea = pair()?;
    let before = containers(&sea)?;
    let address = sea.http()?;
    for signal in [Signal::KILL, Signal::TERM] {
        sea.end_daemon(signal)?;
        for _ in 0..20 {
            let answer = http::get(address, "pair.example", "/")?;
            ensure!(answer.status == 200, "the edge serves on: {answer:?}");
        }
        for (id, pid) in &before {
            ensure!(process::lives(i32::try_from(*pid)?), "container {id} lives on");
        }
        // A command that needs a daemon says so, and does not start one by itself where it only looks.
        sea.sea(&["ps"]).exits(1).complains("no daemon answers");
        std::thread::sleep(Duration::from_millis(500));
        sea.start_daemon()?;
        ensure!(containers(&sea)? == before, "the same containers with the same processes");
        ensure!(sea.http()? == address, "the edge is the same");
        ensure!(sea.json(&["status"])["summary"]["release"] == 1, "it is the same release");
    }
    let log = sea.sea(&["logs", "--no-log-prefix", "asker"]).exits(0);
    let (good, bad) = (log.stdout.matches("good").count(), log.stdout.matches("bad").count());
    ensure!(good > 5 && bad == 0, "names resolve all the time: {good} good, {bad} bad");
    sea.end()
}

#[test]
fn what_dies_while_the_daemon_is_away_is_replaced_when_it_is_back() -> Result<()> {
    let sea = pair()?;
    let (_, victim) = containers(&sea)?.pop().context("there are containers")?;
    sea.end_daemon(Signal::KILL)?;
    process::signal(i32::try_from(victim)?, Signal::KILL);
    ensure!(process::ended(i32::try_from(victim)?, Duration::from_secs(10)), "it is dead");
    sea.start_daemon()?;
    until_ok("all run again", 30, || {
        let status = sea.json(&["status"]);
        ensure!(status["summary"]["ready"] == status["summary"]["wanted"], "{status}");
        Ok(())
    })?;
    sea.end()
}

#[test]
fn the_edge_is_replaced_when_it_dies_and_nobody_is_refused_meanwhile() -> Result<()> {
    let sea = pair()?;
    let address = sea.http()?;
    let edge = || {
        let words = |pid: &i32| process::arguments(*pid).iter().any(|word| word == "edge");
        sea.traces().processes().into_iter().find(words)
    };
    for _ in 0..3 {
        let pid = edge().context("the edge is a process of its own")?;
        let began = std::time::Instant::now();
        process::signal(pid, Signal::KILL);
        ensure!(process::ended(pid, Duration::from_secs(10)), "it is dead");
        // No second try: who connects now waits in a socket that the daemon keeps open.
        let answer = http::get(address, "pair.example", "/")?;
        ensure!(answer.status == 200, "{answer:?}");
        println!("answered {:?} after the edge was killed", began.elapsed());
    }
    let first = edge().context("another edge serves")?;
    process::signal(first, Signal::KILL);
    until_ok("another edge serves", 20, || {
        ensure!(edge().is_some_and(|pid| pid != first), "no other edge");
        let answer = sea.get("pair.example", "/")?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })?;
    sea.end()
}

#[test]
fn an_edge_that_dies_as_it_takes_over_costs_no_request() -> Result<()> {
    let sea = pair()?;
    let load = Load::begin(Order {
        address: sea.http()?,
        host: "pair.example".into(),
        rate: 100,
        own: |answer| answer.status == 200,
    });
    let (ours, other) = (e2e::program(), sea.another_program()?);
    for (at, program) in [("ready to take over", &other), ("took over", &other), ("took over", &ours)] {
        let log = sea.home().join(format!("{} {}", load.so_far().sent, at));
        let died = log.with_extension("died");
        let surroundings =
            [("SEA_CRASH_AT", format!("edge 1 edge: {at}").into()), ("SEA_CRASH_LOG", log.clone().into())];
        sea.upgrade_daemon(program, &surroundings)?;
        ensure!(died.exists(), "an edge died when it was `{at}`: {}", fs::read_to_string(&log)?);
        let before = load.so_far().own;
        until_ok("requests go on", 20, || {
            ensure!(load.so_far().own > before + 50, "{:?}", load.so_far());
            Ok(())
        })?;
    }
    load.end().lost_nothing();
    sea.end()
}

#[test]
fn names_are_answered_again_when_their_process_dies() -> Result<()> {
    let sea = pair()?;
    let names = || {
        let words = |pid: &i32| process::arguments(*pid).get(1).is_some_and(|word| word == "names");
        sea.traces().processes().into_iter().find(words)
    };
    let first = names().context("names are a process of their own")?;
    process::signal(first, Signal::KILL);
    until_ok("names are answered again", 20, || {
        ensure!(names().is_some_and(|pid| pid != first), "nobody answers for names");
        let done = sea.sea(&["exec", "-T", "asker", "nslookup", "web"]);
        ensure!(done.code == 0, "{done}");
        Ok(())
    })?;
    sea.end()
}

#[test]
fn a_second_daemon_on_the_same_root_is_refused() -> Result<()> {
    let sea = Sea::start()?;
    let pid = sea.daemon_pid()?;
    let done = sea.sea(&["daemon"]).exits(1);
    ensure!(done.stderr.contains("root") && done.stderr.contains("daemon"), "it says why: {done}");
    ensure!(sea.daemon_pid()? == pid, "the first is unharmed");
    sea.end()
}

#[test]
fn a_taken_port_is_told_and_nothing_is_lost() -> Result<()> {
    let sea = pair()?;
    sea.sea(&["down"]).exits(0);
    sea.end_daemon(Signal::TERM)?;
    for pid in sea.traces().processes() {
        process::signal(pid, Signal::TERM);
        ensure!(process::ended(pid, Duration::from_secs(40)), "it ends");
    }
    let holder = TcpListener::bind("127.0.0.1:0")?;
    let address = holder.local_addr()?.to_string();
    let log = sea.home().join("refused.log");
    let file = OpenOptions::new().create(true).append(true).open(&log)?;
    let mut command = sea.command(&["daemon", "--http", &address]);
    let mut child = command.stdout(file.try_clone()?).stderr(file).spawn()?;
    let told = until_ok("it says that the port is taken", 20, || {
        let text = fs::read_to_string(&log)?;
        ensure!(text.contains(&address), "{text}");
        Ok(text)
    });
    let _ = child.kill();
    child.wait()?;
    told?;
    drop(holder);
    sea.start_daemon()?;
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    sea.answers("pair.example", "/", "")?;
    sea.end()
}

#[test]
fn a_broken_database_is_told_and_left_as_it_is() -> Result<()> {
    let sea = Sea::start()?;
    sea.end_daemon(Signal::TERM)?;
    let database = fs::read_dir(sea.root())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3")))
        .context("the state is in a database")?;
    let good = fs::read(&database)?;
    let mut damaged = good.clone();
    let from = 100.min(damaged.len());
    damaged[from..].fill(0x5a);
    damaged[..100.min(good.len())].reverse();
    fs::write(&database, &damaged)?;
    for extra in ["-wal", "-shm"] {
        let mut name = database.clone().into_os_string();
        name.push(extra);
        let _ = fs::remove_file(name);
    }
    let done = sea.sea(&["daemon"]).exits(1);
    let name = database.file_name().context("it has a name")?.to_string_lossy().into_owned();
    ensure!(done.stderr.contains(&name) && done.stderr.contains("hint"), "it names the file: {done}");
    ensure!(fs::read(&database)? == damaged, "nobody wrote over it");
    fs::write(&database, &good)?;
    sea.start_daemon()?;
    sea.end()
}

#[test]
fn a_command_that_needs_a_daemon_starts_one_and_says_so() -> Result<()> {
    let sea = Sea::new();
    sea.write(
        "compose.yaml",
        "name: app\nservices: {box: {image: 'busybox:1.36', init: true, command: [sleep, infinity]}}\n",
    );
    let archive = e2e::image("busybox").display().to_string();
    sea.sea(&["image", "load", "-i", &archive]).exits(0).complains("started one");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    ensure!(sea.json(&["status"])["summary"]["state"] == "running", "it runs");
    sea.end()
}

#[test]
fn a_damaged_record_costs_nobody_his_data() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let script = "echo precious > /data.txt; exec sleep 300";
    sea.sea(&["run", "-d", "--name", "keep", "busybox:1.36", "sh", "-c", script]).exits(0);
    until_ok("it has written", 10, || {
        ensure!(sea.sea(&["exec", "keep", "cat", "/data.txt"]).text().trim() == "precious", "not yet");
        Ok(())
    })?;
    let view = sea.inspect("keep");
    let (id, pid) =
        (view["id"].as_str().context("an id")?.to_owned(), view["pid"].as_i64().context("a pid")?);
    sea.end_daemon(Signal::KILL)?;
    fs::write(sea.root().join("containers").join(&id).join("container.json"), "{bad")?;
    sea.start_daemon()?;
    // Nobody can say any more what runs there, so nothing does; but every file is where it was.
    let proc = std::path::PathBuf::from(format!("/proc/{pid}"));
    until_ok("its process has ended", 10, || {
        ensure!(!proc.exists(), "it runs on");
        Ok(())
    })?;
    sea.sea(&["prune", "-a", "-y"]).exits(0);
    let upper = sea.root().join("images/snapshots").join(&id).join("upper/data.txt");
    ensure!(fs::read_to_string(&upper)?.trim() == "precious", "`{}`", upper.display());
    ensure!(sea.end_of_log().contains("damaged"), "the log says it: {}", sea.end_of_log());
    sea.end()
}

#[test]
fn a_damaged_database_is_told_by_the_doctor_too() -> Result<()> {
    let sea = Sea::start()?;
    sea.sea(&["volume", "create", "precious"]).exits(0);
    sea.end_daemon(Signal::TERM)?;
    let path = sea.root().join("sea.db");
    let whole = fs::read(&path)?;
    // What was written last may lie beside it.
    for beside in ["sea.db-wal", "sea.db-shm"] {
        let _ = fs::remove_file(sea.root().join(beside));
    }
    fs::write(&path, b"this is no database, and long enough not to be taken for an empty one".repeat(64))?;
    let told = sea.sea(&["doctor"]);
    ensure!(told.code == 1 && told.stdout.contains("BAD  root: database"), "{told}");
    fs::write(&path, whole)?;
    sea.start_daemon()?;
    sea.sea(&["volume", "ls", "-q"]).exits(0).says("precious");
    sea.end()
}
