//! A full disk and a root folder that cannot be written to: clear errors, and all is well when they are over.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use e2e::{Sea, until_ok};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::Signal;

const BUSYBOX: &str = "busybox:1.36";

/// A small disk of our own, for as long as this lives.
struct Disk {
    /// Where it is mounted; goes after it.
    folder: tempfile::TempDir,
}

impl Disk {
    fn mount(options: &std::ffi::CStr) -> Result<Self> {
        testkit::require_root();
        let folder = tempfile::Builder::new().prefix("sea-e2e-").tempdir()?;
        rustix::mount::mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), options)?;
        Ok(Self { folder })
    }

    fn root(&self) -> Result<PathBuf> {
        Ok(fs::canonicalize(self.folder.path())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = rustix::mount::unmount(self.folder.path(), UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_is_told_and_survived() -> Result<()> {
    let disk = Disk::mount(c"size=24m")?;
    let root = disk.root()?;
    let sea = Sea::with_root(root.clone());
    sea.start_daemon()?;
    let archive = e2e::image("busybox").display().to_string();
    sea.sea(&["image", "load", "-i", &archive]).exits(0);
    sea.sea(&["run", "-d", "--name", "box", BUSYBOX, "sleep", "300"]).exits(0);
    sea.sea(&["run", "-d", "--name", "large", BUSYBOX, "sleep", "300"]).exits(0);

    // An image that does not fit.
    let large = e2e::image("debian").display().to_string();
    let done = sea.sea(&["image", "load", "-i", &large]).exits(1);
    ensure!(done.stderr.contains("space"), "it says that there is no room: {done}");
    ensure!(sea.json(&["image", "ls"]).as_array().map(Vec::len) == Some(1), "the first is there still");

    // No room at all.
    let filler = root.join("filler");
    fill(&filler)?;
    let done = sea.sea(&["run", "--rm", BUSYBOX, "true"]);
    ensure!(done.code == 0 || (done.code == 125 && done.stderr.contains("error:")), "{done}");
    ensure!(sea.inspect("box")["state"] == "running", "what ran runs on");
    sea.sea(&["exec", "box", "true"]).exits(0);
    // Who fills the disk must be possible to stop.
    sea.sea(&["stop", "-t", "0", "large"]).exits(0);
    sea.sea(&["rm", "-f", "large"]).exits(0);
    fill(&filler)?;
    sea.end_daemon(Signal::KILL)?;
    fs::remove_file(&filler)?;
    sea.start_daemon()?;
    sea.sea(&["run", "--rm", BUSYBOX, "echo", "room again"]).exits(0).says("room again");
    ensure!(sea.inspect("box")["state"] == "running", "what ran runs on");
    sea.sea(&["image", "fsck"]).exits(0);
    sea.end()
}

#[test]
fn a_root_that_is_read_only_is_told() -> Result<()> {
    let disk = Disk::mount(c"size=16m")?;
    let root = disk.root()?;
    let sea = Sea::with_root(root.clone());
    sea.start_daemon()?;
    sea.sea(&["volume", "create", "precious"]).exits(0);
    sea.end_daemon(Signal::TERM)?;
    until_ok("nobody has the root open", 40, || {
        sea.traces().processes().into_iter().for_each(|pid| e2e::process::signal(pid, Signal::TERM));
        ensure!(sea.traces().processes().is_empty(), "{:?}", sea.traces().processes());
        Ok(())
    })?;
    rustix::mount::mount_remount(&root, MountFlags::RDONLY, c"")?;
    let done = sea.sea(&["daemon"]).exits(1);
    let named = done.stderr.contains(&root.display().to_string()) && done.stderr.contains("ead-only");
    ensure!(named, "it says which folder and why: {done}");
    let doctor = sea.sea(&["doctor"]);
    ensure!(doctor.code == 1 && doctor.stdout.contains("BAD  root: writable"), "{doctor}");
    rustix::mount::mount_remount(&root, MountFlags::empty(), c"")?;
    sea.start_daemon()?;
    sea.sea(&["volume", "ls", "-q"]).exits(0).says("precious");
    sea.end()
}

/// Takes all the room that is left.
fn fill(path: &std::path::Path) -> Result<()> {
    use std::io::Write;
    let mut file = fs::File::create(path)?;
    for size in [1 << 20, 4096, 512, 1] {
        while file.write(&vec![b'x'; size]).is_ok_and(|written| written > 0) {}
    }
    Ok(())
}
