//! A service's name leads to an address that the edge answers, where it asks for that.

mod ipv6;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, process, until_ok};
use rustix::process::Signal;

const APP: &str = r#"
name: inner
services:
  api:
    image: busybox:1.36
    command: [sh, -c, "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
    stop_grace_period: 1s
    deploy: {replicas: 3, update_config: {monitor: 200ms}}
    x-sea: {edge: {between: [8080]}}
    networks: {default: {aliases: [backend]}, closed: {}}
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
  closed: {internal: true}
"#;

const NEIGHBOUR: &str = r#"
name: other
services:
  spy:
    image: python:3.11-slim
    command: [sleep, "1000000"]
    init: true
    stop_grace_period: 1s
"#;

/// What a program in Python prints in a container.
fn python(sea: &Sea, container: &str, program: &str) -> String {
    let program = format!("import socket, urllib.request as u\n{program}");
    sea.sea(&["exec", container, "python3", "-c", &program]).text().trim().to_owned()
}

/// The addresses to which a name leads there.
fn addresses(sea: &Sea, container: &str, name: &str) -> Vec<String> {
    let program = format!("print(*sorted(socket.gethostbyname_ex('{name}')[2]))");
    python(sea, container, &program).split(' ').map(str::to_owned).collect()
}

/// What is answered there.
fn call(sea: &Sea, container: &str, url: &str) -> String {
    let program = format!(
        "try: print(u.urlopen('{url}', timeout=3).read().decode())\nexcept OSError as e: print('none:', e)"
    );
    python(sea, container, &program)
}

/// How many requests the edge has answered well for services, by the instances that are there.
fn answered(sea: &Sea) -> u64 {
    let routes = sea.json(&["routes"]);
    let all = routes["routes"].as_array().into_iter().flatten();
    let instances = all.flat_map(|route| route["instances"].as_array().into_iter().flatten());
    let by_instance: std::collections::BTreeMap<_, _> = instances
        .map(|one| (one["id"].to_string(), one["answers"][1].as_u64().unwrap_or_default()))
        .collect();
    by_instance.values().sum()
}

/// Kills one instance of the service, as a crash does.
fn kill_one(sea: &Sea) -> Result<()> {
    let list = sea.json(&["ps"]);
    let mut api = list.as_array().context("a list")?.iter().filter(|one| one["owner"]["service"] == "api");
    let pid = api.next().and_then(|one| one["pid"].as_i64()).with_context(|| list.to_string())?;
    process::signal(i32::try_from(pid)?, Signal::KILL);
    Ok(())
}

/// Whether the machine has this address for itself alone.
fn bridges_have(address: &str) -> Result<bool> {
    let output = std::process::Command::new("ip").args(["-o", "-4", "addr"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).contains(&format!(" {address}/32 ")))
}

#[test]
fn a_service_is_called_through_the_edge_by_its_network_alone() -> Result<()> {
    let sea = Sea::with_images(&["busybox", "python"])?;
    sea.write("compose.yaml", APP);
    sea.write("other.yaml", NEIGHBOUR);
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    sea.sea(&["-f", "other.yaml", "up", "-d", "--wait"]).exits(0);

    let at = addresses(&sea, "inner-web-1", "api");
    ensure!(
        at.len() == 1 && addresses(&sea, "inner-web-1", "backend") == at,
        "an alias leads there too: {at:?}"
    );
    let at = at[0].clone();
    ensure!(bridges_have(&at)?, "{at} lies on the bridge");
    let reverse = python(&sea, "inner-web-1", &format!("print(socket.gethostbyaddr('{at}')[0])"));
    ensure!(reverse == "api.inner_default", "{reverse}");
    let own = addresses(&sea, "inner-web-1", "inner-api-1");
    let tasks = addresses(&sea, "inner-web-1", "tasks.api");
    ensure!(tasks.len() == 3 && tasks.contains(&own[0]) && !tasks.contains(&at), "{own:?} {tasks:?}");

    // Requests are spread, and none is lost with an instance.
    let calls = "seen = {}
for _ in range(300):
  try: word = u.urlopen('http://api:8080/', timeout=5).read().decode().strip()
  except OSError as e: word = f'lost {e}'
  seen[word] = seen.get(word, 0) + 1
print(seen)";
    let told = std::thread::scope(|scope| {
        let calling = scope.spawn(|| python(&sea, "inner-web-1", calls));
        let killed = kill_one(&sea);
        killed.map(|()| calling.join().expect("it calls"))
    })?;
    // The one that was killed may not have answered before, nor be back.
    ensure!(!told.contains("lost") && told.matches(": ").count() >= 2, "{told}");
    ensure!(answered(&sea) >= 100, "they came through the edge: {}", sea.json(&["routes"]));

    // An internal network is answered; another network, the neighbour's and the host are not.
    let url = format!("http://{at}:8080/");
    ensure!(!call(&sea, "inner-inside-1", "http://api:8080/").starts_with("none"));
    for stranger in ["inner-inside-1", "other-spy-1"] {
        let told = call(&sea, stranger, &url);
        ensure!(told.starts_with("none"), "{stranger}: {told}");
    }
    let own_machine =
        std::net::TcpStream::connect_timeout(&format!("{at}:8080").parse()?, Duration::from_secs(1));
    ensure!(own_machine.is_err(), "the host itself is let in");
    let ports = sea.json(&["routes"]);
    ensure!(ports.to_string().contains(&format!("{at}:8080")), "{ports}");

    // The address is the service's through updates, and while the daemon is away.
    let new = APP.replace("hostname >", "echo new >");
    sea.write("compose.yaml", &new);
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    ensure!(call(&sea, "inner-web-1", "http://api:8080/") == "new");
    sea.end_daemon(Signal::KILL)?;
    sea.start_daemon()?;
    ensure!(addresses(&sea, "inner-web-1", "api") == std::slice::from_ref(&at));
    ensure!(call(&sea, "inner-web-1", "http://api:8080/") == "new");
    // Another program's edge gets the very sockets.
    sea.upgrade_daemon(&sea.another_program()?, &[])?;
    ensure!(call(&sea, "inner-web-1", "http://api:8080/") == "new");

    // Without the wish, the name leads to instances again, and the address is gone.
    sea.write("compose.yaml", &new.replace("x-sea: {edge: {between: [8080]}}", ""));
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    until_ok("the address is gone", 20, || {
        ensure!(!bridges_have(&at)?);
        ensure!(addresses(&sea, "inner-web-1", "api").len() == 3);
        Ok(())
    })?;
    sea.sea(&["down"]).exits(0);
    sea.sea(&["-f", "other.yaml", "down"]).exits(0);
    sea.end()
}

const ECHO: &str = r#"
name: echo
services:
  echo:
    image: python:3.11-slim
    init: true
    stop_grace_period: 1s
    command:
      - python3
      - -c
      - |
        import socket, threading
        name = (socket.gethostname() + MARK).encode()
        def words(port):
          there = socket.create_server(('', port))
          while True:
            one, _ = there.accept()
            one.sendall(name)
            one.close()
        threading.Thread(target=words, args=(9000,), daemon=True).start()
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        there.bind(('', 8125))
        while True:
          _, client = there.recvfrom(100)
          there.sendto(name, client)
    healthcheck: {test: [CMD, python3, -c, "import socket; socket.create_connection(('127.0.0.1', 9000), 1)"], interval: 200ms}
    deploy: {replicas: 2, update_config: {monitor: 200ms}}
    x-sea: {edge: {between: [8080]}}
  web:
    image: python:3.11-slim
    command: [sleep, "1000000"]
    init: true
    stop_grace_period: 1s
"#;

/// Who answers at the service's name, by datagrams of many sockets and by connections to a port that is not listed.
fn answering(sea: &Sea) -> Result<(usize, usize)> {
    let program = "def word():
  one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.settimeout(5)
  one.sendto(b'?', ('echo', 8125)); return one.recv(100)
def line():
  one = socket.create_connection(('echo', 9000), 5); return one.recv(100)
print(len({word() for _ in range(12)}), len({line() for _ in range(12)}))";
    let told = python(sea, "echo-web-1", program);
    let (words, lines) = told.split_once(' ').with_context(|| told.clone())?;
    Ok((words.parse()?, lines.parse()?))
}

#[test]
fn what_the_edge_does_not_answer_goes_straight_to_an_instance() -> Result<()> {
    let sea = Sea::with_images(&["python"])?;
    sea.write("compose.yaml", &ECHO.replace("MARK", "''"));
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    ensure!(addresses(&sea, "echo-web-1", "echo").len() == 1);
    ensure!(answering(&sea)? == (2, 2));
    sea.sea(&["scale", "echo=3"]).exits(0);
    until_ok("the third is called, too", 20, || {
        ensure!(answering(&sea)? == (3, 3));
        Ok(())
    })?;

    // One socket that goes on is led from instances that leave to those that come, and misses no more than an answer that was
    // on its way at each of these moments.
    let lasting = "import time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.settimeout(3); seen = []; lost = 0
at = (socket.gethostbyname('echo'), 8125)
end = time.time() + 60
while time.time() < end and not (seen and seen[-1].endswith(b'new')):
  one.sendto(b'?', at)
  try: word = one.recv(100)
  except OSError: lost += 1
  else: seen += [] if word in seen else [word]
print('lost', lost <= len(seen) - 1, 'last', seen[-1].decode(), lost, seen)";
    let told = std::thread::scope(|scope| {
        let calling = scope.spawn(|| python(&sea, "echo-web-1", lasting));
        sea.write("compose.yaml", &ECHO.replace("MARK", "'new'").replace("replicas: 2", "replicas: 3"));
        sea.sea(&["up", "-d", "--wait"]).exits(0);
        calling.join().expect("it calls")
    });
    ensure!(told.starts_with("lost True last ") && told.contains("new"), "{told}");
    ensure!(answering(&sea)? == (3, 3));

    // The next daemon leads as the last one did.
    sea.end_daemon(Signal::KILL)?;
    sea.start_daemon()?;
    ensure!(answering(&sea)? == (3, 3));
    sea.sea(&["down"]).exits(0);
    sea.end()
}

/// Of three services, two name a port and one of them wants no edge.
const NAMED: &str = r#"
name: named
services:
  api:
    image: busybox:1.36
    command: [sh, -c, "mkdir -p /www; echo MARK > /www/index.html; exec httpd -f -p PORT -h /www"]
    expose: ["PORT"]
    stop_grace_period: 1s
    deploy: {replicas: 2, update_config: {monitor: 200ms}}
  plain:
    image: python:3.11-slim
    init: true
    command:
      - python3
      - -c
      - |
        import socket
        there = socket.create_server(('', 9000))
        while True:
          one, _ = there.accept()
          one.sendall(b'welcome')
          one.close()
    ports: ["127.0.0.1::9000"]
    stop_grace_period: 1s
    deploy: {replicas: 2}
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
"#;

#[test]
fn a_service_that_names_its_ports_is_called_through_the_edge_unless_it_opts_out() -> Result<()> {
    let sea = Sea::with_images(&["busybox", "python"])?;
    // A program of the host has the port on all addresses, and is in nobody's way.
    let beside = std::net::TcpListener::bind("0.0.0.0:0")?;
    let port = beside.local_addr()?.port().to_string();
    let file = |mark: &str| NAMED.replace("PORT", &port).replace("MARK", mark);
    sea.write("compose.yaml", &file("old"));
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let leads_to = |name: &str| addresses(&sea, "named-web-1", name).len();
    ensure!((leads_to("api"), leads_to("plain"), leads_to("out")) == (1, 1, 2));
    let shown = sea.json(&["routes"]).to_string();
    ensure!(shown.contains(&format!(":{port}/tcp")) && !shown.contains(":8080/tcp"), "{shown}");
    let chosen = sea.sea(&["plan"]).text().to_owned();
    ensure!(chosen.contains("x-sea.edge.between") && chosen.contains(&format!("[{port}]")), "{chosen}");

    // Calls on connections of their own and on one that is kept lose nothing while instances come and go.
    let calls = format!(
        "import http.client, time
end = time.time() + 60; seen = []; lost = []; count = 0
kept = http.client.HTTPConnection('api', {port}, timeout=5)
def keep():
  kept.request('GET', '/'); return kept.getresponse().read()
while time.time() < end and not (b'new\\n' in seen and seen[-1] == b'last'):
  for ask in (lambda: u.urlopen('http://api:{port}/', timeout=5).read(), keep):
    count += 1
    try: word = ask()
    except Exception as e: lost.append(repr(e)); kept.close()
    else: seen += [] if word in seen else [word]
  if b'new\\n' in seen and count > 2000: seen.append(b'last')
print('lost', len(lost), lost[:3], 'of', count, seen)"
    );
    let told = std::thread::scope(|scope| {
        let calling = scope.spawn(|| python(&sea, "named-web-1", &calls));
        sea.sea(&["scale", "api=4"]).exits(0);
        sea.sea(&["scale", "api=1"]).exits(0);
        sea.write("compose.yaml", &file("new"));
        sea.sea(&["up", "-d", "--wait"]).exits(0);
        calling.join().expect("it calls")
    });
    ensure!(told.starts_with("lost 0 ") && told.contains("old") && told.contains("new"), "{told}");
    ensure!(answered(&sea) > 0, "they came through the edge: {}", sea.json(&["routes"]));
    // Who speaks first is passed on as bytes.
    let welcome = python(&sea, "named-web-1", "print(socket.create_connection(('plain', 9000), 5).recv(7))");
    ensure!(welcome == "b'welcome'", "{welcome}");
    drop(beside);
    sea.sea(&["down"]).exits(0);
    sea.end()
}
