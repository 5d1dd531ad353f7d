//! Images: in from archives, out again, checked, and cleared away when nobody needs them.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, image};

const BUSYBOX: &str = "busybox:1.36";

#[test]
fn what_is_saved_can_be_loaded_elsewhere() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let archive = sea.home().join("out.tar").display().to_string();
    sea.sea(&["image", "tag", BUSYBOX, "mine:v1"]).exits(0);
    sea.sea(&["image", "save", "-o", &archive, "mine:v1"]).exits(0);
    let id = sea.json(&["image", "inspect", BUSYBOX])[0]["id"].clone();
    let other = Sea::start()?;
    other.sea(&["image", "load", "-i", &archive]).exits(0).mentions("mine:v1");
    ensure!(other.json(&["image", "inspect", "mine:v1"])[0]["id"] == id, "the image is the same");
    other.sea(&["run", "--rm", "mine:v1", "echo", "same"]).exits(0).says("same");
    other.end()?;
    // By standard input and output.
    let bytes = std::fs::read(&archive)?;
    sea.sea_with(&["image", "load"], &bytes)?.exits(0).mentions("mine:v1");
    sea.end()
}

#[test]
fn an_image_in_use_stays_and_an_unused_one_goes() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.sea(&["image", "ls", "-q"]).exits(0);
    sea.sea(&["image", "ls"]).exits(0).mentions("busybox:1.36");
    sea.sea(&["image", "fsck"]).exits(0).mentions("whole");
    sea.sea(&["run", "-d", "--name", "box", BUSYBOX, "sleep", "300"]).exits(0);
    sea.sea(&["image", "rm", BUSYBOX]).exits(1);
    sea.sea(&["image", "prune", "--all"]).exits(0);
    sea.sea(&["exec", "box", "busybox", "true"]).exits(0);
    sea.sea(&["run", "--rm", BUSYBOX, "true"]).exits(0);
    sea.sea(&["rm", "--force", "box"]).exits(0);
    sea.sea(&["image", "prune", "--all"]).exits(0).mentions("image");
    ensure!(sea.json(&["image", "ls"]).as_array().is_some_and(Vec::is_empty), "nobody needs it");
    sea.sea(&["run", "--rm", BUSYBOX, "true"]).exits(125);
    let left = bytes_in(&sea.root().join("images"))?;
    ensure!(left < 1 << 20, "{left} bytes of images are left");
    sea.end()
}

#[test]
fn a_damaged_layer_is_found() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    // The program itself, as it was unpacked.
    let found =
        Command::new("find").arg(sea.root()).args(["-path", "*/bin/busybox", "-type", "f"]).output()?;
    let text = String::from_utf8(found.stdout)?;
    let file = text.lines().next().context("the layer is unpacked somewhere")?;
    std::fs::write(file, b"not what it was")?;
    let done = sea.sea(&["image", "fsck"]);
    ensure!(done.code != 0, "damage is an error: {done}");
    ensure!((done.stdout + &done.stderr).contains("busybox"), "it names what is damaged");
    sea.end()
}

#[test]
fn a_dockerfile_becomes_an_image() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "app/Dockerfile",
        "FROM busybox:1.36 AS make\nARG WHO=nobody\nRUN mkdir /out && echo made for $WHO > /out/text\n\
         FROM busybox:1.36\nCOPY --from=make /out/text /text\nCOPY own.txt /\nENV GREETING=ahoy\nWORKDIR /srv\n\
         CMD [\"sh\", \"-c\", \"echo $GREETING; cat /text /own.txt; pwd\"]\n",
    );
    sea.write("app/own.txt", "own\n");
    sea.write("app/.dockerignore", "secret\n");
    sea.write("app/secret", "hidden");
    let build = || sea.sea(&["build", "-t", "app:v1", "--build-arg", "WHO=us", "app"]).exits(0);
    build();
    sea.sea(&["run", "--rm", "app:v1"]).exits(0).says("ahoy\nmade for us\nown\n/srv");
    let first = sea.json(&["image", "inspect", "app:v1"])[0]["id"].clone();
    build();
    ensure!(sea.json(&["image", "inspect", "app:v1"])[0]["id"] == first, "the same again is the same image");
    sea.write("bad/Dockerfile", "FROM busybox:1.36\nRUN exit 3\n");
    sea.sea(&["build", "-t", "bad:v1", "bad"]).exits(1).complains("exit 3");
    sea.end()
}

#[test]
fn what_a_build_step_says_is_shown_however_much_it_is() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("loud/Dockerfile", "FROM busybox:1.36\nRUN echo to out; echo to err >&2; seq 1 100000\n");
    let done = sea.sea(&["build", "-t", "loud:v1", "loud"]).exits(0);
    for wanted in ["to out", "to err", "99999"] {
        ensure!(done.stderr.contains(wanted), "`{wanted}` is not in it: {} bytes", done.stderr.len());
    }
    sea.write("bad/Dockerfile", "FROM busybox:1.36\nRUN ls /no/such/place\n");
    let done = sea.sea(&["build", "-t", "bad:v1", "bad"]).exits(1);
    ensure!(done.stderr.contains("/no/such/place: No such file"), "{done}");
    ensure!(
        done.stderr.contains("Dockerfile:2") || done.stderr.contains("line 2"),
        "its line is told: {done}"
    );
    sea.end()
}

#[test]
fn real_images_load_and_their_programs_run() -> Result<()> {
    let sea = Sea::start()?;
    for (name, tag, command, says) in [
        ("redis", "redis:7", &["redis-server", "--version"][..], "Redis server"),
        ("nginx", "nginx:1.22", &["nginx", "-V"], ""),
    ] {
        sea.sea(&["image", "load", "-i", &image(name).display().to_string()]).exits(0).mentions(tag);
        sea.sea(&[&["run", "--rm", tag], command].concat()).exits(0).mentions(says);
    }
    sea.sea(&["image", "fsck"]).exits(0).mentions("whole");
    // Both lie on the same Debian, which is there once.
    let layers = |tag: &str| sea.json(&["image", "inspect", tag])[0]["layers"].clone();
    ensure!(layers("redis:7")[0] == layers("nginx:1.22")[0], "the lowest layer is shared");
    sea.end()
}

fn bytes_in(folder: &std::path::Path) -> Result<u64> {
    let listed = Command::new("du").args(["-sb", "--"]).arg(folder).output()?;
    let text = String::from_utf8(listed.stdout)?;
    Ok(text.split_whitespace().next().context("du says a number")?.parse()?)
}
