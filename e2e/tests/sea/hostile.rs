//! Archives that want out of their image are refused, and the message names the entry.

use anyhow::{Result, ensure};
use e2e::Sea;
use testkit::{Entry, TestImage, docker_save, tar};

/// A layer with one entry that must be refused, and what the complaint must have in it.
fn layers() -> Vec<(&'static str, Vec<Entry>, &'static str)> {
    vec![
        ("a path upwards", vec![Entry::file("../escaped", "x")], "../escaped"),
        (
            "a path upwards, deeper",
            vec![Entry::dir("a/"), Entry::file("a/../../escaped", "x")],
            "a/../../escaped",
        ),
        ("a hard link to the outside", vec![Entry::hard_link("mine", "../../../etc/passwd")], "mine"),
        ("a device", vec![Entry::new("disk", b'4').device(8, 0)], "disk"),
        ("a size that is a lie", vec![Entry::file("short", "x").claims_size(1 << 40)], "short"),
    ]
}

#[test]
fn a_hostile_archive_is_refused_and_nothing_of_it_stays() -> Result<()> {
    let sea = Sea::start()?;
    for (what, entries, named) in layers() {
        let image = TestImage::new("hostile:v1", vec![tar(&entries)]);
        let done = sea.sea_with(&["image", "load"], &docker_save(&[image]))?;
        ensure!(done.code == 1 && done.stderr.contains(named), "{what}: {done}");
        nothing_stayed(&sea, what)?;
    }
    // A digest that does not fit.
    let image = TestImage::new("hostile:v1", vec![tar(&[Entry::file("honest", "x")])]);
    let mut bytes = docker_save(&[image]);
    let at = bytes.windows(6).position(|part| part == b"honest").unwrap_or_default();
    bytes[at] = b'H';
    let done = sea.sea_with(&["image", "load"], &bytes)?;
    ensure!(done.code == 1, "a changed layer is refused: {done}");
    for rubbish in [&b""[..], b"not an archive at all", &[0; 4096]] {
        let done = sea.sea_with(&["image", "load"], rubbish)?;
        ensure!(done.code != 0 && done.stderr.contains("error:"), "{done}");
    }
    nothing_stayed(&sea, "rubbish")?;
    sea.sea(&["image", "fsck"]).exits(0);
    sea.end()
}

#[test]
fn a_link_in_an_image_leads_nowhere_outside() -> Result<()> {
    let sea = Sea::start()?;
    let outside = sea.home().join("outside");
    std::fs::create_dir(&outside)?;
    let entries = [Entry::symlink("way", &outside.display().to_string()), Entry::file("way/escaped", "x")];
    let image = TestImage::new("hostile:v1", vec![tar(&entries)]);
    // Refused, or kept inside: the root of the image is the root of its links.
    let done = sea.sea_with(&["image", "load"], &docker_save(&[image]))?;
    ensure!(done.code == 0 || done.stderr.contains("way/escaped"), "{done}");
    ensure!(std::fs::read_dir(&outside)?.next().is_none(), "it got out: {done}");
    sea.end()
}

/// Neither an image nor a file is there.
fn nothing_stayed(sea: &Sea, what: &str) -> Result<()> {
    let images = sea.json(&["image", "ls"]);
    ensure!(images.as_array().is_some_and(Vec::is_empty), "{what}: something stayed: {images}");
    let found = std::process::Command::new("find").arg(sea.root()).args(["-name", "*escaped*"]).output()?;
    ensure!(found.stdout.is_empty(), "{what}: it got out: {}", String::from_utf8_lossy(&found.stdout));
    Ok(())
}
