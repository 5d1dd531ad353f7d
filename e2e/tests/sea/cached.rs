//! Requests that are joined and answers that are kept, in front of a program that is slow and then gone.

use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, http, until_ok};

/// Pages that take a second to make and say how many there were.
const APP: &str = r#"
name: shop
services:
  web:
    image: python:3.11-slim
    command: [python3, -u, /srv/pages.py]
    configs: [{source: pages, target: /srv/pages.py}]
    stop_grace_period: 1s
    deploy: {update_config: {monitor: 100ms}}
    x-sea: {route: "shop.example -> 8080", edge: {cache: true}}
configs:
  pages:
    content: |
      import collections, http.server, time
      made, dead = collections.Counter(), []
      kinds = {
          "/slow": "max-age=60",
          "/news": "max-age=1, stale-while-revalidate=600",
          "/old": "max-age=0, stale-if-error=600",
      }
      class Pages(http.server.BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_GET(self):
              if self.path == "/die":
                  dead.append(True)
                  server.socket.close()
              if dead:
                  self.close_connection = True
                  return
              made[self.path] += 1
              body = str(made[self.path]).encode()
              if self.path in kinds:
                  time.sleep(1)
              if self.path.startswith("/made"):
                  body = str(made[self.path[5:]]).encode()
              self.send_response(200)
              if self.path in kinds:
                  self.send_header("Cache-Control", kinds[self.path])
              self.send_header("Content-Length", str(len(body)))
              self.end_headers()
              self.wfile.write(body)
      class Server(http.server.ThreadingHTTPServer):
          request_queue_size = 256
      server = Server(("", 8080), Pages)
      server.serve_forever()
"#;

/// The body of the answer, and what the cache did.
fn page(sea: &Sea, path: &str) -> Result<(String, String)> {
    let answer = sea.get("shop.example", path)?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    let told = answer.header("cache-status").unwrap_or_default().to_owned();
    Ok((answer.body, told))
}

/// Has the edge forget pages, so that they are made anew.
fn forget(sea: &Sea) -> Result<()> {
    let purge = |words: &[&str]| sea.sea(&[&["route", "purge"], words].concat()).exits(0).text().to_owned();
    // A page is kept when its fetch is over, a moment after its caller has the last byte.
    let is_kept = || {
        until_ok("the page is kept", 10, || {
            let (page, told) = page(sea, "/slow")?;
            ensure!(told.starts_with("sea; hit"), "{told}");
            Ok(page)
        })
    };
    let mut before = is_kept()?;
    for none in ["https://shop.example/slow", "shop.example/slo", "other.example/slow"] {
        let told = purge(&[none]);
        ensure!(told.starts_with("nothing: no answer is kept for `"), "{told}");
    }
    ensure!(is_kept()? == before, "it stays");
    // The program knows no ranges; the edge does.
    for (range, status, body) in
        [("0-0", " 206", &*before), ("1-", " 416", ""), ("0-0,2-3", " 200", &*before)]
    {
        let part = sea.shown("http://shop.example/slow", &["-r", range])?;
        ensure!(part.contains(status) && part.trim_end().ends_with(body), "{range}: {part}");
        ensure!(part.contains("cache-status: sea; hit"), "{range}: {part}");
    }
    for order in [&["shop.example/slow"][..], &["--prefix", "http://shop.example/s"], &["--all", "shop"]] {
        let told = purge(order);
        ensure!(told.starts_with("threw away 1 answer of `shop/web`"), "{order:?}: {told}");
        let (made, told) = page(sea, "/slow")?;
        ensure!(made != before && told.starts_with("sea; fwd=miss"), "{made} after {before}: {told}");
        before = is_kept()?;
    }
    let told = sea.json(&["route", "purge", "--all", "shop/web"]);
    ensure!(told["services"][0]["service"] == "shop/web" && told["answers"] == 1, "{told}");
    let told = purge(&["--all", "nobody"]);
    ensure!(told.starts_with("nothing: no service that is meant keeps answers"), "{told}");
    sea.sea(&["route", "purge", "ftp://a/"]).exits(1).complains("of another scheme");
    is_kept()?;
    Ok(())
}

#[test]
fn a_slow_page_is_made_once_for_a_hundred_callers() -> Result<()> {
    let sea = Sea::with_images(&["python"])?;
    sea.write("compose.yaml", APP);
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let address = sea.http()?;
    let connect = format!("::127.0.0.1:{}", address.port());
    let callers: Vec<_> = (0..100)
        .map(|number| {
            let connect = connect.clone();
            thread::spawn(move || -> Result<String> {
                if number % 2 == 0 {
                    let answer = http::get(address, "shop.example", "/slow")?;
                    return Ok(answer.body);
                }
                let mut curl = Command::new("curl");
                curl.args(["-s", "--http2-prior-knowledge", "--max-time", "30", "--connect-to", &connect]);
                let output = curl.arg("http://shop.example/slow").output().context("curl cannot be run")?;
                Ok(String::from_utf8_lossy(&output.stdout).into_owned())
            })
        })
        .collect();
    for caller in callers {
        let body = caller.join().expect("no panic")?;
        ensure!(body == "1", "{body}");
    }
    ensure!(page(&sea, "/made/slow")?.0 == "1", "it was made more than once");
    forget(&sea)?;

    // What is stale goes out at once, and one request renews it.
    let (first, _) = page(&sea, "/news")?;
    until_ok("there is news, and nobody has waited for it", 20, || {
        let (now, told) = page(&sea, "/news")?;
        assert!(told.starts_with("sea; hit; ttl="), "{told}");
        ensure!(now != first, "{now}");
        Ok(())
    })?;

    // The program takes no connections any more.
    ensure!(page(&sea, "/old")?.0 == "1", "it is new");
    // It goes without an answer.
    let _ = sea.get("shop.example", "/die");
    until_ok("the old page is given in the place of none", 20, || {
        let (old, told) = page(&sea, "/old")?;
        ensure!(old == "1" && told.contains("detail=stale-if-error"), "{old}: {told}");
        Ok(())
    })?;
    let metrics = sea.sea(&["metrics"]).exits(0).text().to_owned();
    let counts = |result: &str| {
        let name = format!(
            "proxy_cache_requests_total{{app=\"shop\",service=\"web\",pool=\"web:8080\",result=\"{result}\"}} "
        );
        metrics.lines().find_map(|line| line.strip_prefix(&*name)?.parse::<u64>().ok()).unwrap_or_default()
    };
    ensure!(counts("joined") + counts("hit") >= 99 && counts("error") >= 1, "{metrics}");
    let explained = sea.sea(&["route", "explain", "http://shop.example/slow"]).exits(0);
    explained.mentions("an answer of 1 bytes is kept, fresh for");
    sea.sea(&["down"]).exits(0);
    sea.end()
}
