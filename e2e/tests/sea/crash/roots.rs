//! Crashes while a daemon starts and stops, and while networks and volumes are made and removed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::crash::Role;
use e2e::{Done, Sea, http, process};
use rustix::process::Signal;

use super::{BUSYBOX, Operation, soon, survives};

fn makes(sea: &Sea) -> Vec<Done> {
    vec![sea.sea(&["network", "create", "lane"]), sea.sea(&["volume", "create", "hold"])]
}

fn removes(sea: &Sea) -> Vec<Done> {
    vec![sea.sea(&["network", "rm", "lane"]), sea.sea(&["volume", "rm", "hold"])]
}

fn has(sea: &Sea, what: &str, name: &str) -> bool {
    sea.sea(&[what, "ls", "-q"]).exits(0).text().lines().any(|line| line == name)
}

#[test]
fn networks_and_volumes_are_made() -> Result<()> {
    let again = |sea: &Sea| {
        for (what, name) in [("network", "lane"), ("volume", "hold")] {
            if !has(sea, what, name) {
                sea.sea(&[what, "create", name]).exits(0);
            }
        }
        Ok(())
    };
    let check = |sea: &Sea| {
        sea.sea(&["run", "--rm", "--network", "lane", "-v", "hold:/hold", BUSYBOX, "touch", "/hold/x"])
            .exits(0);
        Ok(())
    };
    survives(
        Role::Serving,
        &Operation { before: &|_| Ok(()), act: &|sea| Ok(makes(sea)), again: &again, check: &check },
    )
}

#[test]
fn networks_and_volumes_are_removed() -> Result<()> {
    let before = |sea: &Sea| {
        makes(sea).into_iter().for_each(|done| drop(done.exits(0)));
        sea.sea(&["run", "--rm", "-v", "hold:/hold", BUSYBOX, "touch", "/hold/x"]).exits(0);
        Ok(())
    };
    let again = |sea: &Sea| {
        for (what, name) in [("network", "lane"), ("volume", "hold")] {
            if has(sea, what, name) {
                sea.sea(&[what, "rm", name]).exits(0);
            }
        }
        Ok(())
    };
    let check = |sea: &Sea| {
        ensure!(!has(sea, "network", "lane") && !has(sea, "volume", "hold"), "one is there still");
        // What comes under the same name is new.
        sea.sea(&["run", "--rm", "-v", "hold:/hold", BUSYBOX, "ls", "/hold"]).exits(0).says("");
        sea.sea(&["volume", "rm", "hold"]).exits(0);
        Ok(())
    };
    survives(
        Role::Serving,
        &Operation { before: &before, act: &|sea| Ok(removes(sea)), again: &again, check: &check },
    )
}

/// Everything that a start can find: what runs, what died meanwhile, what was never started.
#[test]
fn a_daemon_starts() -> Result<()> {
    let before = |sea: &Sea| {
        let one = |name: &str, more: &[&str]| {
            let flags = ["run", "-d", "--name", name, "--init", "-p", "127.0.0.1::8080"];
            let script = "mkdir -p /www; echo well > /www/index.html; exec httpd -f -p 8080 -h /www";
            sea.sea(&[&flags[..], more, &[BUSYBOX, "sh", "-c", script]].concat()).exits(0);
        };
        one("runs", &[]);
        one("again", &["--restart", "always"]);
        one("over", &[]);
        one("goes", &["--rm", "-v", "/anonymous"]);
        // Three die, and no daemon hears of it.
        let pid = |name: &str| Ok(i32::try_from(sea.inspect(name)["pid"].as_i64().context("it runs")?)?);
        let victims = ["again", "over", "goes"].into_iter().map(pid).collect::<Result<Vec<_>>>()?;
        sea.end_daemon(Signal::KILL)?;
        for pid in victims {
            process::signal(pid, Signal::KILL);
            ensure!(process::ended(pid, Duration::from_secs(10)), "it ends");
        }
        Ok(())
    };
    let check = |sea: &Sea| {
        soon("all is settled", || {
            let state = |name: &str| sea.inspect(name)["state"].as_str().unwrap_or_default().to_owned();
            ensure!(state("over") == "exited", "`over` is {}", state("over"));
            for name in ["runs", "again"] {
                ensure!(state(name) == "running", "`{name}` is {}", state(name));
                let port = sea.inspect(name)["ports"][0]["host"].as_str().context("a port")?.parse()?;
                let answer = http::get(port, "x", "/")?;
                ensure!(answer.body.trim() == "well", "{answer:?}");
            }
            ensure!(sea.sea(&["inspect", "goes"]).code == 1, "`goes` is there still");
            Ok(())
        })
    };
    survives(
        Role::Starting,
        &Operation { before: &before, act: &|_| Ok(Vec::new()), again: &|_| Ok(()), check: &check },
    )
}

#[test]
fn a_daemon_ends() -> Result<()> {
    let before = |sea: &Sea| {
        sea.sea(&["run", "--rm", BUSYBOX, "true"]).exits(0);
        Ok(())
    };
    let act = |sea: &Sea| {
        if let Ok(pid) = sea.daemon_pid() {
            process::signal(pid, Signal::TERM);
            ensure!(process::ended(pid, Duration::from_secs(20)), "the daemon ended");
        }
        if !sea.crashed() {
            sea.recover()?;
        }
        Ok(Vec::new())
    };
    let check = |sea: &Sea| {
        sea.sea(&["run", "--rm", BUSYBOX, "echo", "well"]).exits(0).says("well");
        Ok(())
    };
    survives(Role::Serving, &Operation { before: &before, act: &act, again: &|_| Ok(()), check: &check })
}
