//! Logs: bounded, and there after the daemon was killed.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, until_ok};

const BUSYBOX: &str = "busybox:1.36";

#[test]
fn a_log_is_bounded_and_survives_the_daemon() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "compose.yaml",
        "name: talk\n\
         services:\n\
         \x20 talker:\n\
         \x20   image: busybox:1.36\n\
         \x20   command: [sh, -c, \"yes 'a line that is sixty-four bytes long, give or take one or two' | head -n 40000; echo the end; sleep 300\"]\n\
         \x20   init: true\n\
         \x20   logging: {driver: json-file, options: {max-size: 256k, max-file: \"2\"}}\n",
    );
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let last = |wanted: &str| {
        until_ok("the end is in the log", 30, || {
            let done = sea.sea(&["logs", "-n", "1", "--no-log-prefix", "talker"]);
            ensure!(done.text() == wanted, "{done}");
            Ok(())
        })
    };
    last("the end")?;
    let id = sea.json(&["ps"])[0]["id"].as_str().context("it has an id")?.to_owned();
    let size = bytes_below(&sea.root().join("containers").join(&id))?;
    ensure!(size < 1_000_000, "2.6 MB were written, two files of 256 kB may stay, and {size} bytes did");
    sea.replace_daemon()?;
    last("the end")?;
    let all = sea.sea(&["logs", "--no-log-prefix", "talker"]).exits(0);
    let lines = all.text().lines().count();
    ensure!((2_000..40_000).contains(&lines), "{lines} lines");
    sea.end()
}

#[test]
fn what_is_said_while_the_daemon_is_away_is_in_the_log() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";
    sea.sea(&["run", "-d", "--name", "counter", BUSYBOX, "sh", "-c", script]).exits(0);
    let numbers = || -> Result<Vec<u64>> {
        let done = sea.sea(&["logs", "counter"]);
        ensure!(done.code == 0, "{done}");
        Ok(done.text().lines().map(str::parse).collect::<Result<_, _>>()?)
    };
    let grown = |than: usize| {
        until_ok("the log has grown", 20, || {
            let numbers = numbers()?;
            ensure!(numbers.len() >= than, "{} lines", numbers.len());
            Ok(numbers.len())
        })
    };
    let before = grown(5)?;
    for _ in 0..3 {
        sea.replace_daemon()?;
    }
    grown(before + 20)?;
    let numbers = numbers()?;
    let gapless = numbers.iter().enumerate().all(|(at, number)| *number == at as u64 + 1);
    ensure!(gapless, "a line is missing or twice: {numbers:?}");
    sea.end()
}

fn bytes_below(folder: &std::path::Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.path().symlink_metadata()?;
        sum += if about.is_dir() { bytes_below(&entry.path())? } else { about.len() };
    }
    Ok(sum)
}
