//! The same where a network has IPv6: by both families a service's name leads to addresses of the service's own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, until_ok};
use rustix::process::Signal;

use super::{addresses, answered, call, python};

const APP: &str = r#"
name: wide
services:
  api:
    image: python:3.11-slim
    init: true
    stop_grace_period: 1s
    command:
      - python3
      - -c
      - |
        import socket, threading
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        name = socket.gethostname()
        class Handler(BaseHTTPRequestHandler):
          def do_GET(self):
            text = f'MARK {self.headers["X-Forwarded-For"]}'.encode()
            self.send_response(200)
            self.send_header('Content-Length', str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        class Server(ThreadingHTTPServer):
          address_family = socket.AF_INET6
        def words():
          there = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
          there.bind(('::', 8125))
          while True:
            _, client = there.recvfrom(100)
            there.sendto(name.encode(), client)
        def lines():
          there = socket.create_server(('::', 9000), family=socket.AF_INET6, dualstack_ipv6=True)
          while True:
            one, client = there.accept()
            one.sendall(f'{name} {client[0]}'.encode())
            one.close()
        threading.Thread(target=words, daemon=True).start()
        threading.Thread(target=lines, daemon=True).start()
        Server(('::', 8080), Handler).serve_forever()
    healthcheck: {test: [CMD, python3, -c, "import socket; socket.create_connection(('::1', 8080), 1)"], interval: 200ms}
    expose: ["8080"]
    deploy: {replicas: 2, update_config: {monitor: 200ms}}
    networks: [default, closed]
    x-sea: {edge: {between: [8080]}}
  out:
    image: busybox:1.36
    command: [httpd, -f, -p, "8080"]
    expose: ["8080"]
    stop_grace_period: 1s
    deploy: {replicas: 2}
    x-sea: {edge: {between: false}}
  web:
    image: python:3.11-slim
    command: [sleep, "1000000"]
    init: true
    stop_grace_period: 1s
  inside:
    image: python:3.11-slim
    command: [sleep, "1000000"]
    init: true
    stop_grace_period: 1s
    networks: [closed]
networks:
  default: {enable_ipv6: true}
  closed: {internal: true, enable_ipv6: true}
"#;

/// From here on names have IPv6 addresses alone.
const BY_IPV6: &str = "every = socket.getaddrinfo
socket.getaddrinfo = lambda *a, **k: [one for one in every(*a, **k) if one[0] == socket.AF_INET6]
";

/// The IPv6 addresses to which a name leads there.
fn wide(sea: &Sea, container: &str, name: &str) -> Vec<String> {
    let program =
        format!("print(*sorted({{one[4][0] for one in socket.getaddrinfo('{name}', 1, socket.AF_INET6)}}))");
    python(sea, container, &program).split(' ').map(str::to_owned).collect()
}

/// Whether the machine has this address for itself alone.
fn bridges_have(address: &str) -> Result<bool> {
    let output = std::process::Command::new("ip").args(["-o", "-6", "addr"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).contains(&format!(" {address}/128 ")))
}

/// How many answer at the service's IPv6 address, by datagrams and by connections to a port that is not listed, and whom
/// the latter see as their client.
const STRAIGHT: &str = "def word():
  one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); one.settimeout(5)
  one.sendto(b'?', ('api', 8125)); return one.recv(100)
def line():
  one = socket.create_connection(('api', 9000), 5); return one.recv(100).decode().split()
lines = [line() for _ in range(12)]
print(len({word() for _ in range(12)}), len({one[0] for one in lines}), *{one[1] for one in lines})";

/// Calls on connections of their own and on one that is kept, until the new release has answered for a while.
const CALLS: &str = "import http.client, time
end = time.time() + 60; seen = []; lost = []; count = 0; since = 0
kept = http.client.HTTPConnection('api', 8080, timeout=5)
def keep():
  kept.request('GET', '/'); return kept.getresponse().read()
while time.time() < end and since < 300:
  for ask in (lambda: u.urlopen('http://api:8080/', timeout=5).read(), keep):
    count += 1
    try: word = ask().split()[0].decode()
    except Exception as e: lost.append(repr(e)); kept.close()
    else:
      seen += [] if word in seen else [word]
      since += word == 'new'
print('lost', len(lost), lost[:3], 'of', count, seen)";

#[test]
fn a_service_is_called_through_the_edge_by_ipv6_too() -> Result<()> {
    let sea = Sea::with_images(&["busybox", "python"])?;
    let file = |mark: &str| APP.replace("MARK", mark);
    sea.write("compose.yaml", &file("old"));
    sea.sea(&["up", "-d", "--wait"]).exits(0);

    let at = wide(&sea, "wide-web-1", "api");
    ensure!(at.len() == 1 && addresses(&sea, "wide-web-1", "api").len() == 1, "one of each family: {at:?}");
    let at = at[0].clone();
    ensure!(bridges_have(&at)?, "{at} lies on the bridge");
    let reverse = python(&sea, "wide-web-1", &format!("print(socket.gethostbyaddr('{at}')[0])"));
    ensure!(reverse == "api.wide_default", "{reverse}");
    let tasks = wide(&sea, "wide-web-1", "tasks.api");
    ensure!(tasks.len() == 2 && !tasks.contains(&at), "{tasks:?}");
    ensure!(wide(&sea, "wide-web-1", "out").len() == 2, "it opted out");
    let shown = sea.json(&["routes"]).to_string();
    ensure!(shown.contains(&format!("[{at}]:8080")), "{shown}");

    // The edge answers, and tells who called; what it is not to answer goes straight, from the bridge's address.
    let caller = wide(&sea, "wide-web-1", "wide-web-1")[0].clone();
    let before = answered(&sea);
    let url = format!("http://[{at}]:8080/");
    for url in ["http://api:8080/", &url] {
        let program = format!("{BY_IPV6}print(u.urlopen('{url}', timeout=5).read().decode())");
        let told = python(&sea, "wide-web-1", &program);
        ensure!(told == format!("old {caller}"), "{told}");
    }
    ensure!(answered(&sea) == before + 2, "they came through the edge: {}", sea.json(&["routes"]));
    let told = python(&sea, "wide-web-1", &format!("{BY_IPV6}{STRAIGHT}"));
    let [words, lines, client] = told.split(' ').collect::<Vec<_>>()[..] else { anyhow::bail!("{told}") };
    ensure!((words, lines) == ("2", "2") && client.ends_with("::1"), "{told}");

    closed_to_strangers(&sea, &at)?;
    updates_lose_nothing(&sea, &file("new"))?;
    ensure!(wide(&sea, "wide-web-1", "api") == std::slice::from_ref(&at), "it stays through updates");

    // And while the daemon is away, and with another program's edge.
    sea.end_daemon(Signal::KILL)?;
    sea.start_daemon()?;
    ensure!(wide(&sea, "wide-web-1", "api") == std::slice::from_ref(&at));
    ensure!(call(&sea, "wide-web-1", &url) == format!("new {caller}"));
    came_from_before(&sea, &at)?;
    ensure!(call(&sea, "wide-web-1", &url) == format!("new {caller}"));
    sea.upgrade_daemon(&sea.another_program()?, &[])?;
    ensure!(call(&sea, "wide-web-1", &url) == format!("new {caller}"));

    sea.write("compose.yaml", &file("new").replace("between: [8080]", "between: false"));
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    until_ok("the address is gone", 20, || {
        ensure!(!bridges_have(&at)?);
        ensure!(wide(&sea, "wide-web-1", "api").len() == 2);
        Ok(())
    })?;
    sea.write("compose.yaml", &file("new"));
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let again = wide(&sea, "wide-web-1", "api");
    ensure!(again.len() == 1 && bridges_have(&again[0])?, "{again:?}");
    sea.sea(&["down"]).exits(0);
    ensure!(!bridges_have(&again[0])?, "an app that is down has none");
    sea.end()
}

/// An internal network is answered; it is let out to no other, and the host is not let in.
fn closed_to_strangers(sea: &Sea, at: &str) -> Result<()> {
    let program = format!("{BY_IPV6}print(u.urlopen('http://api:8080/', timeout=5).read().decode())");
    let told = python(sea, "wide-inside-1", &program);
    ensure!(told.starts_with("old fd"), "{told}");
    let told = call(sea, "wide-inside-1", &format!("http://[{at}]:8080/"));
    ensure!(told.starts_with("none"), "{told}");
    let own = std::net::TcpStream::connect_timeout(
        &format!("[{at}]:8080").parse().context("an address")?,
        Duration::from_secs(1),
    );
    ensure!(own.is_err(), "the host itself is let in");
    Ok(())
}

/// A program of before gave its services no such address: they get it with the next daemon, and the edge answers there.
fn came_from_before(sea: &Sea, at: &str) -> Result<()> {
    sea.end_daemon(Signal::KILL)?;
    let record = sea.root().join("network/networks.json");
    let text = std::fs::read_to_string(&record)?;
    let before = text.replace(&format!(r#""ipv6":"{at}","#), "");
    ensure!(before != text, "{text}");
    std::fs::write(&record, before)?;
    sea.start_daemon()?;
    until_ok("the edge answers", 20, || {
        let before = answered(sea);
        let told = call(sea, "wide-web-1", &format!("http://[{at}]:8080/"));
        ensure!(told.starts_with("new ") && answered(sea) == before + 1, "{told}");
        Ok(())
    })
}

fn updates_lose_nothing(sea: &Sea, new: &str) -> Result<()> {
    let told = std::thread::scope(|scope| {
        let calling = scope.spawn(|| python(sea, "wide-web-1", &format!("{BY_IPV6}{CALLS}")));
        sea.sea(&["scale", "api=3"]).exits(0);
        sea.write("compose.yaml", new);
        sea.sea(&["up", "-d", "--wait"]).exits(0);
        calling.join().expect("it calls")
    });
    ensure!(told.starts_with("lost 0 ") && told.contains("old") && told.contains("new"), "{told}");
    Ok(())
}
