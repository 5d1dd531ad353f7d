//! Files that the edge serves itself, from a folder of the project.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, image};

const APP: &str = r#"
name: shop
services:
  web:
    image: nginx:1.22
    command: [nginx, -c, /etc/shop.conf, -g, "daemon off;"]
    configs: [{source: conf, target: /etc/shop.conf}]
    expose: ["8080"]
    stop_grace_period: 1s
    deploy: {update_config: {monitor: 100ms}}
    x-sea:
      route: shop.example
      edge:
        files:
          - {from: ./public, path: /static, missing: 404, cache: "public, max-age=60"}
          - {from: ./site, path: /}
configs:
  conf:
    content: |
      events {}
      http {
        access_log off;
        server {
          listen 8080;
          location / { return 200 "app $$request_uri\n"; }
        }
      }
"#;

#[test]
fn a_folder_of_the_project_belongs_to_its_release() -> Result<()> {
    let sea = Sea::new();
    sea.start_daemon()?;
    sea.sea(&["image", "load", "-q", "-i", &image("nginx").display().to_string()]).exits(0);
    sea.write("compose.yaml", APP);
    sea.write("public/css/a.css", "first");
    sea.write("public/.secret", "nobody's");
    sea.write("site/index.html", "<h1>Home</h1>");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let shown = |path: &str, arguments: &[&str]| sea.shown(&format!("http://shop.example{path}"), arguments);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = shown("/static/css/a.css", &[version])?;
        ensure!(answer.contains(" 200") && answer.ends_with("\n\nfirst"), "{answer}");
        ensure!(answer.contains("\ncontent-type: text/css; charset=utf-8\n"), "{answer}");
        ensure!(answer.contains("\ncache-control: public, max-age=60\n"), "{answer}");
        let etag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).context("no tag")?;
        let known = shown("/static/css/a.css", &[version, "-H", &format!("If-None-Match: {etag}")])?;
        ensure!(known.contains(" 304"), "{known}");
        let part = shown("/static/css/a.css", &[version, "-r", "1-2"])?;
        ensure!(part.contains(" 206") && part.ends_with("\n\nir"), "{part}");
        ensure!(shown("/", &[version])?.ends_with("\n\n<h1>Home</h1>"), "the site's front page");
        ensure!(shown("/cart", &[version])?.ends_with("\n\napp /cart\n"), "the app has the rest");
        ensure!(shown("/static/.secret", &[version])?.contains(" 404"), "hidden files stay at home");
    }
    sea.sea(&["route", "explain", "http://shop.example/static/css/a.css"])
        .exits(0)
        .mentions("from a file of `shop/web`");
    sea.sea(&["metrics"]).exits(0).mentions("proxy_files_served_total{app=\"shop\"");

    // Another release brings other files, and instances stay as they are.
    let ids = || {
        let list = sea.json(&["ps"]);
        list.as_array().into_iter().flatten().map(|view| view["id"].to_string()).collect::<Vec<_>>()
    };
    let before = ids();
    sea.sea(&["plan"]).exits(0);
    sea.write("public/css/a.css", "second");
    sea.sea(&["plan"]).exits(2);
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    ensure!(shown("/static/css/a.css", &[])?.ends_with("\n\nsecond"), "the new file");
    // What a kept release may need stays, and a rollback finds it.
    let pruned = sea.json(&["prune", "-y"]);
    ensure!(!pruned.to_string().contains("files "), "{pruned}");
    sea.sea(&["rollback"]).exits(0);
    ensure!(shown("/static/css/a.css", &[])?.ends_with("\n\nfirst"), "the old file is back");
    ensure!(before == ids(), "{before:?}");
    sea.replace_daemon()?;
    ensure!(shown("/static/css/a.css", &[])?.ends_with("\n\nfirst"), "it stays");

    std::os::unix::fs::symlink("/etc/passwd", sea.home().join("public/link"))?;
    sea.sea(&["up", "-d", "--wait"]).exits(2).complains("link` is a link").complains("regular files alone");
    fs::remove_dir_all(sea.home().join("public"))?;
    sea.sea(&["up", "-d", "--wait"]).exits(2).complains("counts from the project's folder");
    sea.end()
}
