//! The clients that tests drive sea's Docker socket with, each by name in a folder of its own.
//!
//! They lie outside the repository, are made once, and are made anew when what they are made of changes. What a
//! registry keeps for ever is pinned to a version; Debian keeps the newest of a suite only, so there the suite is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::stage::Did;
use crate::{needs, shell};

/// Written into a client's folder when it is whole: what it was made of.
const MADE: &str = "made-of";
/// Who signs Debian's suites.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where a client comes from.
enum Source {
    /// Packages of these suites of Debian, taken apart and not installed.
    Debian(&'static [&'static str]),
    /// Packages for Python, in an environment of their own.
    Python,
    /// Packages for Node.
    Node,
}

/// A client's folder and what is put there.
struct Client {
    name: &'static str,
    from: Source,
    packages: &'static [&'static str],
}

const CLIENTS: &[Client] = &[
    // The oldest that people use: its API is 1.41, and its builder is the classic one unless told otherwise.
    Client { name: "docker-20.10", from: Source::Debian(&["bookworm"]), packages: &["docker.io"] },
    Client {
        name: "docker-newest",
        from: Source::Debian(&["forky", "sid"]),
        packages: &["docker-cli", "docker-buildx", "docker-compose"],
    },
    Client {
        name: "python",
        from: Source::Python,
        packages: &[
            "docker==7.2.0",
            "testcontainers==4.15.0",
            "redis==8.1.0",
            "psycopg2-binary==2.9.13",
            "sqlalchemy==2.1.9",
        ],
    },
    Client { name: "node", from: Source::Node, packages: &["dockerode@5.0.1"] },
];

/// Makes the clients that are not there yet.
pub(crate) fn make(folder: &Path) -> Result<Did> {
    for client in CLIENTS {
        let place = folder.join(client.name);
        let wanted = client.made_of();
        if fs::read_to_string(place.join(MADE)).is_ok_and(|made| made == wanted) {
            continue;
        }
        eprintln!("making the client {}", client.name);
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| format!("could not clear `{}`", place.display()))?;
        }
        fs::create_dir_all(&place).with_context(|| format!("could not make `{}`", place.display()))?;
        client.make(&place).with_context(|| format!("could not make the client `{}`", client.name))?;
        fs::write(place.join(MADE), wanted)?;
    }
    Ok(Did(CLIENTS.len(), "clients"))
}

impl Client {
    /// What it is made of, in one line for each part.
    fn made_of(&self) -> String {
        let source = match self.from {
            Source::Debian(suites) => format!("debian {}", suites.join(" ")),
            Source::Python => "python".to_owned(),
            Source::Node => "node".to_owned(),
        };
        format!("{source}\n{}\n", self.packages.join("\n"))
    }

    fn make(&self, place: &Path) -> Result<()> {
        match self.from {
            Source::Debian(suites) => unpack(place, suites, self.packages),
            Source::Python => {
                shell::run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(place))?;
                let mut install = Command::new(place.join("bin/pip"));
                install.args(["install", "--quiet", "--disable-pip-version-check"]);
                shell::run(install.args(self.packages))
            }
            Source::Node => {
                let mut install = Command::new("npm");
                install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
                shell::run(install.arg(place).args(self.packages))
            }
        }
    }
}

/// Takes packages apart, as root, for apt gives them to nobody else's folders.
fn unpack(place: &Path, suites: &[&str], packages: &[&str]) -> Result<()> {
    let state = Apt::with(place.join("apt"), suites)?;
    state.run(&["update", "--quiet"])?;
    state.run(&[&["download", "--quiet"], packages].concat())?;
    let mut unpacked = 0;
    for entry in fs::read_dir(&state.folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            shell::run(Command::new("dpkg-deb").arg("--extract").args([&path, &place.to_path_buf()]))?;
            unpacked += 1;
        }
    }
    if unpacked != packages.len() {
        bail!("apt brought {unpacked} of the {} packages {}", packages.len(), packages.join(", "));
    }
    fs::remove_dir_all(&state.folder).context("could not clear apt's folder")
}

/// A state of apt's own, which knows other suites than the machine does.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn with(folder: PathBuf, suites: &[&str]) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let lines = suites
            .iter()
            .map(|suite| format!("deb [signed-by={KEYRING}] http://deb.debian.org/debian {suite} main\n"));
        fs::write(folder.join("sources.list"), lines.collect::<String>())?;
        Ok(Self { folder })
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut apt = Command::new("apt-get");
        let at = |part: &str| self.folder.join(part).display().to_string();
        for option in [
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::Cache={}", at("cache")),
            "Acquire::Languages=none".to_owned(),
            "APT::Sandbox::User=".to_owned(),
        ] {
            apt.args(["--option", &option]);
        }
        shell::run(apt.args(arguments).current_dir(&self.folder))
    }
}

/// What they are made with: what is missing of it is installed, but Node only where there is none of any kind.
pub(crate) fn needs() -> Vec<&'static str> {
    let mut needs = needs::CLIENTS.to_vec();
    if !shell::installed("npm") {
        needs.extend(["nodejs", "npm"]);
    }
    needs
}
