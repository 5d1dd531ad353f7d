//! Machines and containers for tests: network namespaces of their own, so that the real one is left alone.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use base::{Clock, ContainerId, NetworkName, SystemClock};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::order::{AttachOrder, NetworkOrder, Settings};
use crate::{Networks, Tag};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A process that does nothing in a network namespace of its own.
pub(crate) struct Place {
    child: Child,
}

impl Place {
    /// A new one. Needs root, and fails without.
    pub(crate) fn new() -> Self {
        let child = Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .expect("`unshare` is part of every Debian");
        let place = Self { child };
        let ours = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        wait_for("a namespace of its own (are you root?)", || {
            fs::read_to_string(format!("/proc/{}/comm", place.pid())).is_ok_and(|c| c.trim() == "sleep")
                && fs::metadata(place.path()).is_ok_and(|m| m.ino() != ours)
        });
        place
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }

    /// Does something on a thread that stands there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.path()).unwrap();
        std::thread::scope(|scope| {
            let visit = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            visit.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Does something asynchronous there, with a runtime whose threads all stand there.
    pub(crate) fn run<F: Future>(&self, work: impl FnOnce() -> F + Send) -> F::Output
    where
        F::Output: Send,
    {
        self.inside(|| {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(work())
        })
    }

    /// Runs a program there and returns what it printed.
    pub(crate) fn shell(&self, line: &str) -> String {
        let pid = self.pid().to_string();
        let output =
            Command::new("nsenter").args(["--net", "--target", &pid, "sh", "-c", line]).output().unwrap();
        said(line, &output)
    }

    /// Its links, addresses, routes and filters, as other programs see them.
    pub(crate) fn state(&self) -> String {
        self.shell("ip -o link | cut -d' ' -f2,9-; ip -o addr | cut -d' ' -f2-7; ip route; nft list ruleset")
    }

    /// Whether it can open a connection to this address within a short while.
    pub(crate) fn reaches(&self, address: IpAddr, port: u16) -> bool {
        let address = SocketAddr::new(address, port);
        self.inside(|| TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_ok())
    }

    /// Whether its connection to this address is answered with this greeting, which names the asker's address.
    pub(crate) fn asks(&self, address: IpAddr, port: u16) -> Option<String> {
        let address = SocketAddr::new(address, port);
        self.inside(|| {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            Some(text)
        })
    }

    /// Listens there and tells everyone who connects from which address it came; returns the port.
    pub(crate) fn greets(&self) -> u16 {
        let listener = self.inside(|| TcpListener::bind("[::]:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let from = stream.peer_addr().unwrap().ip().to_canonical();
                let _ = stream.write_all(from.to_string().as_bytes());
            }
        });
        port
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(line: &str, output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{line}` failed: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until it is so.
pub(crate) fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let clock = SystemClock;
    let end = clock.now() + PATIENCE;
    while !so() {
        assert!(clock.now() < end, "waited in vain for {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A container's id, from a number.
pub(crate) fn container(number: u8) -> ContainerId {
    ContainerId::from_bytes([number; 32])
}

/// A network's name.
pub(crate) fn network(name: &str) -> NetworkName {
    NetworkName::new(name).unwrap()
}

/// A plain order of this name.
pub(crate) fn order(name: &str) -> NetworkOrder {
    NetworkOrder::named(network(name))
}

/// An order to join this place as the container of this number.
pub(crate) fn joins(number: u8, place: &Place) -> AttachOrder {
    AttachOrder {
        container: container(number),
        pid: place.pid(),
        index: 0,
        names: vec![format!("c{number}")],
        aliases: Vec::new(),
        ipv4: None,
        ipv6: None,
        mac: None,
        default_route: true,
        dns: Vec::new(),
        links: Vec::new(),
        link_local: Vec::new(),
        interface: None,
        ready: true,
        instance_of: None,
    }
}

/// The networks of a root in this folder.
pub(crate) async fn open(root: &Path) -> Networks {
    Networks::open(Tag::of_root(root), &root.join("network"), Settings::default()).await.unwrap()
}

/// The address as the general type.
pub(crate) fn ip(address: Option<Ipv4Addr>) -> IpAddr {
    address.expect("every attachment has an IPv4 address").into()
}
