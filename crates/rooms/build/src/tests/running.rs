//! RUN: where and as whom, its mounts, its heredocs, and how it fails.

use super::world::{World, brief, describe, kind};
use crate::Progress;
use base::Kind;
use expect_test::{Expect, expect};

/// Builds `FROM base` and these lines; shows the output of the commands, or the error.
#[track_caller]
fn check(lines: &str, output: Expect) {
    let world = World::new();
    world.put(&[("src/main.c", "int main;"), ("go.sum", "sum")]);
    let outcome = world.build(&format!("FROM base:1\n{lines}"));
    let shown = match &outcome.built {
        Ok(_) => outcome.output(),
        Err(error) => describe(error),
    };
    output.assert_eq(&shown);
    world.is_clean();
}

/// The same where it must fail; shows what went wrong and what to do.
#[track_caller]
fn check_error(lines: &str, wrong: Expect) {
    let world = World::new();
    let built = world.build(&format!("FROM base:1\n{lines}")).built;
    wrong.assert_eq(&brief(&built.expect_err("it must fail")));
    world.is_clean();
}

#[test]
fn commands_see_the_environment_user_and_folder_of_their_stage() {
    check(
        "RUN echo $BASE; pwd; id -u",
        expect![[r#"
        yes
        /
        0
    "#]],
    );
    check(
        "ENV A=1\nARG B=2\nARG A=3\nWORKDIR /w\nUSER app\nRUN echo $A $B; pwd; id -un; id -gn",
        expect![[r#"
            1 2
            /w
            app
            app
        "#]],
    );
    check(
        "SHELL [\"/bin/sh\", \"-ec\"]\nRUN echo one; false; echo two",
        expect![[r#"
            error: Dockerfile line 3: the command ended with exit code 1
               2 | SHELL ["/bin/sh", "-ec"]
               3 > RUN echo one; false; echo two
            its last output:
              one"#]],
    );
    check(
        "RUN [\"sh\", \"-c\", \"echo $0 $1\", \"a\", \"b c\"]",
        expect![[r#"
        a b c
    "#]],
    );
    check(
        "RUN echo \\\n # a comment\n  continued",
        expect![[r#"
        continued
    "#]],
    );
}

#[test]
fn heredocs_run_in_the_shell_or_by_themselves() {
    check(
        "RUN <<EOF\necho one\necho $BASE\nEOF",
        expect![[r#"
        one
        yes
    "#]],
    );
    check(
        "RUN cat <<A && cat <<B\n$BASE\nA\nb\nB",
        expect![[r#"
        yes
        b
    "#]],
    );
    check(
        "RUN <<EOF\n#!/bin/sh -e\necho $0\nEOF",
        expect![[r#"
            /dev/pipes/EOF
        "#]],
    );
}

#[test]
fn an_error_shows_the_line_the_last_output_and_the_exit_code() {
    check(
        "RUN echo before; \\\n   echo oh no >&2; exit 3\nRUN echo never",
        expect![[r#"
            error: Dockerfile lines 2 to 3: the command ended with exit code 3
               1 | FROM base:1
               2 > RUN echo before; \
               3 >    echo oh no >&2; exit 3
               4 | RUN echo never
            its last output:
              before
              oh no"#]],
    );
    check(
        "RUN [\"nonexistent\"]",
        expect![[r#"
            error: Dockerfile line 2: the command ended with exit code 127
               1 | FROM base:1
               2 > RUN ["nonexistent"]
            its last output:
              /: 1: exec: nonexistent: not found"#]],
    );
    let world = World::new();
    let outcome = world.build("FROM base:1\nRUN false");
    assert_eq!(kind(&outcome), Some(Kind::Invalid));
}

#[test]
fn mounts_are_seen_by_the_command_and_kept_by_no_layer() {
    check(
        "RUN --mount=type=bind,target=/in,ro cat /in/src/main.c /in/go.sum && ! touch /in/x",
        expect![[r#"
        int main;sumtouch: cannot touch '/in/x': Read-only file system
    "#]],
    );
    check(
        "RUN --mount=source=src,target=/in,rw touch /in/x && ls /in",
        expect![[r#"
        main.c
        x
    "#]],
    );
    check(
        "FROM scratch AS s\nCOPY go.sum /f\nFROM base:1\nRUN --mount=from=s,source=/f,target=/g cat /g",
        expect!["sum"],
    );
    check(
        "RUN --mount=type=tmpfs,target=/t touch /t/x\nRUN ls -d /t",
        expect![[r#"
            error: Dockerfile line 3: the command ended with exit code 2
               2 | RUN --mount=type=tmpfs,target=/t touch /t/x
               3 > RUN ls -d /t
            its last output:
              ls: cannot access '/t': No such file or directory"#]],
    );
    let world = World::new();
    let made = world.files("FROM base:1\nRUN --mount=type=cache,target=/c/d touch /c/d/x /made");
    expect![[r#"
        layer 1
          644 0:0 made (empty)"#]]
    .assert_eq(&made);
    world.is_clean();
}

#[test]
fn a_cache_mount_lives_on_between_builds_and_belongs_to_its_id() {
    let world = World::new();
    let look = |id: &str| {
        let run = format!(
            "FROM base:1\nENV ROUND={id}{}\nRUN --mount=type=cache,target=/c,id={id} ls /c; touch /c/x",
            base::Rng::from_kernel().next_u64()
        );
        world.build(&run).output()
    };
    assert_eq!(look("one"), "");
    assert_eq!(look("one"), "x\n");
    assert_eq!(look("two"), "");
    assert_eq!(world.builder.prune_caches().ok(), Some(2));
    assert_eq!(look("one"), "");
    world.is_clean();
}

#[test]
fn what_a_build_cannot_do_is_refused() {
    check_error(
        "RUN --mount=type=secret,id=x,required true",
        expect![[r#"
        error: Dockerfile line 2: the build has no secret `x`
          hint: give it with `--secret id=x,src=FILE` or `--secret id=x,env=NAME`"#]],
    );
    check_error(
        "RUN --mount=type=secret,id=x,source=y true",
        expect![[r#"
        error: Dockerfile line 2: `source=y` cannot be a field of `--mount`
          hint: allowed is either `id` or `source`"#]],
    );
    check_error(
        "RUN --mount=type=secret,id=x,sharing=locked true",
        expect![[r#"
        error: Dockerfile line 2: `sharing` in a mount of type secret is not supported
          hint: leave it out"#]],
    );
    check_error(
        "RUN --mount=type=ssh,required=true true",
        expect![[r#"
        error: Dockerfile line 2: the build has no ssh agent `default`
          hint: give it with `--ssh default`"#]],
    );
    check_error(
        "RUN --mount=type=bind,mode=0700,target=/x true",
        expect![[r#"
        error: Dockerfile line 2: `mode` in a mount of type bind is not supported
          hint: leave it out"#]],
    );
    check_error(
        "RUN --mount=type=cash,target=/c true",
        expect![[r#"
            error: Dockerfile line 2: `type=cash` cannot be a field of `--mount`
              hint: allowed is bind, cache, tmpfs, secret or ssh"#]],
    );
    check_error(
        "RUN --mount=type=cache,target=/ true",
        expect![[r#"
            error: Dockerfile line 2: `target=/` cannot be a field of `--mount`
              hint: allowed is any path but the root"#]],
    );
}

#[test]
fn rights_and_machines_beyond_ours_are_refused_and_empty_variables_told() {
    check_error(
        "RUN --network=host true",
        expect![[r#"
            error: Dockerfile line 2: `--network=host` of a RUN alone is not supported
              hint: give the build `--network host`, if you trust the Dockerfile with the host's network"#]],
    );
    check_error(
        "RUN --security=insecure true",
        expect![[r#"
            error: Dockerfile line 2: `--security=insecure` is not supported
              hint: commands of builds run confined, because a Dockerfile is other people's code; do what needs more rights in a privileged container, and commit that"#]],
    );
    check_error(
        "FROM --platform=plan9/mips base:1\nRUN true",
        expect![[r#"
        error: Dockerfile line 2: `--platform=plan9/mips` on a machine of linux/amd64 is not supported
          hint: build on a machine of that kind; nothing is emulated"#]],
    );
    check_error(
        "RUN echo ${X:?}",
        expect![[r#"
        error: Dockerfile line 2: the command ended with exit code 2
        its last output:
          /bin/sh: 1: X: parameter not set or null"#]],
    );
    check_error(
        "ENV A=\"${X:?is needed}\"",
        expect![[r#"
        error: Dockerfile line 2: a variable cannot be expanded: `X` must be set: is needed
          because: `X` must be set: is needed
          hint: give it with `--build-arg X=…`, or in an ENV or ARG"#]],
    );
}

#[test]
fn endless_output_is_cut_and_the_end_of_it_kept_for_the_error() {
    let world = World::new();
    let outcome = world.build("FROM base:1\nRUN i=0; while [ $i -lt 60000 ]; do echo line-of-some-length-with-number-$i-0123456789; i=$((i+1)); done; exit 1");
    let shown: usize = outcome
        .progress
        .iter()
        .map(|event| if let Progress::Output { bytes, .. } = event { bytes.len() } else { 0 })
        .sum();
    assert_eq!(shown, 2 << 20);
    assert!(
        outcome
            .progress
            .iter()
            .all(|event| !matches!(event, Progress::Output { bytes, .. } if bytes.len() > 64 << 10))
    );
    assert_eq!(outcome.warnings(), ["2: the step's output is longer than 2 MiB; the rest is not shown"]);
    let error = describe(outcome.built.as_ref().expect_err("it exits with 1"));
    assert!(error.contains("number-59999-"), "{error}");
    assert!(error.lines().count() < 50, "{error}");
}

#[test]
fn a_cancelled_build_ends_at_once_and_leaves_nothing() {
    let world = World::new();
    world.request.borrow().cancel.cancel();
    let outcome = world.build("FROM base:1\nRUN true");
    assert_eq!(
        outcome.built.err().map(|error| error.to_string()),
        Some("the build was cancelled".to_owned())
    );
    world.is_clean();
}
