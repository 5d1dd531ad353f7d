//! What the edge wants to hear from instances before it sends them requests.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::{Sea, until};

const FILE: &str = r#"
name: shop
services:
  web:
    image: python:3.11-slim
    command: [gunicorn, --workers=1, --threads=4, --bind=0.0.0.0:8000, --chdir=/app, "app:app"]
    configs: [{source: app, target: /app/app.py}]
    stop_grace_period: 1s
    deploy: {replicas: 2, update_config: {parallelism: 2, monitor: 1s}}
    x-sea:
      route: shop.example -> 8000
      edge:
        check: {http: PATH, status: 200, timeout: 5s, retries: 1, interval: 200ms, START}
configs:
  app:
    content: |
      import os
      from flask import Flask
      app = Flask(__name__)
      well = True
      @app.route("/")
      def name():
          return os.uname().nodename
      @app.route("/turn/<how>")
      def turn(how):
          global well
          well = how == "on"
          return os.uname().nodename
      @app.route("/healthz")
      def healthz():
          return ("fine", 200) if well else ("the disk is full", 503)
"#;

/// Calls of gRPC over HTTP/2 as far as its health service goes, and pages beside them: a request with a body is a call.
const CALLS: &str = r#"
name: shop
services:
  cart:
    image: python:3.11-slim
    command: [python3, -u, /srv/calls.py]
    configs: [{source: calls, target: /srv/calls.py}]
    stop_grace_period: 1s
    deploy: {replicas: 2, update_config: {parallelism: 2, monitor: 1s}}
    x-sea:
      routes:
        - {host: shop.example, port: 50051}
        - {host: shop.example, path: /asked, port: 50051, forward_auth: "cart:50051/verify"}
      edge:
        protocol: h2
        check: {grpc: SERVICE, timeout: 5s, retries: 1, interval: 200ms, start_period: 5s}
configs:
  calls:
    content: |
      import os, socketserver
      def frame(kind, flags, stream, payload):
          return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
      def field(name, value):
          return bytes([0, len(name)]) + name + bytes([len(value)]) + value
      def page(stream):
          return frame(1, 4, stream, b"\x88") + frame(0, 1, stream, os.uname().nodename.encode())
      def call(stream, message):
          name = message[7:]
          status = 3 if name != b"shop.Cart" else 2 if os.path.exists("/tmp/off") else 1
          head = b"\x88" + field(b"content-type", b"application/grpc")
          reply = bytes([0, 0, 0, 0, 2, 8, status])
          return frame(1, 4, stream, head) + frame(0, 0, stream, reply) + frame(1, 5, stream, field(b"grpc-status", b"0"))
      class Calls(socketserver.BaseRequestHandler):
          def handle(self):
              heard, say, bodies = self.request.makefile("rb"), self.request.sendall, {}
              heard.read(24)
              say(frame(4, 0, 0, b""))
              while len(head := heard.read(9)) == 9:
                  kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                  payload = heard.read(int.from_bytes(head[:3], "big"))
                  if kind in (4, 6) and not flags & 1:
                      say(frame(kind, 1, 0, payload if kind == 6 else b""))
                  elif kind == 1 and flags & 1:
                      say(page(stream))
                  elif kind == 0:
                      bodies[stream] = bodies.get(stream, b"") + payload
                      if flags & 1:
                          say(call(stream, bodies.pop(stream)))
      class Server(socketserver.ThreadingTCPServer):
          allow_reuse_address = daemon_threads = True
      Server(("", 50051), Calls).serve_forever()
"#;

fn write(sea: &Sea, path: &str, start: &str) {
    sea.write("compose.yaml", &FILE.replace("PATH", path).replace(", START", start));
}

/// Those that answer some requests.
fn answering(sea: &Sea) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for _ in 0..20 {
        let answer = sea.get("shop.example", "/")?;
        ensure!(answer.status == 200, "{answer:?}");
        names.insert(answer.body);
    }
    Ok(names)
}

/// Who answers once this one is spared. Before that it may be passed over by chance.
fn without(sea: &Sea, spared: &str) -> Result<BTreeSet<String>> {
    let says_so = || sea.sea(&["status"]).stdout.contains(" is spared: ").then_some(());
    until("one is spared", 20, says_so)?;
    let others = |names: &BTreeSet<String>| !names.contains(spared);
    until("the others answer", 20, || answering(sea).ok().filter(others))?;
    let names = answering(sea)?;
    ensure!(names.len() == 1 && others(&names), "{spared} answers, or nobody: {names:?}");
    Ok(names)
}

/// Container ids and how often each was started again.
fn instances(sea: &Sea) -> BTreeSet<String> {
    let status = sea.json(&["status"]);
    let list = status["services"][0]["instances"].as_array().cloned().unwrap_or_default();
    list.iter().map(|one| format!("{} {} {}", one["id"], one["name"], one["restarts"])).collect()
}

#[test]
fn an_instance_that_fails_its_check_gets_no_requests_until_it_passes_again() -> Result<()> {
    let sea = Sea::with_images(&["python"])?;
    write(&sea, "/healthz", "");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let both = until("both answer", 20, || answering(&sea).ok().filter(|names| names.len() == 2))?;
    let before = instances(&sea);

    let off = sea.get("shop.example", "/turn/off")?.body;
    ensure!(both.contains(&off), "{off} of {both:?}");
    let left = without(&sea, &off)?;
    sea.sea(&["status"])
        .exits(0)
        .mentions(" is spared: http://")
        .mentions("/healthz answered 503 SERVICE UNAVAILABLE: the disk is full");
    sea.sea(&["ps"]).exits(0).mentions("(unhealthy)");
    ensure!(before == instances(&sea), "it runs on: {before:?}");

    // The check is asked for by a new daemon too, and then the instance gets well.
    sea.replace_daemon()?;
    ensure!(without(&sea, &off)? == left);
    let list = sea.json(&["ps"]);
    let view = list.as_array().into_iter().flatten().find(|view| off.starts_with(&short(view)));
    let name = view.and_then(|view| view["name"].as_str()).unwrap_or_default().to_owned();
    let on = "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/turn/on')";
    sea.sea(&["exec", &name, "python3", "-c", on]).exits(0);
    until("both answer again", 20, || answering(&sea).ok().filter(|names| *names == both))?;
    ensure!(before == instances(&sea), "nobody was started anew");

    // A release that does not pass goes back, and the one before has answered all the time.
    write(&sea, "/nowhere", ", start_period: 0s");
    sea.sea(&["up", "-d", "--wait"]).exits(3).complains("fails the check of the edge");
    until("the release before answers", 20, || answering(&sea).ok().filter(|names| *names == both))?;

    write(&sea, "nowhere", "");
    sea.sea(&["up", "-d", "--wait"]).exits(2).complains("`nowhere` is no path").complains("/healthz?full=1");
    sea.end()
}

/// The id that a container has for a host's name.
fn short(view: &serde_json::Value) -> String {
    view["id"].as_str().unwrap_or_default().chars().take(12).collect()
}

#[test]
fn an_instance_whose_health_service_of_grpc_says_not_serving_gets_nothing_until_it_serves() -> Result<()> {
    let sea = Sea::with_images(&["python"])?;
    sea.write("compose.yaml", &CALLS.replace("SERVICE", "shop.Cart"));
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let both = until("both answer", 20, || answering(&sea).ok().filter(|names| names.len() == 2))?;
    let before = instances(&sea);
    let list = sea.json(&["ps"]);
    let one = list.as_array().into_iter().flatten().next().map(short).unwrap_or_default();
    ensure!(both.contains(&one), "{one} of {both:?}");
    // What is asked first is asked in HTTP/2 too.
    let asked = sea.get("shop.example", "/asked")?;
    ensure!(asked.status == 200 && both.contains(&asked.body), "{asked:?}");
    sea.sea(&["route", "explain", "http://shop.example/asked"]).exits(0).mentions("asked first");

    sea.sea(&["exec", &one, "touch", "/tmp/off"]).exits(0);
    without(&sea, &one)?;
    sea.sea(&["status"]).exits(0).mentions(" is spared: grpc://").mentions(": `shop.Cart` is NOT_SERVING");
    sea.sea(&["exec", &one, "rm", "/tmp/off"]).exits(0);
    until("both answer again", 20, || answering(&sea).ok().filter(|names| *names == both))?;
    ensure!(before == instances(&sea), "nobody was started anew");

    // A name that the server does not know does not pass.
    sea.write(
        "compose.yaml",
        &CALLS.replace("SERVICE", "shop.Till").replace("start_period: 5s", "start_period: 0s"),
    );
    sea.sea(&["up", "-d", "--wait"]).exits(3).complains("fails the check of the edge");
    until("the release before answers", 20, || answering(&sea).ok().filter(|names| *names == both))?;
    sea.end()
}
