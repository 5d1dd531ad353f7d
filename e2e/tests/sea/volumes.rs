//! Volumes: named ones stay, anonymous ones take what the image has and go, folders of the host are shared.

use anyhow::{Context, Result, ensure};
use e2e::Sea;

const BUSYBOX: &str = "busybox:1.36";

#[test]
fn a_named_volume_outlives_its_containers() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let run = |mount: &str, script: &str| sea.sea(&["run", "--rm", "-v", mount, BUSYBOX, "sh", "-c", script]);
    run("data:/data", "echo kept > /data/file").exits(0);
    run("data:/other", "cat /other/file").exits(0).says("kept");
    run("data:/data:ro", "echo x > /data/file").exits(1).complains("Read-only");
    sea.replace_daemon()?;
    run("data:/data", "cat /data/file").exits(0).says("kept");
    sea.sea(&["volume", "ls", "-q"]).exits(0).says("data");
    sea.sea(&["volume", "rm", "data"]).exits(0);
    run("data:/data", "ls /data").exits(0).says("");
    sea.end()
}

#[test]
fn a_volume_takes_what_the_image_has_there() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.sea(&["run", "--rm", "-v", "/etc", BUSYBOX, "grep", "-c", "nobody", "/etc/passwd"])
        .exits(0)
        .says("1");
    ensure!(
        sea.json(&["volume", "ls"]).as_array().map(Vec::len) == Some(0),
        "anonymous volumes go with --rm"
    );
    sea.sea(&["run", "--rm", "-v", "settings:/etc", BUSYBOX, "sh", "-c", "echo mine > /etc/passwd"]).exits(0);
    sea.sea(&["run", "--rm", "-v", "settings:/etc", BUSYBOX, "cat", "/etc/passwd"]).exits(0).says("mine");
    // It has something by now, so nothing is copied over it.
    sea.sea(&["run", "--rm", BUSYBOX, "grep", "-c", "nobody", "/etc/passwd"]).exits(0).says("1");
    sea.end()
}

#[test]
fn a_folder_of_the_host_is_the_same_folder_inside() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let file = sea.write("shared/in", "from outside");
    let folder = file.parent().context("it lies in a folder")?.display().to_string();
    let run = |mount: &str, script: &str| sea.sea(&["run", "--rm", "-v", mount, BUSYBOX, "sh", "-c", script]);
    run(&format!("{folder}:/shared"), "cat /shared/in; echo from inside > /shared/out")
        .exits(0)
        .says("from outside");
    ensure!(
        std::fs::read_to_string(format!("{folder}/out"))? == "from inside\n",
        "what is written inside is outside"
    );
    run("./shared:/shared:ro", "echo x > /shared/in").exits(1).complains("Read-only");
    run(&format!("{folder}/in:/one-file"), "cat /one-file").exits(0).says("from outside");
    sea.end()
}
