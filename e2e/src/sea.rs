//! A daemon with a root folder of its own, and the commands that people give it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Answer};
use crate::{Done, Traces, process, until_ok};

/// How long a daemon may take until it answers.
const STARTING: u64 = 30;
/// How many seconds a command may take before it counts as hung; it then ends with 124.
const PATIENCE: &str = "120";

/// A root folder, its daemon, and a folder for compose files.
///
/// Whatever a test leaves is taken away by force when this is dropped; [`Sea::end`] checks that nothing is.
pub struct Sea {
    /// Goes last: everything else is below it.
    folder: TempDir,
    root: PathBuf,
    daemon: Mutex<Option<Child>>,
    traces: Traces,
    /// The test came to its end in good order.
    ended: bool,
}

/// The program under test.
pub fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("SEA_BIN") {
        return program.into();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    target.join("debug/sea")
}

/// The archive of a real image.
pub fn image(name: &str) -> PathBuf {
    let file = format!("{name}.tar");
    let found = testkit::real_images().into_iter().find(|path| path.ends_with(&file));
    found.expect("SEA_TEST_IMAGES names the folder of the test images; `cargo xtask test` makes it")
}

impl Sea {
    /// A root folder without a daemon.
    pub fn new() -> Self {
        testkit::require_root();
        let folder = tempfile::Builder::new().prefix("sea-e2e-").tempdir().expect("a folder can be made");
        let root = fs::canonicalize(folder.path()).expect("the folder is there").join("root");
        Self::within(folder, root)
    }

    /// Under this root, which is canonical and somebody else's to remove.
    pub fn with_root(root: PathBuf) -> Self {
        testkit::require_root();
        let folder = tempfile::Builder::new().prefix("sea-e2e-").tempdir().expect("a folder can be made");
        Self::within(folder, root)
    }

    fn within(folder: TempDir, root: PathBuf) -> Self {
        fs::create_dir_all(folder.path().join("home")).expect("a folder can be made");
        Self { traces: Traces::of(&root), folder, root, daemon: Mutex::new(None), ended: false }
    }

    /// A root folder with a daemon.
    pub fn start() -> Result<Self> {
        let sea = Self::new();
        sea.start_daemon()?;
        Ok(sea)
    }

    /// The same, with these images loaded.
    pub fn with_images(names: &[&str]) -> Result<Self> {
        let sea = Self::start()?;
        for name in names {
            sea.sea(&["image", "load", "-q", "-i", &image(name).display().to_string()]).exits(0);
        }
        Ok(sea)
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What this root has on the machine.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Where the test's own files are; commands start here.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Writes a file below [`Sea::home`].
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.home().join(path);
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder can be made");
        fs::write(&path, text).expect("a file can be written");
        path
    }

    /// A command line, not yet run. One that hangs is ended.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after=5", PATIENCE]).arg(program()).args(arguments);
        self.surround(&mut command);
        command
    }

    /// The same for a daemon that is about to die: with a host of its own the command starts none where it meets none.
    pub fn command_for_this_daemon(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("SEA_HOST", format!("unix://{}", self.root.join("sea.sock").display()));
        command
    }

    pub(crate) fn surround(&self, command: &mut Command) {
        command.env("SEA_ROOT", &self.root).env("SEA_HTTP", "127.0.0.1:0");
        // Nothing goes to registries beyond this machine; tests of registries name theirs.
        command.env("SEA_PULL", "never").env("DOCKER_CONFIG", self.home().join("docker"));
        command.env_remove("SEA_HOST").env_remove("SEA_FORMAT").current_dir(self.home()).stdin(Stdio::null());
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn sea(&self, arguments: &[&str]) -> Done {
        let ended = self.command(arguments).output();
        assert!(ended.is_ok(), "`{}` cannot be run; build it, or set SEA_BIN", program().display());
        Done::new(format!("sea {}", arguments.join(" ")), &ended.expect("it was run"))
    }

    /// Runs a command with this on its standard input.
    pub fn sea_with(&self, arguments: &[&str], input: &[u8]) -> Result<Done> {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("the input is a pipe")?;
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // A program that reads no further is its own affair.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output()?;
        ensure!(writer.join().is_ok(), "the writer of the input panicked");
        Ok(Done::new(format!("sea {}", arguments.join(" ")), &output))
    }

    /// Runs a command that must succeed, and reads its JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.sea(&[&["--format", "json"], arguments].concat()).exits(0).json()
    }

    /// Everything about a container.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> Value {
        self.json(&["inspect", name])[0].clone()
    }

    /// Starts a daemon and waits until it answers.
    pub fn start_daemon(&self) -> Result<()> {
        self.start_daemon_in(&[])
    }

    /// The same with these variables.
    pub fn start_daemon_in(&self, surroundings: &[(&str, OsString)]) -> Result<()> {
        self.start_daemon_of(&program(), surroundings)
    }

    fn start_daemon_of(&self, program: &Path, surroundings: &[(&str, OsString)]) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let child = self.spawn_daemon_in(program, surroundings, log)?;
        let pid = child.id();
        *self.daemon() = Some(child);
        let over = until_ok("the daemon answers", STARTING, || {
            if let Some(child) = self.daemon().as_mut()
                && let Some(status) = child.try_wait()?
            {
                return Ok(Some(status));
            }
            let view = self.daemon_view()?;
            ensure!(view["pid"] == pid, "another daemon answers: {view}");
            Ok(None)
        });
        match over.with_context(|| format!("the log of the daemon:\n{}", self.end_of_log()))? {
            None => Ok(()),
            Some(status) => bail!("it ended with {status}; the log of the daemon:\n{}", self.end_of_log()),
        }
    }

    /// A daemon that writes what it says to this file.
    pub fn spawn_daemon(&self, log: File) -> Result<Child> {
        self.spawn_daemon_in(&program(), &[], log)
    }

    fn spawn_daemon_in(&self, program: &Path, surroundings: &[(&str, OsString)], log: File) -> Result<Child> {
        let mut command = Command::new(program);
        self.surround(command.arg("daemon"));
        command.envs(surroundings.iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("`{}` cannot be run", program.display()))
    }

    /// What the daemon says of itself.
    pub fn daemon_view(&self) -> Result<Value> {
        let done = self.sea(&["--format", "json", "version"]);
        ensure!(done.code == 0, "{done}");
        let view = done.json()["daemon"].clone();
        ensure!(view.is_object(), "no daemon answers");
        Ok(view)
    }

    /// The daemon's process.
    pub fn daemon_pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.daemon_view()?["pid"].as_i64().context("a daemon has a process")?)?)
    }

    /// Ends the daemon with a signal, and takes its exit status.
    pub fn end_daemon(&self, signal: Signal) -> Result<()> {
        let Some(mut child) = self.daemon().take() else {
            // It was started by a command, and is nobody's child here.
            let pid = self.daemon_pid()?;
            process::signal(pid, signal);
            ensure!(process::ended(pid, Duration::from_secs(20)), "the daemon did not end");
            return Ok(());
        };
        let pid = i32::try_from(child.id())?;
        process::signal(pid, signal);
        let ended = process::ended(pid, Duration::from_secs(20));
        if !ended {
            process::signal(pid, Signal::KILL);
        }
        child.wait()?;
        ensure!(ended, "the daemon did not end within 20 s of {signal:?}");
        Ok(())
    }

    /// Kills the daemon and starts another.
    pub fn replace_daemon(&self) -> Result<()> {
        self.end_daemon(Signal::KILL)?;
        self.start_daemon()
    }

    /// Ends the daemon in order, and starts another from this program with these variables.
    pub fn upgrade_daemon(&self, program: &Path, surroundings: &[(&str, OsString)]) -> Result<()> {
        self.end_daemon(Signal::TERM)?;
        self.start_daemon_of(program, surroundings)
    }

    /// Another program than the one under test, which does the same.
    pub fn another_program(&self) -> Result<PathBuf> {
        let copy = self.folder.path().join("sea");
        fs::copy(program(), &copy)?;
        // What stands behind a program is not loaded.
        OpenOptions::new().append(true).open(&copy)?.write_all(b"another")?;
        Ok(copy)
    }

    /// Where the edge answers.
    pub fn http(&self) -> Result<SocketAddr> {
        let view = self.daemon_view()?;
        let text = view["http"].as_str().context("the daemon has an address")?;
        let text = text.trim_start_matches("http://").trim_end_matches('/');
        let first = text.split(',').next().unwrap_or_default().trim();
        first.parse().with_context(|| format!("`{text}` is the edge's address"))
    }

    /// A `curl` that comes to this edge, whatever host its URL names.
    pub fn curl(&self) -> Result<Command> {
        let mut command = Command::new("curl");
        let connect = format!("::127.0.0.1:{}", self.http()?.port());
        command.args(["-s", "--max-time", "30", "--connect-to", &connect]);
        Ok(command)
    }

    /// What `curl` shows of an answer, its head first.
    pub fn shown(&self, url: &str, arguments: &[&str]) -> Result<String> {
        let output =
            self.curl()?.arg("-i").args(arguments).arg(url).output().context("curl cannot be run")?;
        Ok(String::from_utf8_lossy(&output.stdout).replace('\r', ""))
    }

    /// What is said of a request in the first step of this name; nothing where there is none.
    pub fn explained(&self, step: &str, url: &str, arguments: &[&str]) -> String {
        let told = self.json(&[&["route", "explain", url], arguments].concat());
        let steps = told["steps"].as_array().cloned().unwrap_or_default();
        let found = steps.into_iter().find(|it| it["name"] == step).map(|it| it["found"].clone());
        found.and_then(|found| found.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Asks the edge.
    pub fn get(&self, host: &str, path: &str) -> Result<Answer> {
        Ok(http::get(self.http()?, host, path)?)
    }

    /// Waits until the edge answers 200 with a body that has this in it.
    pub fn answers(&self, host: &str, path: &str, with: &str) -> Result<Answer> {
        until_ok(format!("`{host}{path}` answers with `{with}`"), 30, || {
            let answer = self.get(host, path)?;
            ensure!(answer.status == 200 && answer.body.contains(with), "{answer:?}");
            Ok(answer)
        })
    }

    /// The end of the logs of daemon and edge.
    pub fn end_of_log(&self) -> String {
        let tail = |path: PathBuf| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(60)..].join("\n")
        };
        format!("{}\n-- edge --\n{}", tail(self.log()), tail(self.root.join("edge/edge.log")))
    }

    /// Takes all apps and containers down, ends the daemon, and checks that nothing is left.
    pub fn end(mut self) -> Result<()> {
        for app in self.sea(&["ls", "-q"]).exits(0).text().lines() {
            self.sea(&["-p", app, "down", "--volumes"]).exits(0);
        }
        let done = self.sea(&["--format", "json", "ps", "--all", "--everything"]).exits(0);
        for container in done.json().as_array().into_iter().flatten() {
            let id = container["id"].as_str().context("a container has an id")?;
            self.sea(&["rm", "--force", "--volumes", id]).exits(0);
        }
        self.sea(&["network", "prune"]).exits(0);
        self.end_daemon(Signal::TERM)?;
        // What serves on without the daemon: it goes when it is told to.
        for pid in self.traces.processes() {
            process::signal(pid, Signal::TERM);
            ensure!(
                process::ended(pid, Duration::from_secs(40)),
                "`{}` does not end when asked",
                process::arguments(pid).join(" ")
            );
        }
        until_ok("nothing is left of the root", 10, || {
            let left = self.traces.all();
            ensure!(left.is_empty(), "left behind:\n  {}", left.into_iter().collect::<Vec<_>>().join("\n  "));
            Ok(())
        })?;
        self.ended = true;
        Ok(())
    }

    /// The process of the daemon that was started here, also if it has died.
    pub(crate) fn daemon_child(&self) -> Option<i32> {
        self.daemon().as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// Takes the exit status of a daemon that has ended.
    pub(crate) fn forget_daemon(&self) -> Result<()> {
        if let Some(mut child) = self.daemon().take() {
            child.wait()?;
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("daemon.log")
    }

    fn daemon(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.daemon.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Default for Sea {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sea {
    fn drop(&mut self) {
        if !self.ended {
            eprintln!("-- daemon --\n{}", self.end_of_log());
        }
        if let Some(mut child) = self.daemon().take() {
            // Already over is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.traces.clear();
    }
}
