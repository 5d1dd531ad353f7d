//! A container of busybox for the tests: its folders, its order, and a shim program to start it with.
#![allow(dead_code)] // Each test file uses its own part.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Bytes, ContainerId, kernel_bytes};
use runtime::order::{LogPolicy, Namespaces, Order, Process, Rootfs, Seccomp, VERSION};
use runtime::{Attached, Event, Exit, Shim, Shims};

/// One container's surroundings. Everything goes with it.
pub struct Rig {
    pub temp: tempfile::TempDir,
    pub dir: PathBuf,
    pub shims: Shims,
    pub order: Order,
}

/// The example next to the tests.
pub fn shim_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/shim");
    assert!(program.exists(), "build the examples too: {} is missing", program.display());
    program
}

/// A root file system that holds busybox and little else.
pub fn make_root(at: &Path) {
    for dir in ["bin", "etc", "tmp", "root", "data"] {
        std::fs::create_dir_all(at.join(dir)).unwrap();
    }
    std::fs::copy("/bin/busybox", at.join("bin/busybox"))
        .expect("the tests need Debian's package busybox-static");
    for name in [
        "sh", "true", "false", "cat", "echo", "sleep", "grep", "id", "mount", "unshare", "stat", "ls",
        "touch", "tty", "stty", "dd", "head", "hostname", "ps", "kill", "seq", "wc", "pwd", "env", "df",
        "tr", "sort", "ulimit", "ip", "readlink", "test", "mkdir", "yes", "mknod", "chroot", "printf",
        "tail", "rm", "usleep",
    ] {
        std::os::unix::fs::symlink("busybox", at.join("bin").join(name)).unwrap();
    }
    std::fs::write(at.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:100:101:web:/srv:/bin/sh\n")
        .unwrap();
    std::fs::write(at.join("etc/group"), "root:x:0:\nweb:x:101:\nextra:x:202:web\n").unwrap();
}

impl Rig {
    pub fn new(command: &[&str]) -> Self {
        Self::with(Shims::new(&shim_program()).unwrap(), command)
    }

    /// The same with a program of one's own to be the shim.
    pub fn with(shims: Shims, command: &[&str]) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests make containers and need root");
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("container");
        for sub in ["container", "image", "upper", "work"] {
            std::fs::create_dir(temp.path().join(sub)).unwrap();
        }
        make_root(&temp.path().join("image"));
        std::fs::create_dir(temp.path().join("top")).unwrap();
        let id = ContainerId::from_bytes(kernel_bytes());
        let order = Order {
            cgroups_writable: false,
            device_rules: Vec::new(),
            version: VERSION,
            rootfs: Rootfs {
                lower: vec![temp.path().join("top"), temp.path().join("image")],
                upper: temp.path().join("upper"),
                work: temp.path().join("work"),
                volatile: true,
            },
            copy_up: Vec::new(),
            process: process(command),
            init: false,
            hostname: Some("ship".into()),
            domainname: None,
            mounts: Vec::new(),
            shm_size: Some(Bytes(64 << 20)),
            devices: Vec::new(),
            sysctls: Default::default(),
            masked_paths: None,
            readonly_paths: None,
            seccomp: Seccomp::Default,
            namespaces: Namespaces::default(),
            cgroup: format!("/sea-test-{}", id.short()),
            limits: Default::default(),
            read_only: false,
            log: LogPolicy::default(),
            id,
        };
        Self { temp, dir, shims, order }
    }

    pub fn sh(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    pub async fn create(&self) -> Shim {
        self.shims
            .create(&self.dir, &self.order)
            .await
            .unwrap_or_else(|error| panic!("{}", base::Report::of(&error)))
    }

    pub async fn start(&self) -> Shim {
        let shim = self.create().await;
        shim.start().await.unwrap_or_else(|error| panic!("{}", base::Report::of(&error)));
        shim
    }

    /// Runs it to its end; what it wrote is in the log.
    pub async fn run(&self) -> (Exit, String) {
        let shim = self.start().await;
        let exit = shim.wait().await.unwrap();
        (exit, self.log())
    }

    pub fn log(&self) -> String {
        let mut text = Vec::new();
        runtime::logs::read(&self.dir, &Default::default(), |line| {
            text.extend(line.written());
            true
        })
        .unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until the log holds this text.
    pub async fn log_has(&self, text: &str) {
        within(async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Folders of its cgroup, in any hierarchy.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let name = self.order.cgroup.trim_start_matches('/');
        let mut all: Vec<PathBuf> =
            std::fs::read_dir(top).unwrap().map(|e| e.unwrap().path().join(name)).collect();
        all.push(top.join(name));
        all.retain(|dir| dir.is_dir());
        all
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A failed test must not leave its container behind: the cgroup's processes are its own.
        for dir in self.cgroups() {
            let _ = std::fs::write(dir.join("cgroup.kill"), "1");
        }
    }
}

pub fn process(command: &[&str]) -> Process {
    Process {
        args: command.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec!["PATH=/bin".into()],
        ..Process::default()
    }
}

/// No test waits for ever.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("this should have happened within a minute")
}

/// All that a followed process says until its end.
pub async fn follow(attached: &mut Attached) -> (Exit, Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match within(attached.output.next()).await.unwrap_or_else(|e| panic!("{}", base::Report::of(&e))) {
            Event::Stdout(bytes) => out.extend(bytes),
            Event::Stderr(bytes) => err.extend(bytes),
            Event::Exited(exit) => return (exit, out, err),
        }
    }
}
