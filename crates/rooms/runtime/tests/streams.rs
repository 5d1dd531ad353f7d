//! Input, output, terminals, and processes run beside the main one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, unreachable_pub)] // This is test code that the lints do not see as such.

mod rig;

use base::Problem;
use rig::{Rig, follow, process, within};
use runtime::order::{LogPolicy, Size};
use runtime::{Event, Shim};

/// Bytes straight to a shim's socket, and what comes back before it hangs up or answers.
async fn raw(rig: &Rig, bytes: &[u8]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::UnixStream::connect(rig.dir.join("shim.sock")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

async fn end(shim: &Shim) {
    shim.kill(9).await.unwrap();
    within(shim.wait()).await.unwrap();
}

#[tokio::test]
async fn hostile_frames_are_refused_and_do_no_harm() {
    let rig = Rig::new(&["sleep", "1000"]);
    let shim = within(rig.start()).await;
    for bytes in [
        &b"\xff\xff\xff\xff\x01"[..],
        b"\0\0\0\0\0",
        b"\x02\0\0\0\x09x",
        b"\x02\0\0\0\x01{",
        b"\x0c\0\0\0\x01\"no_such\"  ",
        b"\x03\0\0\0\x04ab",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let answer = raw(&rig, bytes).await;
        assert!(String::from_utf8_lossy(&answer).contains("failed"), "{bytes:?} got {answer:?}");
    }
    assert!(raw(&rig, b"\x05\0\0").await.is_empty());
    shim.state().await.unwrap();
    end(&shim).await;
}

#[tokio::test]
async fn only_the_owner_may_speak_to_a_shim() {
    use std::os::unix::fs::MetadataExt;
    let rig = Rig::new(&["sleep", "1000"]);
    let shim = within(rig.create()).await;
    assert_eq!(rig.dir.join("shim.sock").metadata().unwrap().mode() & 0o777, 0o600);
    end(&shim).await;
}

#[tokio::test]
async fn a_folder_with_a_very_long_name_works() {
    let mut rig = Rig::sh("echo hi");
    rig.dir = rig.temp.path().join("long".repeat(50)).join("name".repeat(20));
    std::fs::create_dir_all(&rig.dir).unwrap();
    let (exit, log) = within(rig.run()).await;
    assert_eq!((exit.code, &*log), (0, "hi\n"));
}

#[tokio::test]
async fn fifty_megabytes_arrive_whole_at_every_follower() {
    let mut rig = Rig::sh("read x; yes 0123456789abcdef | head -c 52428800; echo end >&2");
    rig.order.process.stdin_open = true;
    rig.order.log = LogPolicy { keep: true, max_size: base::Bytes(1 << 20), max_files: 2 };
    let shim = within(rig.start()).await;
    let (mut one, mut two) = (shim.attach().await.unwrap(), shim.attach().await.unwrap());
    one.input.write(b"go\n").await.unwrap();
    let ((exit, out, err), (_, out_two, _)) = tokio::join!(follow(&mut one), follow(&mut two));
    assert_eq!((exit.code, out.len(), &err[..]), (0, 50 << 20, &b"end\n"[..]));
    assert!(out.chunks(17).all(|line| b"0123456789abcdef\n".starts_with(line)));
    assert_eq!(out_two.len(), out.len());
    let kept: u64 = ["log", "log.1", "log.2"]
        .iter()
        .filter_map(|f| rig.dir.join(f).metadata().ok())
        .map(|m| m.len())
        .sum();
    assert!(kept <= 2 << 20, "{kept} bytes of log");
}

#[tokio::test]
async fn a_follower_that_does_not_read_makes_the_program_wait_and_not_the_shim_grow() {
    let mut rig = Rig::sh("read x; yes | head -c 8388608; touch /done; sleep 1000");
    rig.order.process.stdin_open = true;
    let shim = within(rig.start()).await;
    let mut slow = shim.attach().await.unwrap();
    slow.input.write(b"go\n").await.unwrap();
    within(slow.output.next()).await.unwrap();
    // What the pipe, the socket and the shim's buffer hold is far less than eight megabytes.
    shim.stats().await.unwrap();
    assert!(!rig.temp.path().join("upper/done").exists());
    drop(slow);
    within(async {
        while !rig.temp.path().join("upper/done").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    end(&shim).await;
}

#[tokio::test]
async fn input_reaches_the_program_and_ends() {
    let mut rig = Rig::new(&["wc", "-c"]);
    rig.order.process.stdin_open = true;
    let shim = within(rig.start()).await;
    let mut attached = shim.attach().await.unwrap();
    attached.input.write(&vec![b'x'; 1 << 20]).await.unwrap();
    attached.input.end().await.unwrap();
    let (exit, out, _) = follow(&mut attached).await;
    assert_eq!((exit.code, &out[..]), (0, &b"1048576\n"[..]));
}

#[tokio::test]
async fn a_terminal_is_one_and_has_its_size() {
    let mut rig = Rig::sh("tty; stty size; read x; stty size; test -c /dev/console && echo console");
    rig.order.process.tty = true;
    rig.order.process.stdin_open = true;
    rig.order.process.size = Size { rows: 24, columns: 80 };
    let shim = within(rig.create()).await;
    let mut attached = shim.attach().await.unwrap();
    shim.start().await.unwrap();
    rig.log_has("24 80").await;
    shim.resize(Size { rows: 40, columns: 100 }).await.unwrap();
    attached.input.write(b"on\n").await.unwrap();
    let (exit, out, _) = follow(&mut attached).await;
    let out = String::from_utf8(out).unwrap();
    assert_eq!(exit.code, 0);
    for part in ["/dev/pts/0", "24 80", "40 100", "console"] {
        assert!(out.contains(part), "{part} is missing in {out}");
    }
}

#[tokio::test]
async fn a_process_run_beside_has_its_own_streams_code_and_user() {
    let rig = Rig::sh("echo $$ main; exec sleep 1000");
    let shim = within(rig.start()).await;
    let mut order = process(&["sh", "-c", "id -u; pwd; cat; echo err >&2; exit 9"]);
    order.user = "web".into();
    order.cwd = "/tmp".into();
    order.stdin_open = true;
    let mut exec = within(shim.exec(&order)).await.unwrap();
    assert!(shim.top().await.unwrap().iter().any(|p| p.pid == exec.pid && p.uid == 100));
    exec.input.write(b"typed\n").await.unwrap();
    exec.input.end().await.unwrap();
    let (exit, out, err) = follow(&mut exec).await;
    assert_eq!((exit.code, &out[..], &err[..]), (9, &b"100\n/tmp\ntyped\n"[..], &b"err\n"[..]));
    assert!(!rig.log().contains("typed"), "the log is the main process's");
    for (command, code) in [("nothing-like-it", 127), ("/etc/group", 126)] {
        let refused = within(shim.exec(&process(&[command]))).await.unwrap_err();
        assert_eq!((refused.code(), refused.to_string().contains(command)), (code, true), "{refused}");
    }
    let mut order = process(&["sh", "-c", "grep -E 'CapEff|Seccomp:' /proc/self/status"]);
    let mut exec = within(shim.exec(&order)).await.unwrap();
    assert_eq!(follow(&mut exec).await.1, b"CapEff:\t00000000a80425fb\nSeccomp:\t2\n");
    order.capabilities.privileged = true;
    let mut exec = within(shim.exec(&order)).await.unwrap();
    assert!(follow(&mut exec).await.1.ends_with(b"Seccomp:\t0\n"));
    end(&shim).await;
}

#[tokio::test]
async fn a_process_run_beside_can_have_a_terminal_and_be_signalled() {
    let rig = Rig::new(&["sleep", "1000"]);
    let shim = within(rig.start()).await;
    let mut order =
        process(&["sh", "-c", "trap 'echo bye; exit 3' TERM; tty; stty size; while :; do sleep 0.01; done"]);
    order.tty = true;
    order.size = Size { rows: 10, columns: 20 };
    let mut exec = within(shim.exec(&order)).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("10 20") {
        match within(exec.output.next()).await.unwrap() {
            Event::Stdout(bytes) => seen.extend(bytes),
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    exec.input.kill(15).await.unwrap();
    let (exit, out, _) = follow(&mut exec).await;
    assert_eq!((exit.code, String::from_utf8_lossy(&out).contains("bye")), (3, true));
    end(&shim).await;
}

#[tokio::test]
async fn a_process_run_beside_ends_with_the_container() {
    let rig = Rig::new(&["sleep", "1000"]);
    let shim = within(rig.start()).await;
    let mut exec = within(shim.exec(&process(&["sleep", "1000"]))).await.unwrap();
    shim.kill(9).await.unwrap();
    assert_eq!(follow(&mut exec).await.0.code, 137);
    within(shim.wait()).await.unwrap();
}

#[tokio::test]
async fn use_is_measured_and_bounds_can_be_changed() {
    let mut rig = Rig::sh("yes > /dev/null & exec sleep 1000");
    rig.order.limits.memory = Some(base::Bytes(64 << 20));
    let shim = within(rig.start()).await;
    within(async {
        while shim.stats().await.unwrap().cpu_ns < 20_000_000 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let stats = shim.stats().await.unwrap();
    assert!(stats.memory > 0 && stats.memory_limit == Some(64 << 20) && stats.pids == 2, "{stats:?}");
    for size in [128u64 << 20, 32 << 20] {
        let limits =
            runtime::order::Limits { memory: Some(base::Bytes(size)), pids: Some(50), ..Default::default() };
        shim.update(&limits).await.unwrap();
        let stats = shim.stats().await.unwrap();
        assert_eq!((stats.memory_limit, stats.pids_limit), (Some(size), Some(50)));
    }
    let bad = runtime::order::Limits { cpuset: Some("nonsense".into()), ..Default::default() };
    let refused = shim.update(&bad).await;
    assert!(refused.is_ok_and(|notes| !notes.is_empty()) || shim.state().await.is_ok());
    let missing = shim.kill(99).await.unwrap_err();
    assert_eq!(missing.kind(), base::Kind::Invalid);
    end(&shim).await;
}

#[tokio::test]
async fn a_later_run_writes_behind_the_earlier_ones_log() {
    let rig = Rig::sh("echo run; printf rest");
    within(rig.run()).await;
    let (_, log) = within(rig.run()).await;
    assert_eq!(log, "run\nrestrun\nrest");
}
