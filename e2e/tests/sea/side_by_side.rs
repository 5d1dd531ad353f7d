//! A new release of a service with a share of its requests, beside the one that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use e2e::load::{Load, Order};
use e2e::{Sea, until_ok};

const URL: &str = "http://shop.example/";
/// A shop that tells its version, which stands in its config alone.
const APP: &str = r#"
name: shop
services:
  web:
    image: nginx:1.22
    command: [sh, -c, "cp /etc/shop.conf /tmp/shop.conf && exec nginx -c /tmp/shop.conf -g 'daemon off;'"]
    configs: [{source: conf, target: /etc/shop.conf}]
    ports: ["8080"]
    stop_grace_period: 20s
    deploy: {replicas: 2, update_config: {monitor: 100ms}}
    x-sea: {route: shop.example, edge: {SPLIT}}
  caller:
    image: busybox:1.36
    command: [sleep, "1000000"]
    init: true
    stop_grace_period: 1s
configs:
  conf:
    content: |
      events {}
      http {
        access_log off;
        server {
          listen 8080;
          default_type text/plain;
          location / { return 200 "VERSION\n"; }
        }
      }
"#;
/// Who says that it is a canary goes to the new release.
const CANARY: &[&str] = &["-H", "X-Canary: always"];

/// The file of this version, with this share for a new release.
fn write(sea: &Sea, version: &str, share: &str) {
    let split = format!("split: {{release: {share}, match: [{{header: X-Canary, value: always, to: new}}]}}");
    sea.write("compose.yaml", &APP.replace("SPLIT", &split).replace("VERSION", version));
}

fn up(sea: &Sea, version: &str, share: &str) -> e2e::Done {
    write(sea, version, share);
    sea.sea(&["up", "-d", "--wait"])
}

/// The containers by service.
fn ids(sea: &Sea) -> BTreeMap<String, BTreeSet<String>> {
    let mut ids: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for view in sea.json(&["ps"]).as_array().into_iter().flatten() {
        let service = view["owner"]["service"].as_str().unwrap_or_default().to_owned();
        ids.entry(service).or_default().insert(view["id"].to_string());
    }
    ids
}

/// Who answers one request.
fn ask(sea: &Sea, arguments: &[&str]) -> Result<String> {
    let text = sea.shown(URL, arguments)?;
    let (_, body) = text.split_once("\n\n").with_context(|| format!("no answer: {text}"))?;
    Ok(body.trim().to_owned())
}

/// Whether so many of these answers are of this version as a share of so much percent gives: within five deviations.
fn is_share(answers: &str, version: &str, percent: f64) -> Result<()> {
    let all = answers.lines().filter(|line| line.starts_with('v')).count();
    let some = answers.lines().filter(|line| *line == version).count();
    let (count, part) = (all as f64, percent / 100.0);
    let off = (some as f64 - count * part).abs();
    let bound = 5.0 * (count * part * (1.0 - part)).sqrt();
    ensure!(all >= 300 && off <= bound, "{version} gave {some} of {all}, which is not {percent} %");
    Ok(())
}

/// The answers to many requests by the route, by the published port, and by the service's name between services.
fn everywhere(sea: &Sea) -> Result<[String; 3]> {
    let status = sea.json(&["status"]);
    let addresses = status["services"][0]["addresses"].as_array().cloned().unwrap_or_default();
    let mut published = addresses.iter().filter_map(|it| it.as_str()?.strip_prefix("tcp://*:"));
    let port = published.next().with_context(|| status.to_string())?;
    let many = |url: &str| -> Result<String> {
        let output = sea.curl()?.arg(format!("{url}?[1-400]")).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut direct = std::process::Command::new("curl");
    let direct = direct.args(["-s", "--max-time", "30", &format!("http://127.0.0.1:{port}/?[1-400]")]);
    let direct = String::from_utf8_lossy(&direct.output()?.stdout).into_owned();
    let calls = "for i in $(seq 400); do wget -q -O - http://web:8080/; done";
    let called = sea.sea(&["exec", "-T", "caller", "sh", "-c", calls]).exits(0).text().to_owned();
    Ok([many(URL)?, direct, called])
}

/// The share of the new release that the edge goes by.
fn share(sea: &Sea) -> Option<u64> {
    let routes = sea.json(&["routes"]);
    let sides = routes["routes"][0]["sides"].as_array().cloned().unwrap_or_default();
    let new = sides.iter().find(|side| side["service"] == "shop/web.new")?;
    new["weight"].as_u64()
}

#[test]
fn a_new_release_gets_its_share_and_then_all_and_nothing_is_lost() -> Result<()> {
    let sea = Sea::with_images(&["nginx", "busybox"])?;
    up(&sea, "v1", "20").exits(0);
    let first = ids(&sea);
    ensure!(first["web"].len() == 2 && first.len() == 2, "nothing ran yet, so nothing is split: {first:?}");
    let own = |answer: &e2e::http::Answer| answer.status == 200 && answer.body.starts_with('v');
    let order = Order { address: sea.http()?, host: "shop.example".into(), rate: 100, own };
    let load = Load::begin(order);

    begins(&sea, &first)?;
    let both = ids(&sea);
    grows(&sea, &both)?;

    // Back by one release, and by a daemon that begins anew; then by all, and there again.
    sea.sea(&["rollback"]).exits(0);
    ensure!(ids(&sea) == both && share(&sea) == Some(2000), "{:?}", sea.json(&["routes"]));
    sea.replace_daemon()?;
    ensure!(ask(&sea, CANARY)? == "v2" && ids(&sea) == both);
    sea.sea(&["rollback", "1"]).exits(0);
    ensure!(ask(&sea, CANARY)? == "v1" && share(&sea).is_none());
    until_ok("the new release is gone", 30, || {
        ensure!(ids(&sea) == first, "{:?}", ids(&sea));
        Ok(())
    })?;
    sea.sea(&["rollback", "3"]).exits(0);
    ensure!(ask(&sea, CANARY)? == "v2" && share(&sea) == Some(6000) && ids(&sea)["web"] == first["web"]);

    // One that fails is a release that fails.
    up(&sea, "v3\"; nonsense; #", "60").exits(3).complains("web.new");
    ensure!(ask(&sea, CANARY)? == "v2" && ids(&sea)["web"] == first["web"]);

    // More instances of what runs are made as it was made.
    write(&sea, "v2", "{percent: 60, replicas: 1}");
    sea.write("more.yaml", "services: {web: {deploy: {replicas: 3}}}\n");
    sea.sea(&["-f", "compose.yaml", "-f", "more.yaml", "up", "-d", "--wait"]).exits(0);
    let more = ids(&sea);
    ensure!(more["web"].is_superset(&first["web"]) && more["web"].len() == 3 && more["web.new"].len() == 1);
    for container in more["web"].iter().chain(&more["web.new"]) {
        let conf = sea.sea(&["exec", "-T", container.trim_matches('"'), "cat", "/etc/shop.conf"]).exits(0);
        let version = if more["web"].contains(container) { "\"v1" } else { "\"v2" };
        ensure!(conf.text().contains(version), "{container}: {conf}");
    }

    takes_over(&sea, &more)?;
    load.end().lost_nothing();
    sea.sea(&["down"]).exits(0);
    sea.end()
}

/// The second release gets a fifth.
fn begins(sea: &Sea, first: &BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    write(sea, "v2", "20");
    for order in [&["plan"][..], &["up", "-d", "--dry-run"]] {
        let code = if order.len() == 1 { 2 } else { 0 };
        let plan =
            sea.sea(order).exits(code).mentions("keep    web\n").mentions("+ create  web.new  (2 to start");
        plan.mentions("gets 20 % of the requests for `web`, beside what runs");
    }
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let both = ids(sea);
    ensure!(both["web"] == first["web"] && both["web.new"].len() == 2, "{first:?}, then {both:?}");
    for answers in everywhere(sea)? {
        is_share(&answers, "v2", 20.0)?;
    }
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let side = ask(sea, &[CANARY, &[version]].concat())?;
        ensure!(side == "v2", "{version}: {side}");
    }
    let told = sea.explained("split", URL, CANARY);
    ensure!(told == "to `web.new` by header `x-canary: always`", "{told}");
    sea.sea(&["plan"]).exits(0).mentions("nothing to do");
    // Who it is, and since which release.
    sea.sea(&["status"]).exits(0).mentions("20 % of the requests for web");
    let status = sea.json(&["status"]);
    let new = status["services"].as_array().into_iter().flatten().find(|it| it["name"] == "web.new");
    let new = new.with_context(|| status.to_string())?;
    let made_for = |number: u32| {
        new["instances"].as_array().is_some_and(|all| all.iter().all(|it| it["release"] == number))
    };
    ensure!(made_for(2) && new["share"]["of"] == "web" && new["share"]["percent"] == 20.0, "{new}");
    sea.sea(&["releases"]).exits(0).mentions("up, 20 % of web");
    sea.sea(&["logs", "web.new"]).exits(0);
    Ok(())
}

/// The second release gets more, and nobody is replaced.
fn grows(sea: &Sea, both: &BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    write(sea, "v2", "60");
    let plan = sea.sea(&["plan"]).exits(2).mentions("~ adjust  web").mentions("keep    web.new");
    plan.mentions("edge.split.release: 20 % -> 60 %");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    ensure!(ids(sea) == *both, "no instance is replaced");
    for answers in everywhere(sea)? {
        is_share(&answers, "v2", 60.0)?;
    }
    Ok(())
}

/// The second release becomes the service.
fn takes_over(sea: &Sea, more: &BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    write(sea, "v2", "100");
    let plan = sea.sea(&["plan"]).exits(2).mentions("~ replace web").mentions("- remove  web.new");
    plan.mentions("edge.split.release: 60 % -> 100 %");
    // Who was at the new release does not fall back to the old one meanwhile.
    let over = AtomicBool::new(false);
    let canary = || -> Result<usize> {
        let mut asked = 0;
        while !over.load(Ordering::Relaxed) {
            let version = ask(sea, CANARY)?;
            ensure!(version == "v2", "{version} after {asked} answers of v2");
            asked += 1;
        }
        Ok(asked)
    };
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(canary);
        sea.sea(&["up", "-d", "--wait"]).exits(0);
        over.store(true, Ordering::Relaxed);
        asking.join().expect("it asks")
    })?;
    ensure!(asked > 10, "{asked} were asked");
    until_ok("the other is gone", 30, || {
        let now = ids(sea);
        ensure!(now.len() == 2 && now["web"].is_disjoint(&more["web"]) && now["web"].len() == 2, "{now:?}");
        Ok(())
    })?;
    for answers in everywhere(sea)? {
        is_share(&answers, "v2", 100.0)?;
    }
    // From here on it is what runs, and the next release stands beside it.
    sea.sea(&["plan"]).exits(0).mentions("nothing to do");
    write(sea, "v3", "10");
    sea.sea(&["plan"]).exits(2).mentions("~ adjust  web\n").mentions("+ create  web.new");
    Ok(())
}

#[test]
fn what_cannot_stand_side_by_side_is_refused_before_anything_is_done() -> Result<()> {
    let sea = Sea::with_images(&["nginx", "busybox"])?;
    let refused = |more: &str, why: &str| {
        write(&sea, "v1", "20");
        sea.write("more.yaml", more);
        for order in [&["plan"][..], &["up", "-d", "--wait"]] {
            let order = [&["-f", "compose.yaml", "-f", "more.yaml"][..], order].concat();
            sea.sea(&order)
                .exits(1)
                .complains("two releases of `web` cannot run side by side")
                .complains(why);
        }
    };
    refused("services: {web: {container_name: web, deploy: {replicas: 1}}}\n", "cannot be taken twice");
    refused(
        "services: {web: {volumes: ['data:/data'], deploy: {replicas: 1}}}\nvolumes: {data: {}}\n",
        "x-sea.writer: many",
    );
    refused("services: {web.new: {image: 'busybox:1.36'}}\n", "`web.new`");
    let list = sea.json(&["ps", "--all"]);
    ensure!(list.as_array().is_some_and(Vec::is_empty), "{list}");
    sea.end()
}
