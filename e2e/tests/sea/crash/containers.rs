//! Crashes while single containers are run, stopped, started and removed.

use anyhow::{Context, Result, ensure};
use e2e::crash::Role;
use e2e::{Done, Sea, http};
use rustix::process::Signal;

use super::{BUSYBOX, Operation, soon, survives};

const SERVE: &str = "mkdir /www; echo from inside > /www/index.html; exec httpd -f -p 8080 -h /www";

fn run(sea: &Sea) -> Done {
    let flags = [
        "run",
        "-d",
        "--name",
        "box",
        "--init",
        "-p",
        "127.0.0.1::8080",
        "-v",
        "own:/own",
        "-v",
        "/anonymous",
    ];
    sea.sea(&[&flags[..], &[BUSYBOX, "sh", "-c", SERVE]].concat())
}

fn before(sea: &Sea) -> Result<()> {
    run(sea).exits(0);
    Ok(())
}

fn view(sea: &Sea) -> Option<serde_json::Value> {
    let done = sea.sea(&["--format", "json", "inspect", "box"]);
    (done.code == 0).then(|| done.json()[0].clone())
}

/// One that is there is started by name, as a person would; one that is not is run.
fn have_it_run(sea: &Sea) -> Result<()> {
    match view(sea) {
        Some(view) if view["state"] == "running" => {}
        Some(_) => {
            sea.sea(&["start", "box"]).exits(0);
        }
        None => {
            run(sea).exits(0);
        }
    }
    Ok(())
}

fn serves(sea: &Sea) -> Result<()> {
    soon("the container serves", || {
        let view = view(sea).context("there is no container")?;
        ensure!(view["state"] == "running", "{view}");
        let port = view["ports"][0]["host"].as_str().context("no port")?.parse()?;
        let answer = http::get(port, "x", "/")?;
        ensure!(answer.body.trim() == "from inside", "{answer:?}");
        Ok(())
    })?;
    sea.sea(&["exec", "-T", "box", "touch", "/own/x", "/anonymous/x"]).exits(0);
    Ok(())
}

const RUN: Operation<'static> = Operation {
    before: &|_| Ok(()),
    act: &|sea| Ok(vec![run(sea)]),
    again: &|sea| soon("it can be made to run", || have_it_run(sea)),
    check: &serves,
};

#[test]
fn a_container_is_run() -> Result<()> {
    survives(Role::Serving, &RUN)
}

/// Its policy starts it again, or a person does.
fn run_though_its_shim_dies(sea: &Sea) -> Result<()> {
    soon("it runs", || have_it_answer(sea))
}

/// One whose shim has just died may count as running for a moment; then nobody answers.
fn have_it_answer(sea: &Sea) -> Result<()> {
    have_it_run(sea)?;
    let view = view(sea).context("there is no container")?;
    let port = view["ports"][0]["host"].as_str().context("no port")?.parse()?;
    http::get(port, "x", "/")?;
    Ok(())
}

#[test]
fn a_container_is_run_again_when_its_shim_dies() -> Result<()> {
    survives(Role::Shim, &Operation { again: &run_though_its_shim_dies, ..RUN })
}

#[test]
fn a_container_is_run_again_when_its_first_process_dies() -> Result<()> {
    survives(Role::Inside, &Operation { again: &run_though_its_shim_dies, ..RUN })
}

#[test]
fn a_container_is_run_though_the_names_die() -> Result<()> {
    survives(Role::Names, &Operation { again: &run_though_its_shim_dies, ..RUN })
}

fn exec(sea: &Sea) -> Done {
    sea.sea(&["exec", "-T", "box", "sh", "-c", "echo beside >> /own/text; echo told"])
}

/// A command of which nobody knows how far it came is given once more; its container goes on, or is started.
const EXEC: Operation<'static> = Operation {
    before: &before,
    act: &|sea| Ok(vec![exec(sea)]),
    again: &|sea| {
        soon("the command is run", || {
            have_it_run(sea)?;
            let done = exec(sea);
            ensure!(done.code == 0 && done.text() == "told", "{done}");
            Ok(())
        })
    },
    check: &|sea| {
        serves(sea)?;
        let said = sea.sea(&["exec", "-T", "box", "cat", "/own/text"]).exits(0);
        ensure!(said.stdout.lines().all(|line| line == "beside"), "{said}");
        Ok(())
    },
};

#[test]
fn a_command_is_run_beside() -> Result<()> {
    survives(Role::Serving, &EXEC)
}

#[test]
fn a_command_is_run_beside_though_it_dies_on_its_way_in() -> Result<()> {
    survives(Role::Beside, &EXEC)
}

#[test]
fn a_command_is_run_beside_though_the_shim_dies() -> Result<()> {
    survives(Role::OldShim, &EXEC)
}

fn freeze(sea: &Sea) -> Result<Vec<Done>> {
    Ok(vec![sea.sea(&["pause", "box"]), sea.sea(&["unpause", "box"])])
}

/// After a crash it is frozen or not, and the record says which; then it can be let go on, stopped and started.
fn goes_on(sea: &Sea) -> Result<()> {
    soon("it goes on", || {
        if view(sea).context("there is no container")?["state"] == "paused" {
            let done = sea.sea(&["unpause", "box"]);
            ensure!(done.code == 0, "{done}");
        }
        have_it_answer(sea)
    })
}

const FREEZE: Operation<'static> =
    Operation { before: &before, act: &freeze, again: &goes_on, check: &serves };

#[test]
fn a_container_is_frozen_and_thawed() -> Result<()> {
    survives(Role::Serving, &FREEZE)
}

#[test]
fn a_container_is_frozen_and_thawed_though_its_shim_dies() -> Result<()> {
    survives(Role::OldShim, &FREEZE)
}

fn run_to_its_end(sea: &Sea) -> Done {
    let flags = ["run", "--rm", "-v", "/anonymous"];
    sea.sea(&[&flags[..], &[BUSYBOX, "echo", "here"]].concat())
}

const RUN_ONCE: Operation<'static> = Operation {
    before: &|_| Ok(()),
    act: &|sea| Ok(vec![run_to_its_end(sea)]),
    again: &|sea| {
        is_gone(sea)?;
        run_to_its_end(sea).exits(0).says("here");
        Ok(())
    },
    check: &is_gone,
};

fn is_gone(sea: &Sea) -> Result<()> {
    soon("it is gone", || {
        let left = sea.json(&["ps", "--all", "--everything"]);
        ensure!(left.as_array().is_some_and(Vec::is_empty), "{left}");
        let left = sea.json(&["volume", "ls"]);
        let left = left.as_array().into_iter().flatten().filter(|volume| volume["name"] != "own");
        ensure!(left.count() == 0, "its volume is there still");
        Ok(())
    })
}

#[test]
fn a_container_that_is_removed_at_its_end() -> Result<()> {
    survives(Role::Serving, &RUN_ONCE)
}

#[test]
fn a_container_that_is_removed_at_its_end_though_its_shim_dies() -> Result<()> {
    survives(Role::Shim, &RUN_ONCE)
}

fn is_stopped(sea: &Sea) -> Result<()> {
    soon("it is stopped", || {
        let view = view(sea).context("there is no container")?;
        ensure!(view["state"] == "exited", "{view}");
        Ok(())
    })
}

const STOP: Operation<'static> = Operation {
    before: &before,
    act: &|sea| Ok(vec![sea.sea(&["stop", "box"])]),
    again: &|sea| {
        sea.sea(&["stop", "box"]).exits(0);
        Ok(())
    },
    check: &is_stopped,
};

#[test]
fn a_container_is_stopped() -> Result<()> {
    survives(Role::Serving, &STOP)
}

#[test]
fn a_container_is_stopped_though_its_shim_dies() -> Result<()> {
    survives(Role::OldShim, &STOP)
}

#[test]
fn a_container_is_started_again() -> Result<()> {
    let before = |sea: &Sea| {
        before(sea)?;
        sea.sea(&["stop", "box"]).exits(0);
        Ok(())
    };
    let act = |sea: &Sea| Ok(vec![sea.sea(&["start", "box"])]);
    survives(Role::Serving, &Operation { before: &before, act: &act, again: &have_it_run, check: &serves })
}

#[test]
fn a_container_is_removed() -> Result<()> {
    let remove = |sea: &Sea| sea.sea(&["rm", "--force", "--volumes", "box"]);
    let again = |sea: &Sea| {
        if view(sea).is_some() {
            remove(sea).exits(0);
        }
        Ok(())
    };
    let act = |sea: &Sea| Ok(vec![remove(sea)]);
    survives(Role::Serving, &Operation { before: &before, act: &act, again: &again, check: &is_gone })
}

fn restarted(role: Role) -> Result<()> {
    let before = |sea: &Sea| {
        let flags = ["run", "-d", "--name", "box", "--init", "--restart", "always", "-p", "127.0.0.1::8080"];
        let more = ["-v", "own:/own", "-v", "/anonymous", BUSYBOX, "sh", "-c"];
        let script = format!("rm -rf /www; {SERVE}");
        sea.sea(&[&flags[..], &more[..], &[&script]].concat()).exits(0);
        serves(sea)
    };
    let act = |sea: &Sea| {
        let Some(pid) = view(sea).and_then(|view| view["pid"].as_i64()) else { return Ok(Vec::new()) };
        e2e::process::signal(i32::try_from(pid)?, Signal::KILL);
        soon("it runs again, or somebody died", || {
            let again =
                view(sea).is_some_and(|view| view["state"] == "running" && view["pid"].as_i64() != Some(pid));
            ensure!(again || sea.crashed(), "not yet");
            Ok(Vec::new())
        })
    };
    survives(role, &Operation { before: &before, act: &act, again: &|_| Ok(()), check: &serves })
}

#[test]
fn a_container_that_dies_is_started_by_its_policy() -> Result<()> {
    restarted(Role::Serving)
}

#[test]
fn a_container_that_dies_is_started_by_its_policy_though_the_next_shim_dies() -> Result<()> {
    restarted(Role::Shim)
}

#[test]
fn a_container_that_dies_is_started_by_its_policy_though_its_shim_dies() -> Result<()> {
    restarted(Role::OldShim)
}

#[test]
fn a_container_is_renewed_by_hand() -> Result<()> {
    let act = |sea: &Sea| Ok(vec![sea.sea(&["restart", "box"])]);
    survives(Role::Serving, &Operation { before: &before, act: &act, again: &have_it_run, check: &serves })
}

/// A request to the Docker API; 0 when its status is one of success, or says that it was done before.
fn asked(sea: &Sea, path: &str, body: &str, done_before: &str) -> Result<Done> {
    let socket = sea.root().join("docker.sock");
    let mut command = std::process::Command::new("curl");
    command.args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "--request", "POST"]);
    command.arg("--unix-socket").arg(socket).args(["--header", "Content-Type: application/json"]);
    let output = command.args(["--data", body]).arg(format!("http://docker{path}")).output()?;
    let mut done = Done::new(format!("POST {path}"), &output);
    let status = done.stdout.lines().last().unwrap_or_default().to_owned();
    done.code = i32::from(!(status.starts_with('2') || status == done_before));
    Ok(done)
}

/// Another name, other bounds, and an image of it, one after the other; what was done is not done again.
fn change(sea: &Sea) -> Result<Vec<Done>> {
    let renamed = asked(sea, "/containers/box/rename?name=chest", "", "404")?;
    let bounds = r#"{"Memory": 67108864, "MemorySwap": 67108864}"#;
    let updated = asked(sea, "/containers/chest/update", bounds, "")?;
    let committed = asked(sea, "/commit?container=chest&repo=kept&tag=v1", "", "")?;
    Ok(vec![renamed, updated, committed])
}

const CHANGE: Operation<'static> = Operation {
    before: &|sea| {
        sea.sea(&["run", "-d", "--name", "box", BUSYBOX, "sh", "-c", "echo own > /text; exec sleep 1000"])
            .exits(0);
        soon("it has written", || {
            let said = sea.sea(&["exec", "-T", "box", "cat", "/text"]);
            ensure!(said.text() == "own", "{said}");
            Ok(())
        })
    },
    act: &change,
    again: &|sea| {
        soon("it is changed", || {
            let undone = change(sea)?.into_iter().find(|done| done.code != 0);
            ensure!(undone.is_none(), "{undone:?}");
            Ok(())
        })
    },
    check: &|sea| {
        soon("it is as it was changed", || {
            let view = sea.sea(&["--format", "json", "inspect", "chest"]);
            ensure!(view.code == 0 && view.json()[0]["state"] == "running", "{view}");
            let limit = sea.sea(&[
                "exec",
                "-T",
                "chest",
                "sh",
                "-c",
                "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null",
            ]);
            ensure!(limit.text() == "67108864", "{limit}");
            let kept = sea.sea(&["run", "--rm", "kept:v1", "cat", "/text"]);
            ensure!(kept.text() == "own", "{kept}");
            Ok(())
        })
    },
};

#[test]
fn a_container_is_renamed_bounded_anew_and_becomes_an_image() -> Result<()> {
    survives(Role::Serving, &CHANGE)
}
