//! A container's life: made, started, signalled, ended, lost and found.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, unreachable_pub)] // This is test code that the lints do not see as such.

mod rig;

use base::Problem;
use rig::{Rig, follow, process, within};
use runtime::{CallError, CreateError, Found, Phase, WaitError};

#[tokio::test]
async fn exit_codes_are_the_programs_own() {
    for (script, code, signal) in [
        ("exit 0", 0, None),
        ("exit 7", 7, None),
        ("kill -9 $$; sleep 9", 137, Some(9)),
        ("kill -s TERM $$; exit 3", 3, None),
    ] {
        let mut rig = Rig::sh(script);
        // Process 1 does not hear its own signals; below an init it does.
        rig.order.init = signal.is_some();
        let (exit, _) = within(rig.run()).await;
        assert_eq!(exit.code, code, "{script}");
        assert!(rig.cgroups().is_empty(), "{script}: its cgroups stayed");
    }
}

#[tokio::test]
async fn a_signal_from_outside_ends_it_with_128_and_its_number() {
    let rig = Rig::new(&["sleep", "1000"]);
    let shim = rig.start().await;
    shim.kill(9).await.unwrap();
    let exit = within(shim.wait()).await.unwrap();
    assert_eq!((exit.code, exit.signal, exit.oom), (137, Some(9), false));
    let again = shim.kill(15).await;
    assert!(matches!(again, Err(CallError::Over { .. })), "{again:?}");
}

#[tokio::test]
async fn init_hands_signals_on_and_reaps() {
    let mut rig =
        Rig::sh("trap 'echo got it; exit 5' TERM; (sleep 0.01 &); echo ready; while :; do sleep 0.05; done");
    rig.order.init = true;
    let shim = rig.start().await;
    rig.log_has("ready").await;
    let names: Vec<String> = shim.top().await.unwrap().into_iter().map(|p| p.command).collect();
    assert!(names.iter().any(|name| name == "sea-init"), "{names:?}");
    shim.kill(15).await.unwrap();
    let exit = within(shim.wait()).await.unwrap();
    assert_eq!((exit.code, rig.log().contains("got it")), (5, true));
}

#[tokio::test]
async fn init_hears_of_a_program_that_ends_at_once() {
    // One after another, and several at a time so that each waits for its turn anywhere.
    let rounds = (0..4).map(|_| {
        tokio::spawn(async {
            for _ in 0..25 {
                let mut rig = Rig::new(&["true"]);
                rig.order.init = true;
                assert_eq!(within(rig.run()).await.0.code, 0);
            }
        })
    });
    for round in rounds.collect::<Vec<_>>() {
        round.await.unwrap();
    }
}

#[tokio::test]
async fn programs_that_cannot_be_run_give_127_and_126_with_their_name() {
    for (command, code, words) in [
        ("no-such-thing", 127, "no such program in PATH"),
        ("/no/such/thing", 127, "no such file"),
        ("/etc/passwd", 126, "permission"),
        ("/etc", 126, "folder"),
    ] {
        let rig = Rig::new(&[command]);
        let shim = rig.create().await;
        let refused = within(shim.start()).await.unwrap_err();
        let text = base::Report::of(&refused).to_string();
        assert_eq!(refused.code(), code, "{text}");
        assert!(text.contains(command) && text.contains(words), "{text}");
        let exit = within(shim.wait()).await.unwrap();
        assert_eq!(exit.code, code);
        assert!(rig.cgroups().is_empty());
    }
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_and_leaves_nothing() {
    let mut rig = Rig::new(&["true"]);
    rig.order.process.user = "nobody-here".into();
    let Err(CreateError::Failed(failure)) = within(rig.shims.create(&rig.dir, &rig.order)).await else {
        panic!("it should have been refused")
    };
    assert!(failure.message.contains("nobody-here") && failure.hint.is_some(), "{failure:?}");
    assert!(rig.cgroups().is_empty());
    assert!(matches!(within(rig.shims.find(&rig.dir)).await, Ok(Found::Lost)));
}

#[tokio::test]
async fn it_is_created_then_running_then_exited() {
    let rig = Rig::new(&["sleep", "1000"]);
    let shim = rig.create().await;
    assert_eq!(shim.state().await.unwrap().phase, Phase::Created);
    assert!(std::path::Path::new(&format!("/proc/{}/ns/net", shim.pid())).exists());
    shim.start().await.unwrap();
    assert_eq!(shim.state().await.unwrap().phase, Phase::Running);
    let twice = shim.start().await.unwrap_err();
    assert_eq!(twice.kind(), base::Kind::Conflict);
    let busy = rig.shims.create(&rig.dir, &rig.order).await;
    assert!(matches!(busy, Err(CreateError::Busy { .. })), "{busy:?}");
    shim.kill(9).await.unwrap();
    within(shim.wait()).await.unwrap();
    assert!(matches!(within(rig.shims.find(&rig.dir)).await, Ok(Found::Exited(exit)) if exit.code == 137));
}

#[tokio::test]
async fn a_running_container_is_found_again() {
    let rig = Rig::sh("echo hello; exec sleep 1000");
    let pid = rig.start().await.pid();
    let Found::Running(shim) = within(rig.shims.find(&rig.dir)).await.unwrap() else { panic!("it runs") };
    assert_eq!(shim.pid(), pid);
    let mut exec = within(shim.exec(&process(&["echo", "inside"]))).await.unwrap();
    assert_eq!(follow(&mut exec).await.1, b"inside\n");
    shim.kill(9).await.unwrap();
    assert_eq!(within(shim.wait()).await.unwrap().code, 137);
}

#[tokio::test]
async fn a_killed_shim_is_lost_and_what_it_left_is_cleared() {
    let rig = Rig::new(&["sleep", "1000"]);
    let shim = rig.start().await;
    let parent = std::fs::read_to_string(format!("/proc/{}/status", shim.pid())).unwrap();
    let parent = parent.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().parse().unwrap();
    let parent = rustix::process::Pid::from_raw(parent).unwrap();
    rustix::process::kill_process(parent, rustix::process::Signal::KILL).unwrap();
    assert!(matches!(within(shim.wait()).await, Err(WaitError::Lost { .. })));
    assert!(matches!(within(rig.shims.find(&rig.dir)).await, Ok(Found::Lost)));
    assert!(!rig.cgroups().is_empty(), "the container lives on without its shim");
    within(rig.shims.reap_lost(&rig.dir, &rig.order)).await.unwrap();
    assert!(rig.cgroups().is_empty());
    within(rig.shims.reap_lost(&rig.dir, &rig.order)).await.unwrap();
}

#[tokio::test]
async fn paused_processes_stand_still_until_they_are_let_go() {
    let rig = Rig::sh("i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done");
    let shim = rig.start().await;
    rig.log_has("3\n").await;
    shim.pause().await.unwrap();
    assert!(shim.state().await.unwrap().paused);
    assert!(shim.pause().await.is_err() && shim.exec(&process(&["true"])).await.is_err());
    let frozen = std::fs::read_to_string(
        rig.cgroups().iter().map(|dir| dir.join("cgroup.events")).find(|f| f.exists()).unwrap(),
    );
    assert!(frozen.unwrap().contains("frozen 1"));
    shim.resume().await.unwrap();
    let lines = rig.log().lines().count();
    within(async {
        while rig.log().lines().count() <= lines + 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    shim.pause().await.unwrap();
    shim.kill(9).await.unwrap();
    assert_eq!(within(shim.wait()).await.unwrap().code, 137, "a paused container can be killed");
}

#[tokio::test]
async fn a_container_in_the_hosts_process_namespace_takes_its_children_along() {
    let mut rig = Rig::sh("sleep 1000 & sleep 1000 & echo ready; read x");
    rig.order.namespaces.pid = runtime::order::Namespace::Host;
    rig.order.process.stdin_open = true;
    let shim = rig.start().await;
    rig.log_has("ready").await;
    shim.close_stdin().await.unwrap();
    assert_eq!(within(shim.wait()).await.unwrap().code, 1);
    assert!(rig.cgroups().is_empty());
}

#[tokio::test]
async fn a_container_outlives_whoever_started_it() {
    let rig = Rig::sh("echo up; read x; echo done");
    let mut order = rig.order.clone();
    order.process.stdin_open = true;
    std::fs::write(rig.dir.join("order.json"), serde_json::to_vec(&order).unwrap()).unwrap();
    let creator =
        std::process::Command::new(rig::shim_program()).arg("creator").arg(&rig.dir).status().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&creator),
        Some(6),
        "it should have died at once"
    );
    let Found::Running(shim) = within(rig.shims.find(&rig.dir)).await.unwrap() else { panic!("it runs on") };
    rig.log_has("up").await;
    shim.close_stdin().await.unwrap();
    assert_eq!(within(shim.wait()).await.unwrap().code, 0);
    assert_eq!(rig.log(), "up\ndone\n");
}

#[tokio::test]
async fn a_created_container_that_nobody_wants_ends_itself() {
    let rig = Rig::new(&["sleep", "1000"]);
    let pid = within(rig.create()).await.pid();
    // Its creator has forgotten it. A daemon that comes back finds it, and may then forget it again.
    let Found::Running(shim) = within(rig.shims.find(&rig.dir)).await.unwrap() else { panic!("not yet") };
    assert_eq!((shim.pid(), shim.state().await.unwrap().phase), (pid, Phase::Created));
    let exit = within(shim.wait()).await.unwrap();
    assert_eq!((exit.code, rig.cgroups().len()), (137, 0));
}
