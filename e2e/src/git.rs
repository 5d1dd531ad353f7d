//! A git repository that is served by git's own protocol, for builds that fetch it.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

/// A repository with the tag `v1` and the branch `main`, which is one commit ahead. Both have a Dockerfile for an image
/// that says `of v1` or `of main`, and a folder `sub` with one that says `sub of …`.
pub struct GitServer {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"];
    let mut command = Command::new("git");
    command.args(identity).args(arguments).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output()?;
    ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl GitServer {
    /// Makes the repository and serves it as long as this process runs.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let work = folder.path().join("work");
        std::fs::create_dir_all(work.join("sub"))?;
        git(&work, &["init", "-q"])?;
        for version in ["v1", "main"] {
            let dockerfile = "FROM busybox:1.36\nCOPY text /\nCMD cat /text\n";
            for (place, text) in [("", ""), ("sub/", "sub ")] {
                std::fs::write(work.join(format!("{place}Dockerfile")), dockerfile)?;
                std::fs::write(work.join(format!("{place}text")), format!("{text}of {version}\n"))?;
            }
            git(&work, &["add", "-A"])?;
            git(&work, &["commit", "-q", "-m", version])?;
            if version == "v1" {
                git(&work, &["tag", "v1"])?;
            }
        }
        git(folder.path(), &["clone", "-q", "--bare", "work", "r.git"])?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let base = format!("--base-path={}", folder.path().display());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(other) = stream.try_clone() else { continue };
                let mut daemon = Command::new("git");
                daemon
                    .args(["daemon", "--inetd", "--export-all", &base])
                    .env("GIT_CONFIG_GLOBAL", "/dev/null");
                daemon.stdin(OwnedFd::from(stream)).stdout(OwnedFd::from(other)).stderr(Stdio::null());
                // Whoever asks notices when nobody answers.
                let _ = daemon.status();
            }
        });
        Ok(Self { folder, address })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("git://{}/r.git", self.address)
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
