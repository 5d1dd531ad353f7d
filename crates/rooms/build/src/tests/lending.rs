//! What commands are lent: secrets, ssh agents, caches. None of it stays.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use base::Report;
use expect_test::expect;

use super::world::{World, describe, show};
use crate::{Agents, BuildRequest, Secret};

fn with_secret(world: &World, dockerfile: &str, text: &str) -> BuildRequest {
    let secrets = BTreeMap::from([("token".to_owned(), Secret(text.as_bytes().to_vec()))]);
    BuildRequest { secrets: Arc::new(secrets), ..world.wish(dockerfile) }
}

#[test]
fn a_secret_is_a_file_or_a_variable_and_leaves_no_trace() {
    let world = World::new();
    let dockerfile = "FROM base:1\n\
        RUN --mount=type=secret,id=token cat /run/secrets/token; stat -c ' %a %u:%g' /run/secrets/token\n\
        RUN --mount=type=secret,id=token,target=/root/t,mode=0440,uid=7,gid=8 cat /root/t; stat -c ' %a %u:%g' /root/t\n\
        RUN --mount=type=secret,id=token,env=T echo $T; ls /run/secrets || true\n\
        RUN --mount=type=secret,id=other cat /run/secrets/other || echo none\n\
        RUN --mount=type=secret,target=/token cat /token";
    let outcome = world.request(with_secret(&world, dockerfile, "s3cr3t"));
    let built = outcome.built.as_ref().unwrap_or_else(|error| panic!("{}", describe(error))).clone();
    expect![[r#"
        s3cr3t 400 0:0
        s3cr3t 440 7:8
        s3cr3t
        ls: cannot access '/run/secrets': No such file or directory
        none
        cat: /run/secrets/other: No such file or directory
        s3cr3t"#]]
    .assert_eq(&outcome.output());
    // The layers are empty: not even the places are left.
    expect![[r#"
        layer 1
        layer 2
        layer 3
        layer 4
        layer 5"#]]
    .assert_eq(&show(&world.image(&built)));
    // Neither the image nor the cache knows it.
    let again = world.request(with_secret(&world, dockerfile, "another"));
    assert_eq!(again.good(), crate::Built { cached: 5, ..built });
    assert_eq!(holders(world.dir.path(), b"s3cr3t"), Vec::<String>::new());
    world.is_clean();
}

/// The files below a folder that hold these bytes.
fn holders(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the test") {
        let path = entry.expect("a folder of the test").path();
        let meta = path.symlink_metadata().expect("it was just listed");
        if meta.is_dir() {
            found.extend(holders(&path, bytes));
        } else if meta.is_file() {
            let content = fs::read(&path).expect("a file of the test");
            if content.windows(bytes.len()).any(|window| window == bytes) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Answers every connection with what it hears, in capitals.
struct Echo;

impl Agents for Echo {
    fn has(&self, id: &str) -> bool {
        id == "default"
    }

    fn connect(&self, _id: &str) -> Result<UnixStream, Report> {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        std::thread::spawn(move || {
            let mut heard = [0; 5];
            let mut ours = ours;
            if ours.read_exact(&mut heard).is_ok() {
                let _ = ours.write_all(&heard.to_ascii_uppercase());
            }
        });
        Ok(theirs)
    }
}

#[test]
fn an_ssh_agent_is_reached_through_a_socket_of_the_command() {
    let world = World::new();
    let dockerfile = "FROM base:1\n\
        RUN --mount=type=ssh echo $SSH_AUTH_SOCK; stat -c '%F %a %u' $SSH_AUTH_SOCK\n\
        RUN --mount=type=ssh,target=/a,mode=0666,uid=5 echo $SSH_AUTH_SOCK; stat -c '%F %a %u' /a\n\
        RUN --mount=type=ssh,id=other echo [$SSH_AUTH_SOCK]";
    let outcome = world.request(BuildRequest { agents: Arc::new(Echo), ..world.wish(dockerfile) });
    expect![[r#"
        /run/buildkit/ssh_agent.0
        socket 600 0
        /a
        socket 666 5
        []
    "#]]
    .assert_eq(&outcome.output());
    outcome.good();
    world.is_clean();
}

#[test]
fn bytes_go_both_ways_between_a_command_and_an_agent() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let path = dir.path().join("socket");
    let access = crate::mounts::Access { mode: 0o600, uid: 0, gid: 0 };
    let agents: Arc<dyn Agents> = Arc::new(Echo);
    let agent = crate::private::Agent::listen(&path, "default", &agents, access).expect("it listens");
    for _ in 0..40 {
        let mut connection = UnixStream::connect(&path).expect("it accepts");
        connection.write_all(b"hello").expect("it takes it");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("it answers, then it is over");
        assert_eq!(answer, "HELLO");
    }
    drop(agent);
    assert!(UnixStream::connect(&path).is_err(), "nobody listens any more");
}

#[test]
fn an_agent_that_is_named_by_its_socket_is_asked_there() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let agents = BTreeMap::from([("default".to_owned(), path)]);
    assert!(agents.has("default") && !agents.has("other"));
    drop(agents.connect("default").expect("it listens"));
    listener.accept().expect("somebody came");
    assert!(agents.connect("other").is_err());
}

#[test]
fn a_cache_begins_with_what_it_is_given_and_has_its_own_owner() {
    let world = World::new();
    world.put(&[("seed/one", "1"), ("file", "")]);
    let dockerfile = "FROM scratch AS seed\nCOPY seed /s\nFROM base:1\n\
        RUN --mount=type=cache,target=/c,from=seed,source=/s,uid=7,gid=8,mode=0750 ls /c; echo 2 > /c/two; stat -c '%a %u:%g' /c\n\
        RUN --mount=type=cache,target=/d,id=/c,readonly ls /d; touch /d/x || echo refused\n\
        RUN --mount=type=cache,target=/c,sharing=locked --mount=type=cache,id=x,target=/x,sharing=private ls /c";
    let outcome = world.build(dockerfile);
    expect![[r#"
        one
        750 7:8
        one
        two
        refused
        touch: cannot touch '/d/x': Read-only file system
        one
        two
    "#]]
    .assert_eq(&outcome.output());
    outcome.good();
    world.is_clean();
}
