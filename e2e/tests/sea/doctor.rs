//! `sea doctor`, which needs no daemon.

use anyhow::{Context, Result, ensure};
use e2e::Sea;

#[test]
fn doctor_says_whether_sea_runs_here_and_changes_nothing() -> Result<()> {
    let sea = Sea::new();
    let checks = sea.json(&["doctor"]);
    let checks = checks.as_array().context("a list")?;
    for check in checks {
        let good = check["verdict"] == "good";
        ensure!(good || check["mend"].is_string(), "what is not good can be mended: {check}");
        ensure!(check["verdict"] != "bad", "the tests run here, so sea does: {check}");
    }
    for name in ["kernel: version", "cgroups: controllers", "root: overlays", "networks: filters (nf_tables)"]
    {
        ensure!(checks.iter().any(|check| check["name"] == name), "`{name}` is looked at");
    }
    ensure!(!sea.root().exists(), "the root is not made");
    sea.sea(&["doctor"]).exits(0).mentions("this machine can run sea");
    sea.start_daemon()?;
    let daemon = sea.json(&["doctor"]);
    let own = daemon.as_array().context("a list")?.iter().find(|check| check["name"] == "root: daemon");
    ensure!(own.is_some_and(|check| check["found"].to_string().contains("answers")), "{daemon}");
    sea.end()
}

#[test]
fn a_port_that_somebody_has_is_told_with_who_has_it() -> Result<()> {
    // The first of the ports that sea answers on which nobody has; one is enough to try the rule.
    let holder = [7320, 443, 8080, 80]
        .into_iter()
        .find_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok());
    let holder = holder.context("one of the ports is free on the loopback")?;
    let port = holder.local_addr()?.port();
    let sea = Sea::new();
    let checks = sea.json(&["doctor"]);
    let said =
        checks.as_array().context("a list")?.iter().find(|check| {
            check["name"].as_str().is_some_and(|name| name.starts_with(&format!("port {port},")))
        });
    let said = said.context("the port is looked at")?;
    let me = format!("process {}", std::process::id());
    ensure!(said["verdict"] == "weak" && said["found"].to_string().contains(&me), "{said}");
    Ok(())
}
