//! Apps from compose files: services that find each other, wait for each other, and answer behind the edge.

use anyhow::{Context, Result, ensure};
use e2e::{GitServer, Sea, until_ok};

/// A front that asks a store by name, with everything an app has: a route, a job, a secret, a config, networks.
const SHOP: &str = r#"
name: shop
services:
  front:
    image: busybox:1.36
    init: true
    command:
      - sh
      - -c
      - |
        mkdir -p /www/cgi-bin
        printf '#!/bin/sh\nprintf "GET / HTTP/1.0\\r\\n\\r\\n" | nc -w 5 $$1 $$2 | sed "1,/^.\$$/d"' > /bin/ask; chmod +x /bin/ask
        printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"; echo "front of $$VERSION"; ask store 9000' > /www/cgi-bin/ask
        chmod +x /www/cgi-bin/ask; echo "front of $$VERSION" > /www/index.html
        exec httpd -f -p 8080 -h /www
    environment: {VERSION: "${VERSION:-v1}"}
    networks: [outer, inner]
    depends_on: {store: {condition: service_healthy}}
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/"], interval: 1s, start_interval: 100ms, start_period: 10s}
    stop_grace_period: 2s
    deploy: {replicas: 2, update_config: {monitor: 100ms}}
    x-sea: {route: "shop.example -> 8080"}
  store:
    image: busybox:1.36
    init: true
    command: [sh, -c, "mkdir /www; cp /data/made /www/index.html; cat /run/secrets/word /etc/words >> /www/index.html; exec httpd -f -p 9000 -h /www"]
    networks: {inner: {aliases: [cellar]}}
    volumes: ["goods:/data"]
    secrets: [word]
    configs: [{source: words, target: /etc/words}]
    depends_on: {fill: {condition: service_completed_successfully}}
    healthcheck: {test: "wget -q -O /dev/null http://127.0.0.1:9000/", interval: 1s, start_interval: 100ms, start_period: 10s}
    stop_grace_period: 2s
  fill:
    image: busybox:1.36
    command: [sh, -c, "echo filled >> /data/made"]
    network_mode: none
    volumes: ["goods:/data"]
  lone:
    image: busybox:1.36
    init: true
    command: [sleep, infinity]
    networks: [outer]
    stop_grace_period: 1s
volumes: {goods: {}}
networks:
  outer: {}
  inner: {internal: true}
secrets: {word: {file: ./word}}
configs: {words: {content: "and words\n"}}
"#;

/// A request as a shell says it: the static `wget` of the image cannot look up names.
const ASK: &str = r"printf 'GET / HTTP/1.0\r\n\r\n'";

fn shop() -> Result<Sea> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("compose.yaml", SHOP);
    sea.write("word", "a secret\n");
    Ok(sea)
}

#[test]
fn an_app_answers_behind_the_edge_and_leaves_nothing_when_it_goes() -> Result<()> {
    let sea = shop()?;
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let answer = sea.get("shop.example", "/cgi-bin/ask")?;
    ensure!(
        answer.status == 200 && answer.body == "front of v1\nfilled\na secret\nand words\n",
        "{answer:?}"
    );
    ensure!(sea.get("other.example", "/")?.status == 404, "nobody has that host");
    let status = sea.json(&["status"]);
    ensure!(status["summary"]["state"] == "running" && status["summary"]["release"] == 1, "{status}");
    ensure!(status["services"][0]["ready"] == 2, "{status}");

    // The job ran once, and does not run again when nothing about it changed.
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    ensure!(
        sea.get("shop.example", "/cgi-bin/ask")?.body.matches("filled").count() == 1,
        "the job ran twice"
    );

    let exec = |service: &str, script: &str| sea.sea(&["exec", "-T", service, "sh", "-c", script]);
    exec("front", "ask cellar 9000 | head -1").exits(0).says("filled");
    exec("lone", &format!("{ASK} | nc -w 5 front 8080 | tail -1")).exits(0).says("front of v1");
    exec("lone", "nslookup store").exits(1);
    let address = exec("store", "hostname -i").exits(0).text().to_owned();
    exec("lone", &format!("nc -w 2 {address} 9000 </dev/null")).exits(1);
    exec("store", "ip route | grep -c default").says("0");
    exec("front", "cat /run/secrets/word").exits(1);

    sea.sea(&["down"]).exits(0);
    ensure!(sea.json(&["ls"]).as_array().is_some_and(Vec::is_empty), "the app is gone");
    ensure!(sea.get("shop.example", "/")?.status == 404, "nobody has that host any more");
    until_ok("networks, links and cgroups are gone", 10, || {
        let left: Vec<String> =
            sea.traces().things().into_iter().filter(|line| !line.starts_with("table ")).collect();
        let groups_above = |line: &String| !line.starts_with("cgroup ") || line.matches('/').count() > 5;
        ensure!(!left.iter().any(groups_above), "{left:?}");
        Ok(())
    })?;
    sea.sea(&["volume", "ls", "-q"]).exits(0).says("shop_goods");
    sea.end()
}

#[test]
fn a_service_is_scaled_restarted_stopped_and_started() -> Result<()> {
    let sea = shop()?;
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let running = || -> Result<Vec<String>> {
        let list = sea.json(&["ps", "front"]);
        let id = |view: &serde_json::Value| view["id"].as_str().map(str::to_owned);
        list.as_array().context("a list")?.iter().map(|view| id(view).context("an id")).collect()
    };
    for number in [4, 1, 2] {
        sea.sea(&["scale", &format!("front={number}")]).exits(0);
        ensure!(running()?.len() == number, "{number} are wanted: {:?}", running()?);
    }
    let before = running()?;
    sea.sea(&["restart", "front"]).exits(0);
    let after = running()?;
    ensure!(after.len() == 2 && before.iter().all(|id| !after.contains(id)), "{before:?} {after:?}");
    sea.sea(&["stop", "front"]).exits(0);
    ensure!(running()?.is_empty(), "stopped: {:?}", running()?);
    ensure!(matches!(sea.get("shop.example", "/")?.status, 502..=504), "nobody is there to answer");
    sea.replace_daemon()?;
    ensure!(running()?.is_empty(), "what a person stopped stays stopped");
    sea.sea(&["start", "front"]).exits(0);
    sea.answers("shop.example", "/", "front of v1")?;
    sea.end()
}

#[test]
fn who_waits_for_what_never_comes_does_not_start() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "compose.yaml",
        "name: waits\n\
         services:\n\
         \x20 sick: {image: 'busybox:1.36', init: true, command: [sleep, infinity], stop_grace_period: 1s,\n\
         \x20   healthcheck: {test: [CMD, 'false'], interval: 200ms, retries: 2}}\n\
         \x20 after: {image: 'busybox:1.36', init: true, command: [sleep, infinity], stop_grace_period: 1s,\n\
         \x20   depends_on: {sick: {condition: service_healthy}}}\n",
    );
    let done = sea.sea(&["up", "-d", "--wait"]);
    ensure!(done.code == 1 && done.stderr.contains("sick"), "{done}");
    ensure!(
        sea.json(&["ps", "--all", "after"]).as_array().is_some_and(Vec::is_empty),
        "it must not have started"
    );
    sea.end()
}

#[test]
fn a_slow_starter_has_the_time_that_its_check_gives_it() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    // Asked often from the beginning, but a failure counts only after an interval.
    sea.write(
        "compose.yaml",
        r#"
name: slow
services:
  web:
    image: busybox:1.36
    init: true
    command: [sh, -c, "sleep 1; touch /tmp/up; exec sleep 300"]
    healthcheck: {test: [CMD, test, -e, /tmp/up], interval: 4s, start_interval: 100ms, retries: 1}
    stop_grace_period: 1s
"#,
    );
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    let status = sea.json(&["status"]);
    ensure!(status["services"][0]["instances"][0]["restarts"] == 0, "{status}");
    sea.end()
}

#[test]
fn bad_health_means_a_restart_that_is_counted() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "compose.yaml",
        r#"
name: sick
services:
  web:
    image: busybox:1.36
    init: true
    command: [sh, -c, "touch /tmp/well; exec sleep 300"]
    healthcheck: {test: [CMD, test, -e, /tmp/well], interval: 200ms, retries: 2}
    stop_grace_period: 1s
    deploy: {update_config: {monitor: 100ms}}
"#,
    );
    sea.sea(&["up", "-d", "--wait"]).exits(0);
    sea.sea(&["exec", "web", "rm", "/tmp/well"]).exits(0);
    until_ok("it was started again and is well", 30, || {
        let status = sea.json(&["status"]);
        let one = &status["services"][0]["instances"][0];
        ensure!(one["restarts"] == 1 && one["state"] == "ready", "{status}");
        Ok(())
    })?;
    sea.end()
}

#[test]
fn a_port_that_another_program_has_ends_the_release_with_its_reason() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let file = |ports: &str| {
        format!(
            "name: taken\nservices:\n  web:\n    image: busybox:1.36\n    command: [httpd, -f, -p, \"8080\"]\n    \
             init: true\n    ports: [{ports}]\n    stop_grace_period: 1s\n"
        )
    };
    sea.write("compose.yaml", &file(&format!("\"127.0.0.1:{port}:8080\"")));
    let done = sea.sea(&["up", "-d"]).exits(1);
    ensure!(done.stderr.contains(&port.to_string()), "it names the port: {done}");
    // With a release to go back to, that one comes back.
    sea.write("compose.yaml", &file(""));
    sea.sea(&["up", "-d"]).exits(0);
    sea.write("compose.yaml", &file(&format!("\"127.0.0.1:{port}:8080\"")));
    let done = sea.sea(&["up", "-d"]).exits(3);
    ensure!(done.stderr.contains(&port.to_string()), "it names the port: {done}");
    sea.end()
}

#[test]
fn an_app_that_is_not_here_has_no_log_and_a_bad_file_is_no_change() -> Result<()> {
    let sea = Sea::start()?;
    sea.sea(&["-p", "nobody", "logs"]).exits(1).complains("no app `nobody`");
    sea.write("compose.yaml", "services: {web: {imag: x}}\n");
    // 2 would say that there are changes.
    sea.sea(&["plan"]).exits(1).complains("imag");
    sea.end()
}

#[test]
fn commands_run_after_the_start_and_before_the_stop() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let file = |after: &str| {
        format!(
            r#"
name: hooks
services:
  web:
    image: busybox:1.36
    init: true
    user: "1000"
    command: [sleep, "300"]
    volumes: ["./told:/told"]
    stop_grace_period: 2s
    post_start:
      - {{command: [sh, -c, "echo $$WORD $$(id -u) $$(pwd) >> /told/words; {after}"], user: root, working_dir: /tmp, environment: [WORD=after]}}
    pre_stop:
      - {{command: [sh, -c, "echo before >> /told/words"], user: root}}
      - {{command: ["no-such-program"]}}
"#
        )
    };
    sea.write("told/words", "");
    sea.write("compose.yaml", &file("true"));
    sea.sea(&["up", "-d"]).exits(0);
    let told = || std::fs::read_to_string(sea.home().join("told/words"));
    ensure!(told()? == "after 0 /tmp\n", "{}", told()?);
    // One that fails before the stop is told and stops nothing.
    sea.sea(&["stop"]).exits(0);
    ensure!(told()? == "after 0 /tmp\nbefore\n", "{}", told()?);
    // One that fails after the start fails the release.
    sea.write("compose.yaml", &file("echo no way; exit 4"));
    let done = sea.sea(&["up", "-d"]);
    ensure!(done.code == 3 && done.stderr.contains("code 4: no way"), "{done}");
    sea.end()
}

#[test]
fn a_build_gets_all_that_its_service_says() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "compose.yaml",
        r#"
name: made
services:
  made:
    image: made:v1
    build:
      context: made
      additional_contexts: {more: ./more, base: "service:base"}
      secrets: [word, {source: word, target: other}]
      extra_hosts: ["db:10.1.2.3"]
      network: none
      shm_size: 32m
      ulimits: {nofile: {soft: 1234, hard: 2345}}
    command: [cat, /said]
    restart: "no"
  base:
    image: base:v1
    build: {context: ., dockerfile_inline: "FROM busybox:1.36\nRUN echo base > /base"}
    command: [sleep, infinity]
    init: true
secrets: {word: {file: ./word}}
"#,
    );
    sea.write("word", "qzx9kv");
    sea.write("more/file", "more\n");
    sea.write(
        "made/Dockerfile",
        "FROM base\nCOPY --from=more file /\n\
         RUN --mount=type=secret,id=word --mount=type=secret,id=other [ $(cat /run/secrets/word /run/secrets/other | wc -c) = 12 ]\n\
         RUN [ $(ls /sys/class/net) = lo ] && grep -q '10.1.2.3.*db' /etc/hosts && [ $(ulimit -n) = 1234 ] \\\n\
          && df -k /dev/shm | grep -q 32768 && cat /base /file > /said\n",
    );
    let told = sea.sea(&["build"]).exits(0);
    ensure!(!told.stderr.contains("C0105"), "{told}");
    let said = sea.sea(&["run", "--rm", "made:v1", "cat", "/said"]).exits(0);
    ensure!(said.text() == "base\nmore", "{said}");
    let found = std::process::Command::new("grep").args(["-rl", "qzx9kv"]).arg(sea.root()).output()?;
    ensure!(found.stdout.is_empty(), "the secret stands in {}", String::from_utf8_lossy(&found.stdout));
    sea.end()
}

#[test]
fn files_of_an_image_are_mounted_and_kept_by_the_release() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("files/Dockerfile", "FROM busybox:1.36\nRUN mkdir -p /give && echo one > /give/file\n");
    sea.sea(&["build", "-t", "files:v1", "files"]).exits(0);
    let file = |subpath: &str| {
        sea.write(
            "compose.yaml",
            &format!(
                "name: lent\nservices:\n  a:\n    image: busybox:1.36\n    init: true\n    command: [sleep, infinity]\n    stop_grace_period: 1s\n\
                 \x20   volumes: [{{type: image, source: 'files:v1', target: /lent, image: {{subpath: {subpath}}}}}]\n"
            ),
        );
    };
    file("give");
    sea.sea(&["up", "-d"]).exits(0);
    sea.sea(&["exec", "a", "cat", "/lent/file"]).exits(0).mentions("one");
    ensure!(sea.sea(&["exec", "a", "touch", "/lent/more"]).code != 0, "it is there to read");
    // Nobody but the release knows the image any more.
    sea.sea(&["prune", "-a", "--yes"]).exits(0);
    sea.sea(&["exec", "a", "cat", "/lent/file"]).exits(0).mentions("one");
    sea.write("files/Dockerfile", "FROM busybox:1.36\nRUN mkdir -p /give && echo two > /give/file\n");
    sea.sea(&["build", "-t", "files:v1", "files"]).exits(0);
    sea.sea(&["exec", "a", "cat", "/lent/file"]).exits(0).mentions("one");
    sea.sea(&["up", "-d"]).exits(0);
    sea.sea(&["exec", "a", "cat", "/lent/file"]).exits(0).mentions("two");
    sea.sea(&["rollback"]).exits(0);
    until_ok("the files of the release before", 20, || {
        let said = sea.sea(&["exec", "a", "cat", "/lent/file"]);
        ensure!(said.text().trim() == "one", "{said}");
        Ok(())
    })?;
    sea.sea(&["down"]).exits(0);
    sea.end()
}

#[test]
fn a_service_is_built_from_a_repository() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let repository = GitServer::start()?;
    sea.write(
        "compose.yaml",
        &format!(
            "name: far\nservices:\n  a: {{image: 'far:v1', build: '{}#v1:sub', command: [cat, /text]}}\n",
            repository.url()
        ),
    );
    sea.sea(&["build"]).exits(0);
    sea.sea(&["run", "--rm", "far:v1"]).exits(0).mentions("sub of v1");
    sea.end()
}
