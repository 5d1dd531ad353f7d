//! Releases: planned, made, refused, rolled back.

use anyhow::{Context, Result, ensure};
use e2e::Sea;

const APP: &str = r#"
name: app
services:
  web:
    image: busybox:1.36
    init: true
    command: [sh, -c, "mkdir /www; echo release $$VERSION > /www/index.html; exec httpd -f -p 8080 -h /www"]
    environment: {VERSION: "${VERSION:-v1}"}
    depends_on: {migrate: {condition: service_completed_successfully}}
    healthcheck: {test: [CMD, sh, -c, "${CHECK:-true} && wget -q -O /dev/null http://127.0.0.1:8080/"], interval: 300ms, start_interval: 100ms, start_period: 1s, retries: 2}
    stop_grace_period: 2s
    deploy: {replicas: 2, update_config: {monitor: 100ms, failure_action: rollback}}
    x-sea: {route: "app.example -> 8080"}
  migrate:
    image: busybox:1.36
    command: [sh, -c, "echo migrated for $$VERSION >> /data/log; exit $$MIGRATION"]
    environment: {VERSION: "${VERSION:-v1}", MIGRATION: "${MIGRATION:-0}"}
    volumes: ["data:/data"]
volumes: {data: {}}
"#;

struct App(Sea);

impl App {
    fn up(&self, environment: &[(&str, &str)]) -> Result<e2e::Done> {
        self.with(&["up", "-d", "--wait"], environment)
    }

    fn with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<e2e::Done> {
        let mut command = self.0.command(arguments);
        let output = command.envs(environment.iter().copied()).output()?;
        Ok(e2e::Done::new(format!("{environment:?} sea {}", arguments.join(" ")), &output))
    }

    fn serves(&self, version: &str) -> Result<()> {
        for _ in 0..6 {
            let answer = self.0.get("app.example", "/")?;
            ensure!(answer.status == 200 && answer.body == format!("release {version}\n"), "{answer:?}");
        }
        Ok(())
    }
}

#[test]
fn a_plan_says_whether_there_is_anything_to_do() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("compose.yaml", APP);
    sea.sea(&["plan"]).exits(2).mentions("+ create  web");
    sea.sea(&["up", "-d", "--wait", "--dry-run"]).exits(0).mentions("+ create  web");
    ensure!(sea.json(&["ls"]).as_array().is_some_and(Vec::is_empty), "a plan changes nothing");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    sea.sea(&["plan"]).exits(0).mentions("nothing to do");
    let app = App(sea);
    app.with(&["plan"], &[("VERSION", "v2")])?.exits(2).mentions("~ replace web").mentions("environment");
    app.serves("v1")?;
    app.0.write("compose.yaml", "name: app\nservices:\n  web: {image: 'busybox:1.36', comand: x}\n");
    app.0.sea(&["plan"]).exits(1).complains("comand").complains("command");
    app.0.sea(&["-p", "app", "down"]).exits(0);
    app.0.end()
}

#[test]
fn a_release_that_fails_leaves_the_one_before_in_service() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("compose.yaml", APP);
    let app = App(sea);
    app.up(&[])?.exits(0);
    app.serves("v1")?;

    // The migration fails: no instance of the new release is ever made.
    let done = app.up(&[("VERSION", "v2"), ("MIGRATION", "1")])?.exits(3);
    ensure!(done.stderr.contains("migrate"), "it says what failed: {done}");
    app.serves("v1")?;
    let events = app.0.sea(&["events"]).exits(0);
    ensure!(
        !events.stdout.contains("web of release 2"),
        "no instance may start after a failed migration: {events}"
    );

    // It never becomes healthy.
    app.up(&[("VERSION", "v3"), ("CHECK", "false")])?.exits(3).complains("web");
    app.serves("v1")?;

    app.up(&[("VERSION", "v4")])?.exits(0);
    app.serves("v4")?;
    app.0.sea(&["rollback"]).exits(0);
    app.serves("v1")?;
    let releases = app.0.json(&["releases"]);
    let four = releases.as_array().context("a list")?.iter().find(|release| release["number"] == 4);
    app.0.sea(&["rollback", "4"]).exits(0);
    ensure!(four.is_some(), "it is kept: {releases}");
    app.serves("v4")?;
    app.0.sea(&["rollback", "99"]).exits(1).complains("99");
    let log =
        app.0.sea(&["run", "--rm", "-v", "app_data:/data", "busybox:1.36", "cat", "/data/log"]).exits(0);
    ensure!(log.text().lines().next() == Some("migrated for v1"), "{log}");
    app.0.end()
}

#[test]
fn an_unhealthy_instance_is_started_again() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("compose.yaml", APP);
    let app = App(sea);
    app.up(&[])?.exits(0);
    let before = app.0.json(&["ps", "web"])[0].clone();
    let name = before["name"].as_str().context("a name")?;
    // Its pages are gone; its processes live on.
    app.0.sea(&["exec", "-T", name, "sh", "-c", "rm -r /www"]).exits(0);
    e2e::until_ok("two healthy instances are there again", 30, || {
        let list = app.0.json(&["ps", "web"]);
        let well = list
            .as_array()
            .context("a list")?
            .iter()
            .all(|view| view["health"]["status"] == "healthy" && view["pid"] != before["pid"]);
        ensure!(well && list.as_array().map(Vec::len) == Some(2), "{list}");
        Ok(())
    })?;
    app.serves("v1")?;
    app.0.end()
}
