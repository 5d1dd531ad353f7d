//! `sea run`, `exec` and their exit codes.

use std::io::{BufRead, BufReader};

use anyhow::{Context, Result, ensure};
use e2e::{Sea, on_terminal, until_ok};
use rustix::process::Signal;

const BUSYBOX: &str = "busybox:1.36";

#[test]
fn run_ends_with_the_code_of_what_it_ran() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let run = |arguments: &[&str]| sea.sea(&[&["run", "--rm"], arguments].concat());
    run(&[BUSYBOX, "true"]).exits(0);
    run(&[BUSYBOX, "sh", "-c", "exit 1"]).exits(1);
    run(&[BUSYBOX, "sh", "-c", "exit 42"]).exits(42);
    run(&["nobody/has:this", "true"]).exits(125).complains("nobody/has:this");
    run(&["--memory", "nonsense", BUSYBOX, "true"]).exits(125);
    run(&["--network", "missing", BUSYBOX, "true"]).exits(125).complains("missing");
    run(&[BUSYBOX, "/etc/passwd"]).exits(126).complains("/etc/passwd");
    run(&[BUSYBOX, "no-such-program"]).exits(127).complains("no-such-program");
    run(&["--init", BUSYBOX, "sh", "-c", "kill -9 $$"]).exits(137);
    run(&["--init", BUSYBOX, "sh", "-c", "kill -15 $$"]).exits(143);
    sea.sea(&["run", BUSYBOX]).exits(0);
    // What was removed left nothing, and what was not is listed.
    let left = sea.json(&["ps", "--all", "--everything"]);
    ensure!(left.as_array().map(Vec::len) == Some(1), "one container was run without --rm: {left}");
    sea.end()
}

#[test]
fn input_and_output_go_through_to_the_byte() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n * 7 % 127 + 1) as u8).collect();
    let echo = ["run", "--rm", "-i", BUSYBOX, "sh", "-c", "cat; echo done >&2"];
    let done = sea.sea_with(&echo, &bytes)?.exits(0);
    ensure!(
        done.stdout.as_bytes() == bytes && done.stderr == "done\n",
        "{} bytes came back",
        done.stdout.len()
    );
    sea.sea_with(&["run", "--rm", BUSYBOX, "cat"], b"nobody asked for it")?.exits(0).says("");
    sea.sea(&["run", "--rm", BUSYBOX, "sh", "-c", "echo out; echo err >&2"])
        .exits(0)
        .says("out")
        .complains("err");
    sea.end()
}

#[test]
fn a_terminal_is_one_inside_too() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let command = sea.command(&[
        "run",
        "--rm",
        "-it",
        BUSYBOX,
        "sh",
        "-c",
        "test -t 0 && test -t 1 && stty size; read x; echo got $x",
    ]);
    let (code, shown) = on_terminal(command, "words\r")?;
    ensure!(code == 0 && shown.contains("33 77") && shown.contains("got words"), "{code}: {shown}");
    sea.sea(&["run", "-d", "--name", "box", BUSYBOX, "sleep", "300"]).exits(0);
    let (code, shown) = on_terminal(sea.command(&["exec", "-it", "box", "sh", "-c", "tty; exit 3"]), "")?;
    ensure!(code == 3 && shown.contains("/dev/pts/"), "{code}: {shown}");
    sea.end()
}

#[test]
fn exec_runs_beside_the_program_and_tells_its_code() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.sea(&["run", "-d", "--name", "box", "-e", "FROM=run", BUSYBOX, "sleep", "300"]).exits(0);
    let exec = |arguments: &[&str]| sea.sea(&[&["exec"], arguments].concat());
    exec(&["box", "true"]).exits(0);
    exec(&["box", "sh", "-c", "exit 7"]).exits(7);
    exec(&["box", "no-such-program"]).exits(127);
    exec(&["box", "/etc/passwd"]).exits(126);
    exec(&["nobody", "true"]).exits(1).complains("nobody");
    exec(&["-e", "MORE=exec", "box", "sh", "-c", "echo $FROM $MORE"]).exits(0).says("run exec");
    exec(&["-u", "65534", "-w", "/tmp", "box", "sh", "-c", "id -u; pwd"]).exits(0).says("65534\n/tmp");
    sea.sea_with(&["exec", "-i", "box", "wc", "-c"], b"12345")?.exits(0).says("5");
    sea.sea(&["kill", "box"]).exits(0);
    until_ok("the container has ended", 10, || {
        let view = sea.inspect("box");
        ensure!(view["state"] == "exited" && view["exit"]["code"] == 137, "{view}");
        Ok(())
    })?;
    exec(&["box", "true"]).exits(1);
    sea.end()
}

#[test]
fn a_detached_container_is_listed_logged_stopped_and_removed() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let script = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.1; done";
    let id = sea.sea(&["run", "-d", "--name", "box", BUSYBOX, "sh", "-c", script]).exits(0).text().to_owned();
    ensure!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "`{id}` is an id");
    until_ok("it said hello", 10, || {
        let done = sea.sea(&["logs", "box"]);
        ensure!(done.text() == "hello", "{done}");
        Ok(())
    })?;
    sea.sea(&["run", "-d", "--name", "box", BUSYBOX, "true"]).exits(125).complains("box");
    sea.sea(&["rm", "box"]).exits(1);
    sea.sea(&["stop", "box"]).exits(0);
    sea.sea(&["logs", "box"]).exits(0).says("hello\nbye");
    sea.sea(&["start", "box"]).exits(0);
    until_ok("it said hello again", 10, || {
        let done = sea.sea(&["logs", "box"]);
        ensure!(done.text() == "hello\nbye\nhello", "{done}");
        Ok(())
    })?;
    sea.sea(&["rm", "--force", &id[..12]]).exits(0);
    sea.sea(&["inspect", "box"]).exits(1);
    ensure!(!sea.root().join("containers").join(&id).exists(), "its folder is gone");
    sea.end()
}

#[test]
fn flags_reach_the_program() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let run = |arguments: &[&str], script: &str| {
        sea.sea(&[&["run", "--rm"], arguments, &[BUSYBOX, "sh", "-c", script]].concat())
    };
    run(&["-e", "A=1", "-e", "B=two words"], "echo $A $B").exits(0).says("1 two words");
    run(&["-u", "1234:4321"], "id -u; id -g").exits(0).says("1234\n4321");
    run(&["-u", "nobody"], "id -un").exits(0).says("nobody");
    run(&["-w", "/var/new"], "pwd").exits(0).says("/var/new");
    run(&["--hostname", "ship"], "hostname").exits(0).says("ship");
    run(&["--read-only"], "echo x > /file").exits(1).complains("Read-only");
    run(&["--read-only", "--tmpfs", "/tmp"], "echo x > /tmp/file && cat /tmp/file").exits(0).says("x");
    run(
        &["--tmpfs", "/scratch:size=1m"],
        "dd if=/dev/zero of=/scratch/f bs=1k count=4096 2>&1 | tail -1; exit 0",
    )
    .exits(0);
    run(&["--ulimit", "nofile=100:200"], "ulimit -n; ulimit -Hn").exits(0).says("100\n200");
    run(&["--init"], "cat /proc/1/comm").exits(0);
    run(&["--cap-drop", "ALL"], "grep CapEff /proc/self/status | cut -f2").exits(0).says("0000000000000000");
    run(&["--network", "none"], "ls /sys/class/net").exits(0).says("lo");
    run(&[], "mount -t tmpfs none /mnt").exits(1);
    run(&[], "cat /proc/kcore | head -c 1 | wc -c").exits(0).says("0");
    run(&[], "grep Seccomp: /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2")
        .exits(0)
        .says("2\n1");
    sea.sea(&["run", "--rm", "--entrypoint", "echo", BUSYBOX, "as", "told"]).exits(0).says("as told");
    sea.end()
}

#[test]
fn a_published_port_leads_to_the_program_on_loopback() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let script = "mkdir /www; echo from inside > /www/index.html; exec httpd -f -p 8080 -h /www";
    sea.sea(&["run", "-d", "--name", "box", "-p", "127.0.0.1::8080", BUSYBOX, "sh", "-c", script]).exits(0);
    let address = until_ok("the port is published", 10, || {
        let view = sea.inspect("box");
        let text = view["ports"][0]["host"].as_str().context("no port yet")?.to_owned();
        Ok(text.parse::<std::net::SocketAddr>()?)
    })?;
    ensure!(address.ip().is_loopback() && address.port() != 0, "{address}");
    let answer = until_ok("it answers", 10, || Ok(e2e::http::get(address, "x", "/")?))?;
    ensure!(answer.body.trim() == "from inside", "{answer:?}");
    sea.sea(&["rm", "--force", "box"]).exits(0);
    until_ok("nobody listens there any more", 10, || {
        ensure!(std::net::TcpStream::connect(address).is_err(), "somebody does");
        Ok(())
    })?;
    sea.end()
}

#[test]
fn a_restart_policy_is_obeyed() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let state = |name: &str, wanted: &dyn Fn(&serde_json::Value) -> bool| {
        until_ok(format!("`{name}` is as its policy says"), 40, || {
            let view = sea.inspect(name);
            ensure!(wanted(&view), "{view}");
            Ok(())
        })
    };
    sea.sea(&["run", "-d", "--name", "three", "--restart", "on-failure:3", BUSYBOX, "sh", "-c", "exit 9"])
        .exits(0);
    sea.sea(&["run", "-d", "--name", "always", "--restart", "always", BUSYBOX, "sh", "-c", "sleep 0.2"])
        .exits(0);
    sea.sea(&["run", "-d", "--name", "never", BUSYBOX, "sh", "-c", "exit 9"]).exits(0);
    sea.sea(&["run", "-d", "--name", "well", "--restart", "on-failure", BUSYBOX, "true"]).exits(0);
    state("always", &|view| view["restarts"].as_u64() >= Some(2))?;
    state("three", &|view| view["restarts"] == 3 && view["state"] == "exited" && view["exit"]["code"] == 9)?;
    state("never", &|view| view["restarts"] == 0 && view["state"] == "exited")?;
    state("well", &|view| view["restarts"] == 0 && view["state"] == "exited")?;
    sea.sea(&["stop", "always"]).exits(0);
    state("always", &|view| view["state"] == "exited")?;
    sea.end()
}

#[test]
fn signals_to_the_command_reach_the_program() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let script = "trap 'echo asked; exit 7' TERM; echo up; while :; do sleep 0.1; done";
    let mut command = sea.command(&["run", "--rm", "--name", "box", BUSYBOX, "sh", "-c", script]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("it is a pipe")?).lines();
    ensure!(lines.next().context("it speaks")?? == "up", "it is up");
    e2e::process::signal(i32::try_from(child.id())?, Signal::TERM);
    ensure!(lines.next().context("it speaks")?? == "asked", "the signal arrived");
    ensure!(child.wait()?.code() == Some(7), "its code is ours");
    ensure!(sea.json(&["ps", "--all"]).as_array().is_some_and(Vec::is_empty), "it is gone");
    sea.end()
}

#[test]
fn a_program_run_beside_has_its_own_words_over_the_containers() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let begin = ["run", "-d", "--name", "box", "--hostname", "hull", "-e", "A=1", "-e", "B=1"];
    sea.sea(&[&begin[..], &[BUSYBOX, "sleep", "300"]].concat()).exits(0);
    let env = sea.sea(&["exec", "-e", "A=2", "-e", "NOBODY_HAS_THIS", "box", "env"]).exits(0);
    let mut lines: Vec<&str> = env.text().lines().filter(|line| !line.starts_with("PATH=")).collect();
    lines.sort_unstable();
    ensure!(lines == ["A=2", "B=1", "HOME=/root", "HOSTNAME=hull"], "{env}");
    sea.sea(&["exec", "-w", "/no/such/place", "box", "pwd"]).exits(126).complains("/no/such/place");
    sea.sea(&["exec", "box", "test", "-e", "/no"]).exits(1);
    sea.sea(&["exec", "-u", "nosuch", "box", "true"]).exits(126).complains("nosuch");
    sea.sea_with(&["exec", "-it", "box", "cat"], b"no terminal")?.exits(1).complains("not a terminal");
    sea.sea(&["exec", "-d", "box", "touch", "/made"]).exits(0);
    until_ok("the program in the background has run", 10, || {
        ensure!(sea.sea(&["exec", "box", "test", "-e", "/made"]).code == 0, "not yet");
        Ok(())
    })?;
    sea.sea(&["rm", "-f", "box"]).exits(0);
    sea.end()
}

#[test]
fn what_nobody_can_give_is_refused_before_anything_is_made() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let run = |arguments: &[&str]| sea.sea(&[&["run", "--rm"], arguments, &[BUSYBOX, "true"]].concat());
    run(&["--security-opt", "foo=bar"]).exits(125).complains("foo=bar");
    run(&["--security-opt", "apparmor=my-profile"]).exits(125).complains("my-profile");
    run(&["--security-opt", "apparmor=unconfined", "--security-opt", "label=disable"]).exits(0);
    run(&["--stop-signal", "NOSUCH"]).exits(125).complains("NOSUCH");
    run(&["--ip", "10.0.0.9"]).exits(125).complains("network");
    run(&["--mount", "type=bind,source=/no/such/place,target=/x"]).exits(125).complains("/no/such/place");
    run(&["-v", "/etc:/x", "--tmpfs", "/y/../x"]).exits(125).complains("/x");
    run(&["--network", "none", "-p", "127.0.0.1::80"]).exits(0);
    sea.sea(&["run", "--rm", BUSYBOX, ""]).exits(127);
    sea.sea(&["run", "--rm", "--no-such-flag", BUSYBOX]).exits(125).complains("--no-such-flag");
    sea.sea(&["run", "--rm", "--entrypoint", "echo", BUSYBOX, "-d", "-p", "x"]).exits(0).says("-d -p x");
    let none = sea.json(&["ps", "--all", "--everything"]);
    ensure!(none.as_array().is_some_and(Vec::is_empty), "{none}");
    sea.end()
}

#[test]
fn a_container_is_as_docker_would_have_made_it() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("vars", "# a comment\nFROM_FILE=a b\nBOTH=file\n");
    let says = |flags: &[&str], script: &str, wanted: &str| {
        let done = sea.sea(&[&["run", "--rm"], flags, &[BUSYBOX, "sh", "-c", script]].concat()).exits(0);
        assert_eq!(done.text().trim(), wanted, "{flags:?} {script}");
    };
    says(&["-u", "1000"], "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    says(
        &["--tmpfs", "/root"],
        "stat -c %a /root",
        sea.sea(&["run", "--rm", BUSYBOX, "stat", "-c", "%a", "/root"]).text(),
    );
    says(&["--tmpfs", "/new"], "stat -c %a /new", "1777");
    says(&["-v", "/etc:/a/../b"], "test -e /b/passwd && echo there", "there");
    says(&["--read-only"], "echo x >> /etc/hosts 2>/dev/null || echo sealed", "sealed");
    says(&["--pids-limit", "-1", "--cpus", "0", "--label", "bare"], "echo free", "free");
    says(&["--env-file", "vars", "-e", "BOTH=flag"], "echo $FROM_FILE, $BOTH", "a b, flag");
    says(&["--add-host", "db:10.0.0.7"], "grep -w db /etc/hosts", "10.0.0.7\tdb");
    says(&["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward", "1");
    says(&["--shm-size", "1m"], "df -k /dev/shm | awk 'NR == 2 {print $2}'", "1024");
    says(&["--device", "/dev/null:/dev/nothing:rw"], "echo x > /dev/nothing && echo written", "written");
    says(
        &["--dns", "10.0.0.53", "--network", "none"],
        "grep nameserver /etc/resolv.conf",
        "nameserver 10.0.0.53",
    );
    says(&["--mount", "type=tmpfs,target=/m,tmpfs-mode=700"], "stat -c %a /m", "700");
    // Without a shell, which ignores signals of its own.
    sea.sea(&["run", "--rm", BUSYBOX, "grep", "SigIgn", "/proc/self/status"])
        .says("SigIgn:\t0000000000000000");
    sea.sea(&["run", "-d", "--name", "first", BUSYBOX, "sleep", "300"]).exits(0);
    let own = sea.sea(&["exec", "first", "cat", "/etc/resolv.conf", "/etc/hosts"]).exits(0);
    says(&["--network", "container:first"], "cat /etc/resolv.conf /etc/hosts", own.text().trim());
    sea.sea(&["rm", "-f", "first"]).exits(0);
    sea.end()
}

#[test]
fn memory_is_shared_with_whom_it_is_meant_for() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let begin = |name: &str, ipc: &str| {
        sea.sea(&["run", "-d", "--name", name, "--ipc", ipc, BUSYBOX, "sleep", "1000"]).exits(0);
    };
    begin("giver", "shareable");
    begin("own", "private");
    sea.sea(&["exec", "-T", "giver", "sh", "-c", "echo afloat > /dev/shm/word"]).exits(0);
    let read = |ipc: &str| sea.sea(&["run", "--rm", "--ipc", ipc, BUSYBOX, "cat", "/dev/shm/word"]);
    ensure!(read("container:giver").exits(0).text() == "afloat");
    read("container:own").exits(125).complains("non-shareable IPC");
    read("private").exits(1);
    let mounts = ["run", "--rm", "--ipc", "none", BUSYBOX, "grep", "-c", " /dev/shm ", "/proc/mounts"];
    ensure!(sea.sea(&mounts).exits(1).text() == "0");
    sea.end()
}

#[test]
fn a_container_that_waits_to_be_started_again_is_listed() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.sea(&["run", "-d", "--name", "again", "--restart", "always", BUSYBOX, "false"]).exits(0);
    until_ok("it waits", 20, || {
        let list = sea.json(&["ps"]);
        ensure!(list[0]["state"] == "restarting" && list[0]["exit"]["code"] == 1, "{list}");
        Ok(())
    })?;
    sea.sea(&["stop", "-t", "1", "again"]).exits(0);
    until_ok("it does not any more", 20, || {
        ensure!(sea.inspect("again")["state"] == "exited", "{}", sea.inspect("again"));
        Ok(())
    })?;
    sea.end()
}
