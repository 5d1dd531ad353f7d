//! Create, start and end of one container, ours beside `runc run`, in turns: time and processor time.
//!
//! `cargo bench -p runtime --bench start [-- ROUNDS]`, as root, with Debian's `runc` and `busybox-static`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, unreachable_pub)] // This is test code that the lints do not see as such.

#[path = "../tests/rig/mod.rs"]
mod rig;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use base::{Clock, SystemClock};
use rig::Rig;
use runtime::Shims;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("shim") => runtime::shim_main(&PathBuf::from(&args[1])),
        Some("memory") => memory(),
        other => compare(other.and_then(|rounds| rounds.parse().ok()).unwrap_or(40)),
    }
}

/// Processor time of children that were waited for, in milliseconds.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("every process has one");
    let fields: Vec<&str> =
        stat.rsplit_once(')').expect("a name in parentheses").1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number of ticks");
    (ticks(13) + ticks(14)) * 10.0
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be made")
}

fn compare(rounds: usize) -> ExitCode {
    let runtime = runtime();
    let rig = Rig::with(Shims::of_this_program().expect("this program can be copied"), &["true"]);
    let bundle = bundle(&rig);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut our_cpu, mut their_cpu) = (0.0, 0.0);
    for round in 0..rounds + 3 {
        let (took, cpu) = measure(|| {
            let (exit, _) = runtime.block_on(rig.run());
            assert_eq!(exit.code, 0);
        });
        let (took_runc, cpu_runc) = measure(|| run_runc(&bundle));
        // The first rounds fill caches.
        if round >= 3 {
            ours.push(took);
            theirs.push(took_runc);
            our_cpu += cpu;
            their_cpu += cpu_runc;
        }
    }
    let show = |name: &str, times: &mut Vec<Duration>, cpu: f64| {
        times.sort();
        let ms = |at: usize| times[at.min(times.len() - 1)].as_secs_f64() * 1000.0;
        let (p50, p90) = (ms(times.len() / 2), ms(times.len() * 9 / 10));
        println!("{name:5} p50 {p50:6.1} ms   p90 {p90:6.1} ms   cpu {:5.1} ms", cpu / rounds as f64);
        p50
    };
    let (a, b) = (show("shim", &mut ours, our_cpu), show("runc", &mut theirs, their_cpu));
    println!("ratio {:.2}", a / b);
    ExitCode::SUCCESS
}

fn measure(work: impl FnOnce()) -> (Duration, f64) {
    let (cpu, start) = (children_cpu(), SystemClock.now());
    work();
    (SystemClock.now().since(start), children_cpu() - cpu)
}

/// The same container for runc: its own defaults, our cgroup, no terminal.
fn bundle(rig: &Rig) -> PathBuf {
    let dir = rig.temp.path().join("bundle");
    std::fs::create_dir_all(&dir).expect("the temporary folder can be written");
    rig::make_root(&dir.join("rootfs"));
    for name in ["proc", "dev", "sys"] {
        std::fs::create_dir_all(dir.join("rootfs").join(name)).expect("the temporary folder can be written");
    }
    assert!(
        Command::new("runc").arg("spec").current_dir(&dir).status().expect("runc is installed").success()
    );
    let text = std::fs::read_to_string(dir.join("config.json")).expect("runc wrote it");
    let mut spec: serde_json::Value = serde_json::from_str(&text).expect("runc writes JSON");
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = vec!["/bin/true"].into();
    spec["linux"]["cgroupsPath"] = format!("{}-runc", rig.order.cgroup).into();
    std::fs::write(dir.join("config.json"), spec.to_string()).expect("the temporary folder can be written");
    dir
}

fn run_runc(bundle: &Path) {
    let state = bundle.join("state");
    let done = Command::new("runc")
        .arg("--root")
        .arg(state)
        .args(["run", "-b"])
        .arg(bundle)
        .arg(format!("bench-{}", std::process::id()))
        .stdin(Stdio::null())
        .status();
    assert!(done.expect("runc is installed").success());
}

/// Private memory of a shim beside another, in kilobytes.
fn memory() -> ExitCode {
    runtime().block_on(async {
        let shims = Shims::of_this_program().expect("this program can be copied");
        let mut rigs = Vec::new();
        for _ in 0..2 {
            let rig = Rig::with(shims.clone(), &["sleep", "1000"]);
            rigs.push((rig.start().await, rig));
        }
        for (shim, _) in &rigs {
            let status = std::fs::read_to_string(format!("/proc/{}/status", shim.pid())).unwrap_or_default();
            let parent =
                status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap_or("self").to_owned();
            let rollup = std::fs::read_to_string(format!("/proc/{parent}/smaps_rollup")).unwrap_or_default();
            for line in rollup.lines().filter(|l| l.starts_with("Private") || l.starts_with("Rss")) {
                println!("{line}");
            }
        }
        for (shim, _) in &rigs {
            let _ = shim.kill(9).await;
            let _ = shim.wait().await;
        }
    });
    ExitCode::SUCCESS
}
