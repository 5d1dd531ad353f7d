//! Nothing is lost at the edge, the short form; `bench/zero-loss` is the long one.

use std::process::Command;

use anyhow::{Result, ensure};

#[test]
fn no_request_is_lost_through_documents_upgrades_and_crashes() -> Result<()> {
    let said = Command::new(env!("CARGO_BIN_EXE_zero-loss"))
        .args(["--requests", "20000", "--changes", "10", "--upgrades", "3", "--crashes", "2"])
        .arg("--program")
        .arg(e2e::program())
        .output()?;
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    ensure!(said.status.success(), "{out}{err}");
    // A run in which nothing happened would prove nothing.
    for done in [" failures at 2 crashes", " 0 lost\n", "documents changed an instance for another"] {
        ensure!(out.contains(done), "`{done}` is missing in\n{out}");
    }
    Ok(())
}
