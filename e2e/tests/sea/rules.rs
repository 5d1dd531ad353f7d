//! What routes do with requests and answers, as the compose file says it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, image};

/// nginx that tells what it was asked.
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
      routes:
        - host: shop.example
          request_headers: {set: {X-Env: prod}, remove: [X-Debug]}
          response_headers: {set: {X-Frame-Options: DENY}, remove: [Server]}
        - {host: shop.example, path: /v1, replace_prefix: /api/v1, rewrite_host: api.internal}
        - {host: shop.example, path: /staff, basic_auth: {users: staff, realm: Staff}}
        - {host: shop.example, path: /near, allow: [192.0.2.0/24]}
        - {host: shop.example, path: /account, forward_auth: {to: "auth:4180/verify", copy: [X-User]}}
        - {host: www.shop.example, redirect: {to: "https://shop.example", status: 308}}
      edge: {compress: true, MORE}
  auth:
    image: nginx:1.22
    command: [nginx, -c, /etc/auth.conf, -g, "daemon off;"]
    configs: [{source: auth, target: /etc/auth.conf}]
    stop_grace_period: 1s
    deploy: {update_config: {monitor: 100ms}}
configs:
  auth:
    content: |
      events {}
      http {
        access_log off;
        server {
          listen 4180;
          location /verify {
            if ($$http_x_token = "of ann") { add_header X-User ann; return 204; }
            return 401 "who are you to ask for $$http_x_forwarded_uri?\n";
          }
        }
      }
  sorry: {content: "<h1>Back soon</h1>"}
  conf:
    content: |
      events {}
      http {
        access_log off;
        server {
          listen 8080;
          default_type text/plain;
          location /big { return 200 "BIG"; }
          location /boom { add_header Retry-After 7 always; return 500 "boom"; }
          location / { return 200 "$$host $$request_uri env=$$http_x_env debug=$$http_x_debug user=$$http_x_user auth=$$http_authorization\n"; }
        }
      }
secrets:
  staff: {file: ./staff}
"#;

fn write(sea: &Sea, more: &str) {
    let big = "all the same ".repeat(200);
    sea.write("compose.yaml", &APP.replace("BIG", &big).replace(", MORE", more));
}

/// Each route, by this version of HTTP.
fn tried(sea: &Sea, version: &str) -> Result<()> {
    let ask = |url: &str, arguments: &[&str]| sea.shown(url, &[&[version], arguments].concat());

    let answer = ask("http://shop.example/a", &["-H", "X-Debug: 1", "-H", "X-Env: mine"])?;
    ensure!(answer.contains("\nshop.example /a env=prod debug= user= auth=\n"), "{answer}");
    ensure!(
        answer.contains("\nx-frame-options: DENY\n") && !answer.to_lowercase().contains("\nserver:"),
        "{answer}"
    );

    let answer = ask("http://shop.example/v1/x?y", &[])?;
    ensure!(answer.contains("\napi.internal /api/v1/x?y "), "{answer}");
    ensure!(
        ask("http://shop.example/v1/%2e%2e/x", &["--path-as-is"])?.contains("dot-segments"),
        "it stays strict"
    );

    let answer = ask("http://www.shop.example/a?b", &[])?;
    ensure!(answer.contains(" 308") && answer.contains("\nlocation: https://shop.example/a?b\n"), "{answer}");

    let answer = ask("http://shop.example/staff", &["-u", "ann:wrong"])?;
    ensure!(answer.contains(" 401") && answer.contains("Basic realm=\"Staff\""), "{answer}");
    let answer = ask("http://shop.example/staff", &["-u", "ann:s3cret"])?;
    ensure!(answer.contains("\nshop.example /staff env= debug= user= auth=\n"), "{answer}");

    let answer = ask("http://shop.example/account?a", &["-H", "X-Token: of eve", "-H", "X-User: ann"])?;
    ensure!(
        answer.contains(" 401") && answer.ends_with("\nwho are you to ask for /account?a?\n"),
        "{answer}"
    );
    let answer = ask("http://shop.example/account", &["-H", "X-Token: of ann", "-H", "X-User: eve"])?;
    ensure!(answer.contains(" 200") && answer.contains(" user=ann "), "{answer}");

    let answer = ask("http://shop.example/near", &["-H", "X-Forwarded-For: 192.0.2.7, 6.6.6.6, 10.0.0.1"])?;
    ensure!(answer.contains(" 403") && answer.contains("x-sea-refused: address"), "{answer}");
    let answer = ask("http://shop.example/near", &["-H", "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.1"])?;
    ensure!(answer.contains(" 200"), "{answer}");

    let answer = ask("http://shop.example/big", &["--compressed", "-H", "Accept-Encoding: gzip"])?;
    ensure!(
        answer.contains("\ncontent-encoding: gzip\n") && answer.contains("\nvary: accept-encoding\n"),
        "{answer}"
    );
    ensure!(answer.contains(&"all the same ".repeat(200)), "it comes out as it went in");
    Ok(())
}

#[test]
fn routes_do_with_requests_what_the_file_says() -> Result<()> {
    let sea = Sea::new();
    sea.start_daemon_in(&[("SEA_TRUSTED_PROXIES", OsString::from("127.0.0.0/8,10.0.0.1"))])?;
    sea.sea(&["image", "load", "-q", "-i", &image("nginx").display().to_string()]).exits(0);
    let list = Command::new("htpasswd")
        .args(["-Bbn", "ann", "s3cret"])
        .output()
        .context("htpasswd cannot be run")?;
    sea.write("staff", &String::from_utf8(list.stdout)?);
    write(&sea, "");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        tried(&sea, version)?;
    }

    // Another wish of the service takes hold without a new instance.
    let ids = || {
        let list = sea.json(&["ps"]);
        let ids = list.as_array().into_iter().flatten().map(|view| view["id"].to_string());
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    let before = ids();
    write(&sea, ", maintenance: {retry_after: 5m}, error_pages: {'503': sorry}");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let answer = sea.shown("http://shop.example/a", &["-H", "Accept: text/html"])?;
    ensure!(answer.contains(" 503") && answer.contains("\nretry-after: 300\n"), "{answer}");
    ensure!(
        answer.ends_with("\n<h1>Back soon</h1>") && answer.contains("x-sea-refused: maintenance"),
        "{answer}"
    );
    ensure!(
        sea.shown("http://shop.example/a", &[])?.ends_with("being worked on.\n"),
        "programs get a sentence"
    );
    write(&sea, ", error_pages: {5xx: sorry}, replace_errors: true");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = sea.shown("http://shop.example/boom", &[version, "-H", "Accept: text/html"])?;
        ensure!(answer.contains(" 500") && answer.to_lowercase().contains("\nretry-after: 7\n"), "{answer}");
        ensure!(answer.ends_with("\n<h1>Back soon</h1>"), "{answer}");
        let answer = sea.shown("http://shop.example/boom", &[version])?;
        ensure!(answer.ends_with("\nboom"), "programs get what the instance says: {answer}");
    }
    sea.sea(&["metrics"]).exits(0).mentions("proxy_answers_replaced_total{app=\"shop\"");
    ensure!(before.len() == 2 && before == ids(), "{before:?}");

    write(&sea, "");
    sea.write("staff", "ann:{SHA}x");
    sea.sea(&["up", "-d", "--wait"]).exits(2).complains("`htpasswd -nB NAME` writes one");
    Ok(())
}
