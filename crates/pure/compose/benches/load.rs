//! How long a file of 100 services takes: load, print, convert. Run with `cargo bench -p compose`.

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints what it measured")]

use base::{Clock, SystemClock};
use compose::{MemoryFiles, Request, load};

const ROUNDS: u32 = 200;

fn file() -> String {
    let mut text = String::from(
        "x-base: &base\n  restart: always\n  logging: {options: {max-size: 10m, max-file: 3}}\nservices:\n",
    );
    for i in 0..100 {
        text.push_str(&format!(
            "  service-{i}:\n    <<: *base\n    image: registry.example/team/service-{i}:${{TAG:-v1}}\n    command: serve --port 8080 --name 'service {i}'\n    environment:\n      DATABASE_URL: postgres://db-{i}/app\n      LOG_LEVEL: ${{LOG_LEVEL:-info}}\n      WORKERS: 4\n    ports: [\"{}:8080\"]\n    volumes: [\"data-{i}:/data\", \"./conf/{i}:/etc/app:ro\"]\n    networks: [front, back]\n    depends_on: [{}]\n    healthcheck: {{test: [CMD, curl, -f, http://localhost:8080/healthz], interval: 10s, retries: 3}}\n    deploy:\n      replicas: 2\n      resources: {{limits: {{cpus: \"0.5\", memory: 256M}}}}\n      update_config: {{order: start-first, parallelism: 1}}\n    labels: [team=shop, \"index={i}\"]\n",
            10_000 + i,
            if i == 0 { String::new() } else { format!("service-{}", i - 1) },
        ));
    }
    text.push_str("networks: {front: , back: {internal: true}}\nvolumes:\n");
    (0..100).for_each(|i| text.push_str(&format!("  data-{i}: {{}}\n")));
    text
}

fn measure<T>(what: &str, mut work: impl FnMut() -> T) {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = SystemClock.now();
            std::hint::black_box(work());
            SystemClock.now().since(start)
        })
        .collect();
    times.sort();
    println!("{what:<10} p50 {:?}  p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
}

fn main() {
    let text = file();
    println!("100 services, {} bytes", text.len());
    let files = MemoryFiles::default().with("/app/compose.yaml", text);
    let request = Request::new("/app");
    let project = match load(&request, &files) {
        Ok(loaded) => loaded.project,
        Err(error) => panic!("{error}"),
    };
    measure("load", || load(&request, &files));
    measure("yaml", || project.to_yaml());
    measure("json", || project.to_json());
    measure("app", || project.app());
}
