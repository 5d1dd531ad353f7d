//! Requests of one service that go to others too: by weights, by what they say, and as copies.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, image, until_ok};

const URL: &str = "http://shop.example/";
/// Three versions of a shop that tell who they are, and what marked a copy.
const APP: &str = r#"
name: shop
x-one: &one
  image: nginx:1.22
  command: [sh, -c, "cp /etc/shop.conf /tmp/shop.conf && exec nginx -c /tmp/shop.conf -g 'daemon off;'"]
  configs: [{source: conf, target: /etc/shop.conf}, {source: long, target: /srv/slow}]
  expose: ["8080"]
  stop_grace_period: 20s
  deploy: {update_config: {monitor: 100ms}}
services:
  web:
    <<: *one
    hostname: web
    x-sea: {route: shop.example, edge: {EDGE}}
NEXT  shadow:
    <<: *one
    hostname: shadow
configs:
  long: {content: "LONG"}
  conf:
    content: |
      events {}
      http {
        log_format asked '$$request copy-of=$$http_x_sea_mirror';
        access_log /dev/stdout asked;
        server {
          listen 8080;
          default_type text/plain;
          root /srv;
          location /slow { limit_rate 1k; }
          location / { return 200 "$$hostname $$http_x_sea_mirror\n"; }
        }
      }
"#;
const NEXT: &str = "  next:\n    <<: *one\n    hostname: next\n";
const MIRROR: &str = "mirror: shadow";

/// The file in which `next` gets so much beside the ten of `web`; without, it has left.
fn write(sea: &Sea, next: Option<u32>) {
    let split = next.map(|weight| {
        format!(
            "split: {{sides: {{web: 10, next: {weight}}}, sticky: cookie, \
             match: [{{header: X-Canary, value: always, to: next}}]}}, {MIRROR}"
        )
    });
    let text = APP.replace("LONG", &"x".repeat(4096));
    let text = text.replace("NEXT", if next.is_some() { NEXT } else { "" });
    sea.write("compose.yaml", &text.replace("EDGE", split.as_deref().unwrap_or(MIRROR)));
}

/// Who answers, and the cookie that the answer gives.
fn ask(sea: &Sea, arguments: &[&str]) -> Result<(String, Option<String>)> {
    let text = sea.shown(URL, arguments)?;
    let (head, body) = text.split_once("\n\n").with_context(|| format!("no answer: {text}"))?;
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
    Ok((body.trim().to_owned(), cookie.map(str::to_owned)))
}

fn ids(sea: &Sea) -> BTreeSet<String> {
    let list = sea.json(&["ps"]);
    list.as_array().into_iter().flatten().map(|view| view["id"].to_string()).collect()
}

#[test]
fn requests_go_to_the_side_that_the_file_says_and_stay_there() -> Result<()> {
    let sea = Sea::start()?;
    sea.sea(&["image", "load", "-q", "-i", &image("nginx").display().to_string()]).exits(0);
    write(&sea, Some(10));
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let before = ids(&sea);
    ensure!(before.len() == 3, "{before:?}");

    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let (side, cookie) = ask(&sea, &[version, "-H", "X-Canary: always"])?;
        ensure!(side == "next" && cookie.is_none(), "{version}: {side} {cookie:?}");
    }
    let mut clients = Vec::new();
    for _ in 0..30 {
        let (side, cookie) = ask(&sea, &[])?;
        clients.push((side, cookie.context("a cookie")?));
    }
    let told = sea.explained("split", URL, &["-H", "X-Canary: always"]);
    ensure!(told == "to `next` by header `x-canary: always`", "{told}");

    // More for the new one: that is a change of routes, and whoever was there stays.
    write(&sea, Some(30));
    let plan = sea.sea(&["plan"]).exits(2).mentions("~ adjust  web");
    plan.mentions("edge.split.sides.next.weight: 10 -> 30").mentions("keep    next");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    ensure!(ids(&sea) == before, "no instance is replaced");
    for (before, cookie) in &clients {
        let (side, given) = ask(&sea, &["-b", cookie])?;
        ensure!(given.is_none() && (side == *before || side == "next"), "{cookie}: {before}, then {side}");
        let told = sea.explained("split", URL, &["-H", &format!("Cookie: {cookie}")]);
        ensure!(told.starts_with(&format!("to `{side}` by its cookie `sea-side`")), "{side}: {told}");
    }
    let routes = sea.json(&["routes"]);
    let sides = routes["routes"][0]["sides"].as_array().cloned().unwrap_or_default();
    let asked: u64 = sides.iter().filter_map(|side| side["requests"].as_u64()).sum();
    ensure!(sides.len() == 2 && asked == 62, "{routes}");
    sea.sea(&["routes"]).exits(0).mentions("75 % of it").mentions("copies of 100 %");

    // Copies came to the shadow, marked, and nobody saw its answers.
    until_ok("the shadow has logged its copies", 10, || {
        let log = sea.sea(&["logs", "shadow"]).exits(0);
        let copies = log.text().matches("GET / HTTP/1.1 copy-of=shop/web").count();
        ensure!(copies == 62, "{copies}: {}", log.text());
        Ok(())
    })?;
    leaves(&sea)?;
    sea.sea(&["down"]).exits(0);
    sea.end()
}

/// A side that is taken out of the file ends what it has begun.
fn leaves(sea: &Sea) -> Result<()> {
    let mut slow = sea.curl()?;
    slow.args(["-H", "X-Canary: always", "http://shop.example/slow"]);
    let slow = slow.stdout(Stdio::piped()).spawn()?;
    until_ok("the download has begun", 10, || {
        let routes = sea.json(&["routes"]);
        let sides = routes["routes"][0]["sides"].as_array().cloned().unwrap_or_default();
        let next = sides.into_iter().find(|side| side["service"] == "shop/next").context("a side")?;
        ensure!(next["instances"][0]["in_flight"] == 1, "{next}");
        Ok(())
    })?;
    write(sea, None);
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    ensure!(ask(sea, &["-H", "X-Canary: always"])?.0 == "web", "the edge sends nothing new");
    let output = slow.wait_with_output()?;
    ensure!(output.status.success() && output.stdout == [b'x'; 4096], "{} bytes", output.stdout.len());
    until_ok("the side is gone", 20, || {
        ensure!(ids(sea).len() == 2);
        Ok(())
    })
}
