//! Registries to try against: Debian's, and ours as a program of its own. Each has its folder and a port that the kernel
//! chose.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Sea, process};

/// How long one may take until it answers.
const STARTING: Duration = Duration::from_secs(30);

/// A registry of its own.
pub struct RegistryServer {
    /// Where it answers, as in `127.0.0.1:41234`.
    pub address: String,
    folder: TempDir,
    child: Child,
}

impl RegistryServer {
    /// Debian's `docker-registry`; with a file of passwords only those in it may use it.
    pub fn debian(htpasswd: Option<&Path>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sea-e2e-registry-").tempdir()?;
        let auth = htpasswd
            .map(|path| format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path.display()));
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:0\n{}",
            folder.path().join("data").display(),
            auth.unwrap_or_default()
        );
        let config = folder.path().join("config.yml");
        fs::write(&config, text)?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config);
        Self::begin(command, folder, "listening on ")
    }

    /// Ours, as `sea registry`.
    pub fn ours(arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sea-e2e-registry-").tempdir()?;
        let mut command = Command::new(crate::program());
        command.env("SEA_ROOT", folder.path()).env_remove("SEA_HOST").env("NO_COLOR", "1");
        command.args(["registry", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::begin(command, folder, " answers at ")
    }

    /// The one that a daemon serves, which is started for it.
    pub fn of_daemon(sea: &Sea) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sea-e2e-registry-").tempdir()?;
        let mut command = Command::new(crate::program());
        sea.surround(command.args(["daemon", "--registry", "127.0.0.1:0"]));
        Self::begin(command, folder, "the registry answers at ")
    }

    /// Starts it and waits until it says where it answers.
    fn begin(mut command: Command, folder: TempDir, before: &'static str) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?} cannot be run"))?;
        let stderr = child.stderr.take().context("its errors are a pipe")?;
        let (told, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once(before) {
                    let address = rest.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).next();
                    // Whoever waited may have given up; what follows is read all the same, so that it can be written.
                    let _ = told.send(address.unwrap_or_default().to_owned());
                }
            }
        });
        let address = heard.recv_timeout(STARTING);
        let mut server = Self { address: address.clone().unwrap_or_default(), folder, child };
        if address.is_err() {
            let _ = server.child.kill();
        }
        ensure!(address.is_ok(), "{command:?} does not say where it answers");
        Ok(server)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it, in good order.
    pub fn end(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        process::signal(pid, Signal::TERM);
        ensure!(process::ended(pid, Duration::from_secs(20)), "the registry does not end when asked");
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        // Already over is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
