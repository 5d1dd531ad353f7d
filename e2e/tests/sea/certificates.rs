//! Certificates by an authority, which looks at the edge as a real one does.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Sea, image, until_ok};
use testkit::{Authority, Manners};

const APP: &str = r#"
name: shop
services:
  web:
    image: nginx:1.22
    expose: ["80"]
    stop_grace_period: 1s
    deploy: {update_config: {monitor: 100ms}}
    x-sea:
      routes:
        - {host: shop.example, https: only}
        - {host: www.shop.example}
      certificate: acme
"#;

/// What `curl` says, with the authority's root as the only one that it trusts.
fn curl(sea: &Sea, authority: &Authority, url: &str, arguments: &[&str]) -> Result<String> {
    let root = sea.home().join("root.pem");
    std::fs::write(&root, authority.root())?;
    let mut command = Command::new("curl");
    command.args(["-s", "-S", "-i", "--max-time", "10", "--cacert"]).arg(root).args(arguments).arg(url);
    let output = command.output().context("curl cannot be run")?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).replace('\r', ""))
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[test]
fn a_host_is_served_at_once_and_with_a_certificate_of_the_authority_soon() -> Result<()> {
    let sea = Sea::new();
    let https = free()?;
    let authority = Authority::start(Manners { https: Some(https), ..Manners::default() });
    let surroundings = || {
        let words = [("SEA_HTTPS", https.to_string()), ("SEA_ACME_DIRECTORY", authority.directory())];
        let words = words.into_iter().chain([("SEA_ACME_AGREE", "true".to_owned())]);
        words.map(|(name, value)| (name, OsString::from(value))).collect::<Vec<_>>()
    };
    sea.start_daemon_in(&surroundings())?;
    sea.sea(&["image", "load", "-q", "-i", &image("nginx").display().to_string()]).exits(0);
    let (http, to_https) = (sea.http()?, format!("::{https}"));
    // Who looks at port 80 finds the edge only after the first try, which is not made again at once.
    authority.behave(|manners| manners.http = Some(http));
    sea.write("compose.yaml", APP);
    sea.sea(&["up", "-d"]).exits(0);
    let asked = |arguments: &[&str]| {
        let arguments = [&["--connect-to", &to_https], arguments].concat();
        curl(&sea, &authority, "https://shop.example/", &arguments)
    };
    ensure!(asked(&["-k"])?.starts_with("HTTP/2 200"), "it is served before");
    until_ok("the certificate is there", 20, || {
        let answer = asked(&[])?;
        ensure!(answer.starts_with("HTTP/2 200"), "{answer}\n{:?}", authority.journal());
        Ok(())
    })?;
    ensure!(authority.complaints().is_empty(), "{:?}", authority.complaints());
    let issued = "issued shop.example www.shop.example".to_owned();
    ensure!(authority.journal().contains(&issued), "{:?}", authority.journal());
    sea.sea(&["routes"])
        .exits(0)
        .text()
        .contains("only, acme until 20")
        .then_some(())
        .context("the certificate is not told")?;
    let route = sea.json(&["routes"])["routes"][0].clone();
    ensure!(route["certificate"]["until"].is_i64(), "{route}");

    sea.end_daemon(rustix::process::Signal::KILL)?;
    ensure!(asked(&[])?.starts_with("HTTP/2 200"), "the edge goes on without the daemon");
    sea.start_daemon_in(&surroundings())?;
    sea.sea(&["up", "-d"]).exits(0);
    ensure!(asked(&[])?.starts_with("HTTP/2 200"));
    let orders = authority.journal().iter().filter(|line| line.starts_with("order")).count();
    ensure!(orders == 1, "nothing is ordered again: {:?}", authority.journal());
    Ok(())
}

#[test]
fn an_order_that_came_to_nothing_is_made_again_at_once_when_somebody_says_so() -> Result<()> {
    let sea = Sea::new();
    let https = free()?;
    let authority = Authority::start(Manners { ways: vec!["http-01"], ..Manners::default() });
    let words = [("SEA_HTTPS", https.to_string()), ("SEA_ACME_DIRECTORY", authority.directory())];
    let words = words.into_iter().chain([("SEA_ACME_AGREE", "true".to_owned())]);
    let surroundings: Vec<_> = words.map(|(name, value)| (name, OsString::from(value))).collect();
    sea.start_daemon_in(&surroundings)?;
    sea.sea(&["certificate", "retry"]).exits(0).mentions("nothing: no order for a certificate has failed");
    sea.sea(&["certificate", "retry", "shop.example"])
        .exits(1)
        .complains("no certificate by an authority is wanted for `shop.example`");
    sea.sea(&["image", "load", "-q", "-i", &image("nginx").display().to_string()]).exits(0);
    sea.write("compose.yaml", APP);
    sea.sea(&["up", "-d"]).exits(0);
    let certificate = || sea.json(&["routes"])["routes"][0]["certificate"].clone();
    until_ok("the order has failed", 20, || {
        ensure!(certificate()["failed"].is_string(), "{}", certificate());
        Ok(())
    })?;
    sea.sea(&["routes"]).exits(0).mentions("`sea certificate retry` does it at once");
    let http = sea.http()?;
    authority.behave(|manners| manners.http = Some(http));
    sea.sea(&["certificate", "retry", "WWW.shop.example"])
        .exits(0)
        .mentions("ordering again for `shop.example, www.shop.example`");
    until_ok("the certificate is there", 20, || {
        ensure!(certificate()["until"].is_i64(), "{}", certificate());
        Ok(())
    })?;
    sea.sea(&["certificate", "retry", "shop.example"]).exits(1).complains("is good until");
    sea.end()
}

#[test]
fn an_authority_that_cannot_be_asked_is_told_before_anything_is_begun() -> Result<()> {
    let sea = Sea::new();
    let refused = sea.command(&["daemon", "--acme-directory", "http://acme.example/"]).output()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(said.contains("`http://acme.example/` is no directory of an authority"), "{said}");
    ensure!(!sea.root().join("edge").exists(), "the edge was begun");
    Ok(())
}
