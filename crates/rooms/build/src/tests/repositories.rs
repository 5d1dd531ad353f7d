//! Git repositories: as sources of ADD and as contexts, from servers that know how and from one that gives files only.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use expect_test::expect;

use super::world::{World, brief, show};
use crate::{BuildRequest, Context, DockerfileSource};

/// Runs git on the side of the server.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"];
    let mut command = Command::new("git");
    command.args(identity).args(arguments).current_dir(folder);
    let variables = [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_DATE", "1000000000 +0000"),
        ("GIT_COMMITTER_DATE", "1000000000 +0000"),
    ];
    let output = command.envs(variables).output().expect("git is installed");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Repositories and whoever serves them.
struct Server {
    folder: tempfile::TempDir,
    /// By git's own protocol.
    daemon: SocketAddr,
    /// As files over HTTP.
    web: SocketAddr,
    /// The commits, the first first.
    commits: Vec<String>,
}

/// Serves each connection by this.
fn serve(one: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || listener.incoming().flatten().for_each(one));
    address
}

fn daemon(folder: PathBuf) -> SocketAddr {
    serve(move |stream| {
        let other = stream.try_clone().expect("one more of it");
        let base = format!("--base-path={}", folder.display());
        let mut git = Command::new("git");
        git.args(["daemon", "--inetd", "--export-all", &base]).stderr(Stdio::null());
        let ends = (Stdio::from(OwnedFd::from(stream)), Stdio::from(OwnedFd::from(other)));
        let ended = git.stdin(ends.0).stdout(ends.1).env("GIT_CONFIG_GLOBAL", "/dev/null").status();
        ended.expect("git is installed");
    })
}

fn web(folder: PathBuf) -> SocketAddr {
    serve(move |mut stream| {
        let mut lines =
            BufReader::new(stream.try_clone().expect("one more of it")).lines().map_while(Result::ok);
        let target =
            lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)).unwrap_or_default();
        let login =
            lines.take_while(|line| !line.is_empty()).any(|line| line.contains("eC1hY2Nlc3MtdG9rZW46bWU="));
        let path = folder.join(target.split('?').next().unwrap_or_default().trim_start_matches('/'));
        let answer = match std::fs::read(path) {
            _ if target.starts_with("/locked") && !login => ("401 Unauthorized", Vec::new()),
            Ok(bytes) => ("200 OK", bytes),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            answer.0,
            answer.1.len()
        );
        // Whoever asked may have gone.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer.1));
    })
}

fn server() -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let work = folder.path().join("work");
    let write = |name: &str, text: &str| {
        let path = work.join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    std::fs::create_dir(&work).expect("a folder");
    git(&work, &["init", "-q"]);
    let mut commits = Vec::new();
    for (text, tag) in [("one", "v1"), ("two", "v2")] {
        write("Dockerfile", "FROM base:1\nCOPY . /c/");
        write("app", text);
        write("sub/Dockerfile", "FROM base:1\nCOPY app /");
        write("sub/app", &format!("sub {text}"));
        if text == "two" {
            std::os::unix::fs::symlink("/etc", work.join("out")).expect("a link");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(work.join("app"), mode).expect("it is ours");
        }
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", text]);
        git(&work, &["tag", "-m", tag, tag]);
        commits.push(git(&work, &["rev-parse", "HEAD"]));
    }
    git(&work, &["branch", "old", "v1"]);
    for name in ["r.git", "locked.git"] {
        git(folder.path(), &["clone", "-q", "--bare", "work", name]);
        git(&folder.path().join(name), &["update-server-info"]);
    }
    let (daemon, web) = (daemon(folder.path().to_owned()), web(folder.path().to_owned()));
    Server { folder, daemon, web, commits }
}

impl Server {
    fn added(&self, line: &str) -> String {
        let world = World::new();
        let line = line.replace("GIT", &format!("git://{}/r.git", self.daemon));
        let line = line.replace("WEB", &format!("http://{}/r.git", self.web));
        let shown = match world.build(&format!("FROM base:1\nADD {line} /a/")).built {
            Ok(built) => show(&world.image(&built)),
            Err(error) => self.neutral(&brief(&error)),
        };
        world.is_clean();
        shown
    }

    /// Without what is another one each time.
    fn neutral(&self, text: &str) -> String {
        let mut text = text.replace(&self.daemon.to_string(), "DAEMON").replace(&self.web.to_string(), "WEB");
        for (number, commit) in self.commits.iter().enumerate() {
            text = text.replace(commit, &format!("COMMIT{number}"));
        }
        text
    }

    fn context(&self, url: &str, request: impl FnOnce(&mut BuildRequest)) -> Result<String, String> {
        let world = World::new();
        let dockerfile = DockerfileSource::InContext(String::new());
        let mut wish = BuildRequest::new(Context::Url(url.to_owned()), dockerfile);
        request(&mut wish);
        let built = world.request(wish).built;
        world.is_clean();
        built.map(|built| show(&world.image(&built))).map_err(|error| self.neutral(&brief(&error)))
    }
}

#[test]
fn a_repository_is_added_as_its_branch_tag_or_commit_says() {
    let server = server();
    let two = expect![[r#"
        layer 1
          755 0:0 a/
          644 0:0 a/Dockerfile = FROM base:1
        COPY . /c/
          755 0:0 a/app = two
          a/out -> /etc
          755 0:0 a/sub/
          644 0:0 a/sub/Dockerfile = FROM base:1
        COPY app /
          644 0:0 a/sub/app = sub two"#]];
    two.assert_eq(&server.added("GIT"));
    two.assert_eq(&server.added("GIT#v2"));
    two.assert_eq(&server.added("WEB#main"));
    two.assert_eq(&server.added(&format!("GIT#{}", server.commits[1])));
    let one_of = |line: &str| {
        let shown = server.added(line);
        assert!(shown.contains("a/app = sub one") && !shown.contains("a/sub/"), "{line}: {shown}");
    };
    one_of("GIT#old:sub");
    one_of("WEB?tag=v1&subdir=sub");
    one_of(&format!("WEB#{}:/sub", server.commits[0]));
}

#[test]
fn repositories_within_come_along_unless_somebody_says_no() {
    let server = server();
    let outer = server.folder.path().join("outer");
    std::fs::create_dir(&outer).expect("a folder");
    git(&outer, &["init", "-q"]);
    git(&outer, &["submodule", "--quiet", "add", &format!("git://{}/r.git", server.daemon), "lib"]);
    git(&outer, &["commit", "-q", "-m", "outer"]);
    git(server.folder.path(), &["clone", "-q", "--bare", "outer", "outer.git"]);
    let added = |query: &str| {
        let world = World::new();
        let line = format!("FROM base:1\nADD git://{}/outer.git{query} /a/", server.daemon);
        let built = world.build(&line).good();
        show(&world.image(&built))
    };
    let whole = added("");
    assert!(whole.contains("a/lib/sub/app = sub two") && !whole.contains("a/lib/.git\n"), "{whole}");
    let without = added("?submodules=false");
    assert!(without.contains("a/lib/") && !without.contains("a/lib/app"), "{without}");
}

#[test]
fn git_itself_stays_only_where_somebody_asks() {
    let server = server();
    assert!(server.added("--keep-git-dir GIT#v1").contains("a/.git/HEAD"));
    assert!(server.added("GIT?keep-git-dir#v1").contains("a/.git/HEAD"));
    assert!(!server.added("GIT#v1").contains(".git"));
    let refused = server.added("--keep-git-dir=false GIT?keep-git-dir=true");
    assert!(refused.contains("inconsistent keep-git-dir configuration"), "{refused}");
}

#[test]
fn a_checksum_is_the_beginning_of_a_commit() {
    let server = server();
    let [one, two] = [&server.commits[0], &server.commits[1]];
    for line in [
        format!("--checksum={two} GIT"),
        format!("--checksum={} GIT#v1", &one[..7]),
        format!("GIT?checksum={one}#old"),
    ] {
        assert!(server.added(&line).contains("a/app"), "{line}: {}", server.added(&line));
    }
    let refused = server.added(&format!("--checksum={one} GIT#main"));
    assert!(refused.contains("expected checksum to match COMMIT0, got COMMIT1"), "{refused}");
    let refused = server.added("--checksum=xyz GIT#main");
    assert!(refused.contains("expected hex commit hash"), "{refused}");
}

#[test]
fn the_same_commit_is_known_again() {
    let server = server();
    let world = World::new();
    let dockerfile = format!("FROM base:1\nADD git://{}/r.git#v1 /a\nRUN true", server.daemon);
    let cold = world.build(&dockerfile).good();
    let warm = world.build(&dockerfile.replace("#v1", "#old")).good();
    assert_eq!((cold.cached, warm.cached), (0, 2));
    let moved = world.build(&dockerfile.replace("#v1", "#v2")).good();
    assert_eq!(moved.cached, 0);
}

#[test]
fn what_a_fetch_was_lent_goes_at_the_next_start() {
    let mut world = World::new();
    let kept = world.dir.path().join("build/git");
    std::fs::create_dir(kept.join("lent-0")).expect("the builder made it");
    std::fs::write(kept.join("known_hosts"), "h").expect("the builder made it");
    world.reopen();
    assert!(!kept.join("lent-0").exists() && kept.join("known_hosts").exists());
}

#[test]
fn what_is_not_there_is_told() {
    let server = server();
    expect![[r#"
        error: Dockerfile line 2: could not fetch `git://DAEMON/r.git`
          because: the git repository `git://DAEMON/r.git` has no `none`
          hint: name a branch, a tag or a whole commit behind `#`"#]]
    .assert_eq(&server.added("GIT#none"));
    let missing = server.added("GIT#main:nowhere");
    assert!(missing.contains("has no folder `nowhere`"), "{missing}");
    let out = server.added("GIT#main:out");
    assert!(out.contains("a link leads out of the repository"), "{out}");
    let file = server.added("GIT#main:app");
    assert!(file.contains("it is a file"), "{file}");
    let nobody = server.added("http://127.0.0.1:1/r.git");
    assert!(nobody.contains("could not fetch the git repository"), "{nobody}");
    let agent = server.added("git@h.example:r");
    assert!(agent.contains("no SSH key \"default\" was given"), "{agent}");
    let odd = server.added("GIT?depth=1");
    assert!(odd.contains("unexpected query \"depth\""), "{odd}");
    let copied = World::new().build("FROM base:1\nCOPY git://h/r.git /a/").built;
    let copied = copied.map_err(|error| brief(&error)).expect_err("COPY fetches nothing");
    assert!(copied.contains("COPY of `git://h/r.git`"), "{copied}");
}

#[test]
fn a_repository_is_a_context() {
    let server = server();
    let url = format!("git://{}/r.git", server.daemon);
    let shown = server.context(&format!("{url}#v1"), |_| {}).expect("it is built");
    assert!(shown.contains("c/app = one") && shown.contains("c/sub/app = sub one"), "{shown}");
    assert!(!shown.contains(".git"), "{shown}");
    let keep = |wish: &mut BuildRequest| {
        wish.args.insert("BUILDKIT_CONTEXT_KEEP_GIT_DIR".into(), "1".into());
    };
    assert!(server.context(&url, keep).expect("it is built").contains("c/.git/HEAD"));
    let sub = server.context(&format!("http://{}/r.git#v2:sub", server.web), |_| {}).expect("it is built");
    expect![[r#"
        layer 1
          644 0:0 app = sub two"#]]
    .assert_eq(&sub);
    let missing = server.context(&format!("{url}#none"), |_| {}).expect_err("it is not there");
    assert!(missing.contains("has no `none`"), "{missing}");
    assert!(server.folder.path().join("r.git").exists());
}

#[test]
fn a_login_is_a_secret_of_the_build() {
    let server = server();
    let url = format!("http://{}/locked.git", server.web);
    let refused = server.context(&url, |_| {}).expect_err("nobody may read it");
    assert!(refused.contains("could not fetch the git repository"), "{refused}");
    let login = |wish: &mut BuildRequest| {
        let secret = (format!("GIT_AUTH_TOKEN.{}", server.web), crate::Secret(b"me\n".to_vec()));
        wish.secrets = std::sync::Arc::new(std::collections::BTreeMap::from([secret]));
    };
    assert!(server.context(&url, login).expect("it is built").contains("c/app = two"));
}
