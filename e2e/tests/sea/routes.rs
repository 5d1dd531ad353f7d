//! What the edge tells of its routes, and of a request that nobody sends.

use anyhow::{Result, ensure};
use e2e::Sea;

const APP: &str = r#"
name: told
services:
  web:
    image: busybox:1.36
    command: [sh, -c, "mkdir -p /data/pages; echo told > /data/pages/index.html; exec httpd -f -p 8080 -h /data"]
    init: true
    expose: ["8080"]
    stop_grace_period: 2s
    deploy: {replicas: 2}
    x-sea:
      route: "told.example/pages -> 8080"
      edge: {rate: {requests: 5, per: 1h, burst: 5}, max_body: 1k}
"#;

#[test]
fn the_edge_says_what_it_carries_and_what_it_would_do() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("compose.yaml", APP);
    sea.sea(&["up", "-d", "--wait"]).exits(0);

    sea.answers("told.example", "/pages/", "told")?;
    let routes = sea.json(&["routes"]);
    let route = &routes["routes"][0];
    ensure!(route["route"] == "told.example/pages" && route["service"] == "told/web", "{routes}");
    ensure!(route["instances"].as_array().map(Vec::len) == Some(2), "{routes}");

    let explain = |more: &[&str]| sea.json(&[&["route", "explain"], more].concat());
    let sent = explain(&["http://told.example/pages/x?y=1"]);
    ensure!(sent["verdict"] == "sent" && sent["service"] == "told/web", "{sent}");
    ensure!(sent["instances"].as_array().map(Vec::len) == Some(2), "{sent}");
    let allowance = |told: &serde_json::Value| {
        let steps = told["steps"].as_array().cloned().unwrap_or_default();
        steps.into_iter().find(|step| step["name"] == "rate").map(|step| step["found"].clone())
    };
    // It can be asked as often as one likes: nothing is taken.
    ensure!(allowance(&explain(&["http://told.example/pages"])) == allowance(&sent), "{sent}");
    let refused = |more: &[&str], code: &str| {
        let told = explain(more);
        ensure!(told["verdict"] == "refused" && told["code"] == code, "{more:?}: {told}");
        Ok(())
    };
    refused(&["http://told.example/other"], "no-route")?;
    refused(&["http://told.example/pages/%2e%2e/x"], "dot-segments")?;
    refused(&["-X", "POST", "-H", "Content-Length: 2000", "http://told.example/pages"], "body-size")?;
    ensure!(explain(&["http://told.example:1/pages"])["verdict"] == "nowhere");

    let metrics = sea.sea(&["metrics"]).exits(0);
    let answered = metrics.stdout.lines().filter_map(|line| {
        let (series, count) = line.rsplit_once(' ')?;
        let ours = series.starts_with(r#"proxy_requests_total{app="told",service="web","#)
            && series.contains(r#"release="1""#)
            && series.ends_with(r#"class="2xx"}"#);
        ours.then(|| count.parse::<u64>().ok())?
    });
    ensure!(answered.sum::<u64>() >= 1, "{metrics}");
    let ours = |name: &str| {
        let of = format!("{name}{{app=\"told\",service=\"web\",release=\"1\",");
        metrics.stdout.lines().filter(|line| line.starts_with(&of) && !line.ends_with(" 0")).count()
    };
    for name in ["containers_running", "containers_memory_bytes", "containers_cpu_seconds_total"] {
        ensure!(ours(name) == 2, "{name}: {metrics}");
    }

    sea.sea(&["route", "explain", "ftp://told.example/"]).exits(1).complains("another scheme");
    sea.sea(&["down"]).exits(0);
    sea.end()
}
