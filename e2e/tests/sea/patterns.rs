//! Second requests, priorities and clients that stay with their instance, by the real program.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, process, until_ok};
use rustix::process::Signal;

const URL: &str = "http://shop.example/";
/// Three instances that say who they are, and whether the request was sent before.
const APP: &str = r#"
name: shop
services:
  web:
    image: nginx:1.22
    command: [sh, -c, "cp /etc/shop.conf /tmp/shop.conf && exec nginx -c /tmp/shop.conf -g 'daemon off;'"]
    configs: [{source: conf, target: /etc/shop.conf}]
    expose: ["8080"]
    stop_grace_period: 20s
    deploy: {replicas: 3, update_config: {monitor: 100ms}}
    x-sea: {route: shop.example, edge: {EDGE}}
configs:
  conf:
    content: |
      events {}
      http {
        access_log off;
        server {
          listen 8080;
          default_type text/plain;
          location / { return 200 "$$hostname $$http_x_sea_again\n"; }
        }
      }
"#;

/// The app, whose service wants this of the edge.
fn start(edge: &str) -> Result<Sea> {
    let sea = Sea::with_images(&["nginx"])?;
    sea.write("compose.yaml", &APP.replace("EDGE", edge));
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    Ok(sea)
}

/// The head of an answer and its body.
fn ask(sea: &Sea, arguments: &[&str]) -> Result<(String, String)> {
    let text = sea.shown(URL, arguments)?;
    let (head, body) = text.split_once("\n\n").with_context(|| format!("no answer: {text}"))?;
    Ok((head.to_owned(), body.trim().to_owned()))
}

/// The cookie that an answer gives.
fn given(head: &str) -> Option<String> {
    head.lines().find_map(|line| Some(line.strip_prefix("set-cookie: ")?.split(';').next()?.to_owned()))
}

#[test]
fn a_client_stays_with_its_instance_also_when_the_edge_dies() -> Result<()> {
    let sea = start("sticky: true")?;
    // Whoever has a cookie comes to the same instance, whatever he speaks.
    let (head, name) = ask(&sea, &[])?;
    let cookie = given(&head).context("a cookie")?;
    ensure!(cookie.starts_with("sea-at-web=") && head.contains("; HttpOnly; SameSite=Lax"), "{head}");
    let stays = |version: &str| -> Result<()> {
        let (head, again) = ask(&sea, &[version, "-b", &cookie])?;
        ensure!(again == name && given(&head).is_none(), "{version}: {name}, then {again}: {head}");
        Ok(())
    };
    for _ in 0..6 {
        stays("--http1.1")?;
        stays("--http2-prior-knowledge")?;
    }
    let told = sea.explained("sticky", URL, &["-H", &format!("Cookie: {cookie}")]);
    ensure!(told.starts_with("to `") && told.ends_with("by its cookie `sea-at-web`"), "{told}");

    let words = |pid: &i32| process::arguments(*pid).iter().any(|word| word == "edge");
    let edge = sea.traces().processes().into_iter().find(words).context("the edge is a process")?;
    process::signal(edge, Signal::KILL);
    ensure!(process::ended(edge, Duration::from_secs(10)), "it is dead");
    for _ in 0..6 {
        stays("--http1.1")?;
    }
    sea.sea(&["metrics"]).exits(0).mentions("proxy_sticky_answers_total{app=\"shop\",service=\"web\"");

    // Who loses his instance gets another, and a cookie for it.
    let list = sea.json(&["ps"]);
    let host = |view: &&serde_json::Value| view["id"].as_str().is_some_and(|id| id.starts_with(name.trim()));
    let own = list.as_array().into_iter().flatten().find(host).with_context(|| format!("{name}: {list}"))?;
    process::signal(i32::try_from(own["pid"].as_i64().context("a process")?)?, Signal::KILL);
    until_ok("the client is moved", 20, || {
        let (head, other) = ask(&sea, &["-b", &cookie])?;
        let moved = given(&head).context("another cookie")?;
        ensure!(other != name && moved != cookie, "{name}, then {other}: {head}");
        Ok(())
    })?;
    sea.sea(&["down"]).exits(0);
    sea.end()
}

#[test]
fn what_an_instance_does_not_answer_another_does() -> Result<()> {
    let sea = start("hedge: {after: 50ms, share: 50%}, limit: 100, priority: [{path: /x, class: critical}]")?;
    let told = sea.explained("hedge", URL, &[]);
    ensure!(told.starts_with("a second instance is asked when the first says nothing for 50 ms"), "{told}");
    let told = sea.explained("priority", URL, &["-H", "Priority: u=6"]);
    ensure!(told.starts_with("`sheddable`, by its field `priority`"), "{told}");
    let told = [sea.explained("breaker", URL, &[]), sea.explained("retries", URL, &[])].join(", ");
    ensure!(told.starts_with("closed, 1000 of 1000 requests may be sent again"), "{told}");
    // Second requests are a share of the first, so there have to be some.
    for _ in 0..60 {
        ask(&sea, &["-H", "Priority: u=6"])?;
    }
    let list = sea.json(&["ps"]);
    let one = list[0]["id"].as_str().context("an id")?.to_owned();
    sea.sea(&["pause", &one]).exits(0);
    let mut doubled = 0;
    for number in 0..60 {
        let (head, body) = ask(&sea, &["--max-time", "5"])?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{number}: {head}");
        doubled += usize::from(body.ends_with(" 1"));
    }
    ensure!(doubled > 0, "the one that says nothing was asked");
    let of = "{app=\"shop\",service=\"web\",pool=\"web:8080\"";
    let counted = format!("proxy_priority_requests_total{of},priority=\"sheddable\"}} 60");
    let metrics = sea.sea(&["metrics"]).exits(0).mentions(&counted);
    ensure!(!metrics.text().contains(&format!("proxy_hedges_won_total{of}}} 0")), "{}", metrics.text());
    sea.sea(&["unpause", &one]).exits(0);
    sea.sea(&["down"]).exits(0);
    sea.end()
}
