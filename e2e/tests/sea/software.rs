//! Real software: Flask with Redis, PostgreSQL, nginx.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::{Sea, until_ok};
use rustix::process::Signal;

const VISITS: &str = r#"
name: visits
services:
  web:
    build: .
    image: visits/web:v1
    depends_on: {redis: {condition: service_healthy}}
    healthcheck: {test: [CMD, python3, -c, "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health')"], interval: 5s, start_interval: 500ms, start_period: 60s}
    stop_grace_period: 5s
    deploy: {replicas: 3, update_config: {parallelism: 3, monitor: 100ms}}
    x-sea: {route: "visits.example -> 8000"}
  redis:
    image: redis:7
    volumes: ["kept:/data"]
    healthcheck: {test: [CMD, redis-cli, ping], interval: 5s, start_interval: 200ms, start_period: 30s}
    stop_grace_period: 5s
volumes: {kept: {}}
"#;

const VISITS_APP: &str = r#"
import os, redis
from flask import Flask
app = Flask(__name__)
store = redis.Redis(host="redis")

@app.route("/")
def visit():
    return f"{store.incr('visits')} {os.uname().nodename}\n"

@app.route("/health")
def health():
    store.ping()
    return "ok"
"#;

#[test]
fn flask_with_redis_counts_every_visit_on_three_replicas() -> Result<()> {
    let sea = Sea::with_images(&["python", "redis"])?;
    sea.write("compose.yaml", VISITS);
    sea.write("app.py", VISITS_APP);
    sea.write(
        "Dockerfile",
        "FROM python:3.11-slim\nWORKDIR /app\nCOPY app.py .\nEXPOSE 8000\n\
         CMD [\"gunicorn\", \"--workers=1\", \"--threads=4\", \"--bind=0.0.0.0:8000\", \"app:app\"]\n",
    );
    sea.sea(&["up", "-d", "--wait", "--build"]).exits(0);
    let mut hosts = BTreeSet::new();
    let mut visit = |number: u32| -> Result<()> {
        let answer = sea.get("visits.example", "/")?;
        let words: Vec<&str> = answer.body.split_whitespace().collect();
        ensure!(answer.status == 200 && words.len() == 2, "{answer:?}");
        ensure!(words[0].parse::<u32>()? == number, "visit {number}: {answer:?}");
        hosts.insert(words[1].to_owned());
        Ok(())
    };
    (1..=30).try_for_each(&mut visit)?;
    // The count goes on through the death of the daemon and a new release of the front.
    sea.replace_daemon()?;
    (31..=40).try_for_each(&mut visit)?;
    sea.sea(&["restart", "web"]).exits(0);
    (41..=50).try_for_each(&mut visit)?;
    ensure!(hosts.len() == 6, "three replicas before and three after: {hosts:?}");
    sea.end()
}

const DATABASE: &str = r#"
name: database
services:
  db:
    image: postgres:15
    environment: {POSTGRES_PASSWORD: "secret", POSTGRES_DB: shop}
    volumes: ["rows:/var/lib/postgresql/data"]
    shm_size: 128m
    healthcheck: {test: [CMD-SHELL, "pg_isready -U postgres -d shop -h 127.0.0.1"], interval: 5s, start_interval: 300ms, start_period: 120s}
    stop_grace_period: 20s
    ports: ["127.0.0.1:0:5432"]
volumes: {rows: {}}
"#;

#[test]
fn rows_of_postgresql_survive_down_up_and_the_death_of_the_daemon() -> Result<()> {
    let sea = Sea::with_images(&["postgres"])?;
    sea.write("compose.yaml", &DATABASE.replace("    ports: [\"127.0.0.1:0:5432\"]\n", ""));
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let ask = |query: &str| {
        let command = ["exec", "-T", "db", "psql", "-U", "postgres", "-d", "shop", "-At", "-c", query];
        sea.sea(&command)
    };
    ask("create table rows (n int primary key); insert into rows select generate_series(1, 1000)").exits(0);
    let sum = "select count(*), sum(n) from rows";
    ask(sum).exits(0).says("1000|500500");
    sea.sea(&["down"]).exits(0);
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    ask(sum).exits(0).says("1000|500500");
    let process = sea.json(&["ps"])[0]["pid"].clone();
    sea.replace_daemon()?;
    ensure!(sea.json(&["ps"])[0]["pid"] == process, "it did not stop for the new daemon");
    ask("insert into rows values (1001)").exits(0);
    ask(sum).exits(0).says("1001|501501");
    // A deploy of a single writer: the old one stops before the new one starts, and no row is lost.
    sea.sea(&["restart", "db"]).exits(0);
    ask(sum).exits(0).says("1001|501501");
    sea.sea(&["logs", "db"]).exits(0).mentions("database system is ready to accept connections");
    sea.end()
}

const PAGES: &str = r#"
name: pages
services:
  nginx:
    image: nginx:1.22
    volumes: ["./site.conf:/etc/nginx/conf.d/site.conf:ro", "./pages:/pages:ro", "./empty:/etc/nginx/sites-enabled:ro"]
    healthcheck: {test: [CMD, bash, -c, "exec 3<>/dev/tcp/127.0.0.1/80"], interval: 5s, start_interval: 200ms, start_period: 20s}
    stop_grace_period: 5s
    x-sea: {route: "pages.example -> 80"}
"#;

#[test]
fn nginx_serves_by_a_configuration_of_the_host() -> Result<()> {
    let sea = Sea::with_images(&["nginx"])?;
    sea.write("compose.yaml", PAGES);
    sea.write("pages/index.html", "a page of the host\n");
    sea.write("empty/.keep", "");
    sea.write("site.conf", "server { listen 80 default_server; root /pages; add_header X-Site one; }\n");
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let answer = sea.answers("pages.example", "/", "a page of the host")?;
    ensure!(answer.header("x-site") == Some("one"), "{answer:?}");
    sea.write("site.conf", "server { listen 80 default_server; root /pages; add_header X-Site two; }\n");
    sea.sea(&["exec", "-T", "nginx", "nginx", "-s", "reload"]).exits(0);
    until_ok("the configuration was read again", 10, || {
        let answer = sea.get("pages.example", "/")?;
        ensure!(answer.header("x-site") == Some("two"), "{answer:?}");
        Ok(())
    })?;
    sea.sea(&["logs", "nginx"]).exits(0).mentions("GET / HTTP/1.1");
    sea.end_daemon(Signal::KILL)?;
    sea.start_daemon()?;
    sea.answers("pages.example", "/", "a page of the host")?;
    sea.end()
}
