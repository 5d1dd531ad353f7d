//! Two daemons on one machine.

use anyhow::{Context, Result, ensure};
use e2e::Sea;

const TWIN: &str = r#"
name: twin
services:
  web:
    image: busybox:1.36
    init: true
    command: [sh, -c, "echo $$WHOSE > /data/index.html; exec httpd -f -p 8080 -h /data"]
    environment: {WHOSE: "${WHOSE:-nobody}"}
    volumes: ["data:/data"]
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/"], interval: 1s, start_interval: 100ms, start_period: 10s}
    stop_grace_period: 2s
    x-sea: {route: "twin.example -> 8080"}
volumes: {data: {}}
"#;

#[test]
fn two_roots_run_the_same_app_without_touching_each_other() -> Result<()> {
    let (one, two) = (Sea::with_images(&["busybox"])?, Sea::with_images(&["busybox"])?);
    for (sea, whose) in [(&one, "one"), (&two, "two")] {
        sea.write("compose.yaml", TWIN);
        let mut command = sea.command(&["up", "-d", "--wait"]);
        let done = e2e::Done::new("sea up".into(), &command.env("WHOSE", whose).output()?);
        done.exits(0);
    }
    for (sea, whose) in [(&one, "one"), (&two, "two")] {
        sea.answers("twin.example", "/", whose)?;
        let list = sea.json(&["ps"]);
        ensure!(list.as_array().map(Vec::len) == Some(1), "each sees its own: {list}");
    }
    let addresses = |sea: &Sea| sea.json(&["ps"])[0]["addresses"].to_string();
    ensure!(addresses(&one) != addresses(&two), "they share no address: {}", addresses(&one));
    ensure!(one.traces().things().is_disjoint(&two.traces().things()), "they share nothing on the machine");

    // One goes, with force and with order; the other does not notice.
    let id = two.json(&["ps"])[0]["id"].as_str().context("an id")?.to_owned();
    one.replace_daemon()?;
    one.sea(&["down", "--volumes"]).exits(0);
    one.sea(&["prune", "--all", "--volumes", "--yes"]).exits(0);
    one.end()?;
    two.answers("twin.example", "/", "two")?;
    ensure!(two.json(&["ps"])[0]["id"] == id.as_str(), "its container is the same");
    two.end()
}
