//! Builds by the real program: what commands are lent and bound to, where files come from, and where they go.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{GitServer, RegistryServer, Sea};

/// The arguments of a build in the folder `app`.
fn build<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["build", "-t", "app:v1"], more, &["app"]].concat()
}

#[test]
fn secrets_and_agents_reach_commands_and_stay_nowhere() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "app/Dockerfile",
        "FROM busybox:1.36\n\
         RUN --mount=type=secret,id=token cat /run/secrets/token > /copied && wc -c < /copied && rm /copied\n\
         RUN --mount=type=secret,id=name,env=NAME [ ${#NAME} = 6 ]\n\
         RUN --mount=type=ssh [ -S \"$SSH_AUTH_SOCK\" ]\n\
         RUN ls /run/secrets /run/buildkit 2>&1 || true\n",
    );
    let token = sea.write("token", "t0ps3cr3t");
    let socket = sea.home().join("agent.sock");
    let _agent = UnixListener::bind(&socket)?;
    let (token, agent) =
        (format!("id=token,src={}", token.display()), format!("default={}", socket.display()));
    let flags = ["--secret", &token, "--secret", "id=name,env=SHIP", "--ssh", &agent, "--progress=plain"];
    let mut command = sea.command(&build(&flags));
    let out = command.env("SHIP", "anchor").output()?;
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(out.status.success(), "{told}");
    ensure!(told.contains(" 9\n"), "the secret has nine bytes: {told}");
    ensure!(told.contains("/run/secrets: No such file"), "nothing is left of it: {told}");
    let found = Command::new("grep").args(["-rl", "t0ps3cr3t"]).arg(sea.root()).output()?;
    ensure!(found.stdout.is_empty(), "it stands in {}", String::from_utf8_lossy(&found.stdout));
    let history = sea.sea(&["image", "history", "app:v1"]).exits(0);
    ensure!(!history.text().contains("anchor"), "{history}");
    sea.write("app/Dockerfile", "FROM busybox:1.36\nRUN --mount=type=secret,id=none,required true\n");
    sea.sea(&build(&[])).exits(1).complains("no secret `none`");
    sea.end()
}

#[test]
fn files_come_out_as_folders_and_archives() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "app/Dockerfile",
        "FROM busybox:1.36 AS make\nRUN mkdir /out && echo made > /out/file && ln -s file /out/link && chmod 640 /out/file\n\
         FROM scratch\nCOPY --from=make /out /\n",
    );
    let home = sea.home();
    let path = |name: &str| home.join(name).display().to_string();
    sea.sea(&["build", "-o", &path("plain"), "app"]).exits(0);
    ensure!(std::fs::read_to_string(home.join("plain/link"))? == "made\n");
    let tar = format!("type=tar,dest={}", path("files.tar"));
    let oci = format!("type=oci,dest={}", path("image.tar"));
    let (id, meta) = (path("id"), path("meta.json"));
    sea.sea(&build(&["-o", &tar, "-o", &oci, "--iidfile", &id, "--metadata-file", &meta])).exits(0);
    let listed = Command::new("tar").args(["-tvf", &path("files.tar")]).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    ensure!(listed.contains("-rw-r-----") && listed.contains("link -> file"), "{listed}");
    let id = std::fs::read_to_string(id)?;
    ensure!(sea.json(&["image", "inspect", "app:v1"])[0]["id"] == id.as_str(), "{id}");
    let meta: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(meta)?)?;
    ensure!(meta["containerimage.config.digest"] == id.as_str() && meta["image.name"] == "app:v1", "{meta}");
    sea.sea(&["image", "rm", "app:v1"]).exits(0);
    sea.sea(&["image", "load", "-i", &path("image.tar")]).exits(0).mentions("app:v1");
    // To standard output, with nothing else in it.
    let out = sea.command(&["build", "-q", "-o", "-", "app"]).output()?;
    let mut list = Command::new("tar")
        .args(["-tf", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    list.stdin.take().context("it has one")?.write_all(&out.stdout)?;
    let names = String::from_utf8(list.wait_with_output()?.stdout)?;
    ensure!(names == "file\nlink\n", "{names}");
    sea.end()
}

#[test]
fn the_dockerfile_and_the_context_come_from_where_they_are_said_to() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write("app/own", "own");
    sea.write("other/Dockerfile.x", "FROM busybox:1.36\nCOPY own /\nRUN [ ! -e /left ] && cat /own\n");
    sea.write("other/Dockerfile.x.dockerignore", "left\n");
    sea.write("app/left", "");
    sea.sea(&["build", "-f", "other/Dockerfile.x", "app"]).exits(0);
    sea.sea_with(&["build", "-f", "-", "app"], b"FROM busybox:1.36\nCOPY own /\n")?.exits(0);
    sea.sea_with(&["build", "-"], b"FROM busybox:1.36\nRUN true\n")?.exits(0);
    sea.sea_with(&["build", "-"], b"FROM busybox:1.36\nCOPY own /\n")?
        .exits(1)
        .complains("`own` is not in the context");
    sea.write("app/sub/Dockerfile", "FROM busybox:1.36\nCOPY own more /\nCOPY --from=more file /\n");
    sea.write("app/more", "");
    sea.write("more/file", "");
    let tar = Command::new("tar").args(["-czf", "-", "-C"]).arg(sea.home().join("app")).arg(".").output()?;
    let named = ["build", "--build-context", "more=more", "-f", "sub/Dockerfile", "-"];
    sea.sea_with(&named, &tar.stdout)?.exits(0);
    sea.sea(&["build", "nowhere"]).exits(1).complains("no folder");
    sea.sea(&["build", "--call", "targets", "-f", "other/Dockerfile.x", "app"])
        .exits(0)
        .mentions("busybox:1.36");
    sea.end()
}

/// Answers every request with this body, one connection after the other.
fn serve(body: &'static [u8]) -> Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut buffer = [0; 1024];
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(got) if got > 0 => head.extend_from_slice(&buffer[..got]),
                    _ => break,
                }
            }
            let answer = if head.starts_with(b"GET /moved") {
                b"HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    .to_vec()
            } else if head.starts_with(b"GET /none") {
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
            } else if head.starts_with(b"GET /short") {
                b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nshort".to_vec()
            } else {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nlast-modified: Thu, 01 Jan 1970 00:01:40 GMT\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                [head.as_bytes(), body].concat()
            };
            let _ = stream.write_all(&answer);
        }
    });
    Ok(address)
}

#[test]
fn what_a_url_names_is_added_and_checked() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let at = serve(b"cargo")?;
    let sum = "93eff2ba3b9b318a70d8ac0a78e73c4b26ab6ed7a6ce7d2e6c8dd82a5c7bd4ad";
    let dockerfile = |line: &str| sea.write("app/Dockerfile", &format!("FROM busybox:1.36\n{line}\n"));
    dockerfile(&format!(
        "ADD http://{at}/moved /file\nRUN [ $(cat /file) = cargo ] && [ $(stat -c %Y /file) = 100 ]"
    ));
    sea.sea(&build(&[])).exits(0);
    dockerfile(&format!("ADD --checksum=sha256:{sum} http://{at}/file /"));
    sea.sea(&build(&[])).exits(1).complains("has the digest sha256:");
    dockerfile(&format!("ADD http://{at}/none /"));
    sea.sea(&build(&[])).exits(1).complains("404");
    dockerfile(&format!("ADD http://{at}/short /"));
    sea.sea(&build(&[])).exits(1).complains("in the middle");
    sea.end()
}

#[test]
fn commands_have_the_network_the_names_and_the_limits_that_are_asked_for() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "app/Dockerfile",
        "FROM busybox:1.36\n\
         RUN --network=none [ $(ls /sys/class/net) = lo ]\n\
         RUN grep -q '10.1.2.3.*db' /etc/hosts && [ $(ulimit -n) = 1234 ] && df -k /dev/shm | grep -q 32768\n",
    );
    let flags = ["--add-host", "db:10.1.2.3", "--ulimit", "nofile=1234:2345", "--shm-size", "32m"];
    sea.sea(&build(&flags)).exits(0);
    sea.write("app/Dockerfile", "FROM busybox:1.36\nRUN --network=host ls /sys/class/net\n");
    sea.sea(&build(&[])).exits(1).complains("--network host");
    sea.sea(&build(&["--network", "host"])).exits(0);
    // A command that wants more than the build may have is ended, and it is said why.
    sea.write("app/Dockerfile", "FROM busybox:1.36\nRUN tail /dev/zero\n");
    let done = sea.sea(&build(&["--memory", "32m"])).exits(1);
    ensure!(done.stderr.contains("32.0 MiB of memory together"), "the bound is printed: {done}");
    ensure!(done.stderr.contains("needed more than its memory of 32.0 MiB"), "{done}");
    let groups =
        Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "3", "-name", "build-*"]).output()?;
    let groups = String::from_utf8(groups.stdout)?;
    let tag = sea.root().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    ensure!(!groups.lines().any(|line| line.contains(&tag)), "no cgroup is left: {groups}");
    sea.end()
}

#[test]
fn the_same_inputs_give_the_same_image_at_any_time() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "app/Dockerfile",
        "FROM busybox:1.36 AS a\nARG SOURCE_DATE_EPOCH\nRUN mkdir /made && echo $SOURCE_DATE_EPOCH > /made/one && touch /made/two\n\
         FROM busybox:1.36\nCOPY --from=a /made /made\nCOPY own /\nCOPY <<EOF /text\nhi\nEOF\nRUN date > /dev/null; ls -l /made > /listed\nWORKDIR /w\n",
    );
    sea.write("app/own", "own");
    let id = |more: &[&str]| -> Result<String> {
        let done = sea.sea(&build(&[&["-q", "--no-cache"], more].concat())).exits(0);
        Ok(done.text().trim().to_owned())
    };
    let epoch = "SOURCE_DATE_EPOCH=1000000000";
    let first = id(&["--build-arg", epoch])?;
    // Another time, in another file system order, and with other times of the sources.
    std::fs::remove_file(sea.home().join("app/own"))?;
    sea.write("app/own", "own");
    ensure!(id(&["--build-arg", epoch])? == first, "the same inputs");
    let other = Sea::with_images(&["busybox"])?;
    other.write("app/Dockerfile", &std::fs::read_to_string(sea.home().join("app/Dockerfile"))?);
    other.write("app/own", "own");
    let out = other
        .command(&["build", "-q", "-t", "app:v1", "app"])
        .env("SOURCE_DATE_EPOCH", "1000000000")
        .output()?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    ensure!(String::from_utf8_lossy(&out.stdout).trim() == first, "the environment says the same");
    let done = other.sea(&["build", "-q", "--build-arg", epoch, "-t", "app:v1", "app"]).exits(0);
    ensure!(done.text().trim() == first, "the same on another daemon: {done}");
    let view = other.json(&["image", "inspect", "app:v1"]);
    ensure!(view[0]["created"] == 1_000_000_000_000_000_000_i64, "{view}");
    other.end()?;
    sea.end()
}

/// Where the certificate lies that a server of these tests shows, and the authority that signed it.
fn certificate(name: &str) -> String {
    let folder =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/rooms/registry/src/client/tests/certificates");
    format!("{folder}/{name}")
}

#[test]
fn files_and_images_come_over_tls_from_those_whom_the_machine_trusts() -> Result<()> {
    let (chain, key) = (certificate("server.pem"), certificate("server.key"));
    let server = RegistryServer::ours(&["--open", "--tls-cert", &chain, "--tls-key", &key])?;
    let url = format!("https://{}/v2/", server.address);
    let dockerfile = format!("FROM scratch\nADD {url} /answer\n");
    let sea = Sea::new();
    sea.write("app/Dockerfile", &dockerfile);
    sea.start_daemon()?;
    sea.sea(&build(&[])).exits(1).complains("invalid peer certificate");
    sea.end()?;

    let sea = Sea::new();
    sea.write("app/Dockerfile", &dockerfile);
    sea.start_daemon_in(&[("SSL_CERT_FILE", certificate("ca.pem").into())])?;
    let name = format!("{}/team/app:v1", server.address);
    sea.sea(&["build", "-t", &name, "app"]).exits(0);
    sea.sea(&["push", &name]).exits(0);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--cacert", &certificate("ca.pem"), "-H", "Accept: */*"]);
    let manifest = curl.arg(format!("{url}team/app/manifests/v1")).output()?.stdout;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    let digest = manifest["layers"][0]["digest"].as_str().context("a layer has a digest")?;
    let blob = format!("{url}team/app/blobs/{digest}");
    let imported = docker_ask(&sea, &format!("/images/create?fromSrc={blob}&repo=got"))?;
    ensure!(imported.contains("Downloading from https://") && imported.contains("sha256:"), "{imported}");
    sea.sea(&["image", "inspect", "got"]).exits(0);
    let missing = docker_ask(&sea, &format!("/images/create?fromSrc={url}nothing"))?;
    ensure!(missing.contains("answers 404"), "{missing}");
    sea.end()
}

/// A `POST` at the Docker API, and what it answers.
fn docker_ask(sea: &Sea, target: &str) -> Result<String> {
    let socket = e2e::clients::docker_socket(sea);
    let mut curl = Command::new("curl");
    let out = curl
        .args(["-sS", "-X", "POST", "--unix-socket"])
        .arg(socket)
        .arg(format!("http://sea{target}"))
        .output()?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
fn git_repositories_are_contexts_and_sources() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let repository = GitServer::start()?;
    let says = |context: &str, text: &str| -> Result<()> {
        sea.sea(&["build", "-t", "app:v1", context]).exits(0);
        let said = sea.sea(&["run", "--rm", "app:v1"]).exits(0);
        ensure!(said.text().trim() == text, "{context}: {said}");
        Ok(())
    };
    let url = repository.url();
    says(&url, "of main")?;
    says(&format!("{url}#v1"), "of v1")?;
    says(&format!("{url}?branch=main&subdir=sub"), "sub of main")?;
    sea.sea(&["build", &format!("{url}#none")]).exits(1).complains("has no `none`");
    sea.sea(&["build", "git@127.0.0.1:r"]).exits(1).complains("--ssh default");
    sea.write(
        "app/Dockerfile",
        &format!(
            "FROM busybox:1.36\nADD --keep-git-dir {url}#v1:/ /kept\nADD {url}#v1:sub /plain\nCOPY --from=more /text /more\n\
             RUN [ -d /kept/.git ] && [ ! -e /plain/.git ] && cat /kept/text /plain/text /more > /all\nCMD cat /all\n"
        ),
    );
    let more = format!("more={url}#main");
    sea.sea(&build(&["--build-context", &more])).exits(0);
    let said = sea.sea(&["run", "--rm", "app:v1"]).exits(0);
    ensure!(said.text() == "of v1\nsub of v1\nof main", "{said}");
    sea.write("app/Dockerfile", &format!("FROM busybox:1.36\nADD --checksum=0123abc {url}#v1 /\n"));
    sea.sea(&build(&[])).exits(1).complains("expected checksum to match 0123abc");
    sea.end()
}

#[test]
fn a_repository_over_ssh_is_fetched_by_the_agent_alone() -> Result<()> {
    let (sea, repository) = (Sea::new(), GitServer::start()?);
    let bin = tempfile::tempdir()?;
    let (ssh, log) = (bin.path().join("ssh"), bin.path().join("log"));
    // What the machine on the other side would do, without the way there.
    let script = format!(
        "#!/bin/sh\nfor last; do :; done\n[ -S \"$SSH_AUTH_SOCK\" ] && echo \"$*\" >> {} || exit 9\ncd {} && eval \"git ${{last#git-}}\"\n",
        log.display(),
        repository.folder().display()
    );
    std::fs::write(&ssh, script)?;
    std::fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut path = bin.path().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    sea.start_daemon_in(&[("PATH", path)])?;
    sea.sea(&["image", "load", "-i", &e2e::image("busybox").display().to_string()]).exits(0);
    let socket = sea.home().join("agent.sock");
    let _agent = UnixListener::bind(&socket)?;
    let agent = format!("default={}", socket.display());
    sea.sea(&["build", "-t", "app:v1", "--ssh", &agent, "me@far.example:r.git#v1"]).exits(0);
    sea.sea(&["run", "--rm", "app:v1"]).exits(0).mentions("of v1");
    let told = std::fs::read_to_string(&log)?;
    for wanted in ["me@far.example", "BatchMode=yes", "IdentityFile=none", "StrictHostKeyChecking=accept-new"]
    {
        ensure!(told.contains(wanted), "`{wanted}` is missing: {told}");
    }
    sea.end()
}

#[test]
fn a_machine_without_git_says_so() -> Result<()> {
    let sea = Sea::new();
    let empty = tempfile::tempdir()?;
    sea.start_daemon_in(&[("PATH", empty.path().into())])?;
    let refused = sea.sea(&["build", "git://127.0.0.1:1/r"]).exits(1);
    ensure!(refused.stderr.contains("`git` does not run on this machine"), "{refused}");
    ensure!(refused.stderr.contains("install `git`"), "{refused}");
    sea.end()
}

#[test]
fn a_dockerfile_is_checked_and_may_refuse_what_is_found() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let odd = "FROM busybox:1.36\nWORKDIR app\nCOPY $NOWHERE left /\nCMD sh\n";
    sea.write("app/left", "");
    sea.write("app/.dockerignore", "nothing\n");
    sea.write("app/Dockerfile", odd);
    let told = sea.sea(&build(&["--progress", "plain"])).exits(0);
    for rule in ["WorkdirRelativePath", "UndefinedVar", "JSONArgsRecommended"] {
        ensure!(told.stderr.contains(rule), "{rule} is missing: {told}");
    }
    let told = sea.sea(&build(&["--check"])).exits(1);
    ensure!(told.stderr.contains("WorkdirRelativePath: ") && told.stderr.contains("(line 2)"), "{told}");
    sea.write("app/Dockerfile", &format!("# check=error=true;skip=UndefinedVar\n{odd}"));
    sea.sea(&build(&[]))
        .exits(1)
        .complains("lint violation found for rules: JSONArgsRecommended, WorkdirRelativePath");
    let skip = "BUILDKIT_DOCKERFILE_CHECK=skip=all;error=true";
    let quiet = sea.sea(&build(&["--build-arg", skip])).exits(0);
    ensure!(!quiet.stderr.contains("Recommended"), "{quiet}");
    sea.write("app/Dockerfile", &format!("# check=never\n{odd}"));
    sea.sea(&build(&[])).exits(1).complains("invalid check option \"never\"");
    sea.end()
}

#[test]
fn progress_is_shown_as_asked_and_an_error_shows_its_line() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.write(
        "app/Dockerfile",
        "FROM busybox:1.36 AS a\nRUN echo hello\nFROM a\nENV X=1\nRUN echo oops >&2; exit 7\n",
    );
    let done = sea.sea(&build(&["--progress", "plain"])).exits(1);
    for wanted in [
        "[a 2/2] RUN echo hello",
        " hello\n",
        "DONE ",
        "[stage-1 2/2] RUN echo oops",
        "ERROR: ",
        "   5 > RUN echo oops",
        "exit code 7",
        "  oops",
    ] {
        ensure!(done.stderr.contains(wanted), "`{wanted}` is missing: {done}");
    }
    ensure!(!done.stderr.contains("] ENV X"), "what only changes settings is no news: {done}");
    let done = sea.sea(&build(&["--target", "a", "--progress", "plain"])).exits(0);
    ensure!(done.stderr.contains("CACHED"), "{done}");
    let done = sea.sea(&build(&["--target", "a", "--progress", "rawjson"])).exits(0);
    for line in done.stderr.lines() {
        serde_json::from_str::<serde_json::Value>(line).with_context(|| line.to_owned())?;
    }
    let done = sea.sea(&build(&["--target", "a", "-q"])).exits(0);
    ensure!(done.stderr.is_empty() && done.text().starts_with("sha256:"), "{done}");
    let (code, shown) = e2e::on_terminal(sea.command(&build(&["--target", "a", "--no-cache"])), "")?;
    ensure!(code == 0 && shown.contains("[2/2] RUN echo hello"), "{shown}");
    sea.end()
}
