//! The role that serves names as a real process: it outlives its daemon, is found by the next one, is replaced
//! when it dies, and goes with the networks. The program is its own test: it plays the role, the container's
//! resolver and the daemon, on a machine (a network namespace) of its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, though without the harness that says so"
)]

use std::io::Read;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use base::{Clock, ContainerId, NetworkName, SystemClock};
use network::{AttachOrder, NamesLaunch, NetworkOrder, Networks, Settings, Tag};

const NAME: &str = "names_outlive_the_daemon_and_are_replaced_when_their_process_dies";
const WITHIN: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["names", dir] => return network::names::names_main(Path::new(dir)),
        ["ask", server, name] => println!("{}", ask(server, name)),
        ["inside"] => play(),
        other if other.contains(&"--list") => {
            if !other.contains(&"--ignored") {
                println!("{NAME}: test");
            }
        }
        _ => {
            let me = std::env::current_exe().unwrap();
            let status = Command::new("unshare").arg("--net").arg(me).arg("inside").status().unwrap();
            assert!(status.success(), "{NAME} failed (are you root?)");
        }
    }
    ExitCode::SUCCESS
}

/// How many addresses a name has, asked as any resolver does; `silence` if nobody answers.
fn ask(server: &str, name: &str) -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, u8::try_from(name.len()).unwrap()];
    question.extend(name.as_bytes());
    question.extend([0, 0, 1, 0, 1]);
    let mut answer = [0; 512];
    let asked = socket.send_to(&question, (server, 53)).and_then(|_| socket.recv(&mut answer));
    asked.map_or("silence".to_owned(), |_| u16::from_be_bytes([answer[6], answer[7]]).to_string())
}

/// A container: a process in a namespace of its own.
struct Place(Child);

impl Place {
    fn new() -> Self {
        let mut child = Command::new("unshare").args(["--net", "sleep", "infinity"]).spawn().unwrap();
        let comm = format!("/proc/{}/comm", child.id());
        while !std::fs::read_to_string(&comm).is_ok_and(|c| c.trim() == "sleep") {
            assert!(child.try_wait().unwrap().is_none(), "`unshare` ended early");
            std::thread::yield_now();
        }
        Self(child)
    }

    fn asks(&self, server: &str, name: &str) -> String {
        let (me, pid) = (std::env::current_exe().unwrap(), self.0.id().to_string());
        let mut command = Command::new("nsenter");
        let output = command.args(["--net", "--target", &pid]).arg(me).args(["ask", server, name]).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon's life: opens the networks, does something, and is gone without a farewell.
fn daemon<T>(root: &Path, work: impl AsyncFnOnce(Networks) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = root.join("network");
    let args = vec!["names".into(), dir.clone().into()];
    let names = NamesLaunch::Process { program: std::env::current_exe().unwrap(), args };
    runtime.block_on(async {
        let settings = Settings { names, ..Settings::default() };
        work(Networks::open(Tag::of_root(root), &dir, settings).await.unwrap()).await
    })
}

/// The process that answers now, by its greeting.
fn role(root: &Path) -> u32 {
    let mut stream = UnixStream::connect(root.join("network/names.sock")).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut greeting = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut greeting).unwrap();
    let greeting: serde_json::Value = serde_json::from_slice(&greeting).unwrap();
    u32::try_from(greeting["pid"].as_u64().unwrap()).unwrap()
}

fn joins(number: u8, place: &Place, alias: &str) -> AttachOrder {
    AttachOrder {
        links: Vec::new(),
        link_local: Vec::new(),
        interface: None,
        container: ContainerId::from_bytes([number; 32]),
        pid: place.0.id(),
        index: 0,
        names: vec![format!("c{number}")],
        aliases: vec![alias.to_owned()],
        ipv4: None,
        ipv6: None,
        mac: None,
        default_route: true,
        dns: Vec::new(),
        ready: true,
        instance_of: None,
    }
}

fn play() {
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let (root, one, two) = (tempfile::tempdir().unwrap(), Place::new(), Place::new());
    let root = root.path();
    let shop = NetworkName::new("shop").unwrap();
    let gateway = daemon(root, async |networks| {
        networks.create(NetworkOrder::named(shop.clone())).await.unwrap();
        let first = networks.attach(&shop, joins(1, &one, "web")).await.unwrap();
        assert!(networks.names_served(WITHIN).await);
        first.ipv4_gateway.unwrap().to_string()
    });
    assert_eq!(one.asks(&gateway, "web"), "1", "the daemon is gone and names go on");
    let before = role(root);

    daemon(root, async |networks| {
        networks.settle(&[ContainerId::from_bytes([1; 32])]).await.unwrap();
        networks.attach(&shop, joins(2, &two, "web")).await.unwrap();
        assert!(networks.names_served(WITHIN).await);
    });
    assert_eq!(one.asks(&gateway, "web"), "2");
    assert_eq!(role(root), before, "the next daemon found the process and kept it");

    daemon(root, async |networks| {
        assert!(networks.set_ready(&ContainerId::from_bytes([2; 32]), false).await.is_ok());
        assert!(networks.names_served(WITHIN).await);
        let pid = rustix::process::Pid::from_raw(before.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // The new one has the table without any further change.
        wait_for("a new process that answers", || one.asks(&gateway, "web") == "1");
    });
    let after = role(root);
    assert_ne!(after, before);
    daemon(root, async |networks| networks.destroy_all().await.unwrap());
    let status = format!("/proc/{after}/stat");
    // Ended and not yet waited for is ended.
    wait_for("the process to end", || std::fs::read_to_string(&status).map_or(true, |s| s.contains(") Z ")));
    assert!(!root.join("network/names.sock").exists());
}

/// Waits until it is so.
fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let clock = SystemClock;
    let end = clock.now() + WITHIN;
    while !so() {
        assert!(clock.now() < end, "waited in vain for {what}");
        std::thread::yield_now();
    }
}
