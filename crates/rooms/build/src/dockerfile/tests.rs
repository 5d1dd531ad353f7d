//! Tests of the parser: a table of files, an oracle, and random text.

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

/// Shows each instruction in one line: its lines in the file, and what was read.
#[track_caller]
fn check(text: &str, read: Expect) {
    read.assert_eq(&show(text));
}

fn show(text: &str) -> String {
    let file = match parse(text) {
        Ok(file) => file,
        Err(fault) => {
            let hint = base::Problem::hint(&fault).map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            return format!("{fault}{hint}");
        }
    };
    let line = |one: &Instruction| format!("{}-{} {:?}", one.span.start, one.span.end, one.command);
    let gap = |line: &u32| format!("an empty line inside what ends at line {line}");
    let all = file.instructions.iter().map(line).chain(file.gaps.iter().map(gap));
    all.collect::<Vec<_>>().join("\n")
}

#[test]
fn everyday_instructions_are_read_with_their_lines() {
    check(
        "ARG V=1\nFROM --platform=$BUILDPLATFORM alpine:$V AS Base\nRUN make && \\\n  # why\n  make install\nCMD [\"sh\", \"-c\"]\n",
        expect![[r#"
            1-1 Arg([ArgItem { name: "V", default: Some("1") }])
            2-2 From { image: "alpine:$V", name: Some("base"), platform: Some("$BUILDPLATFORM") }
            3-5 Run(Run { command: Shell("make &&   make install"), heredocs: [], mounts: [], network: None, security: None, devices: [] })
            6-6 Cmd(Exec(["sh", "-c"]))"#]],
    );
    check(
        "from scratch\nenv A=1 B=\"x y\" C=a\\ b\nENV OLD some value\nLABEL \"a.b\"=c\nEXPOSE 80 443/tcp\nVOLUME [\"/data\"]\nUSER a:b\nWORKDIR /x y\nSTOPSIGNAL SIGINT\nSHELL [\"/bin/bash\", \"-c\"]\nENTRYPOINT run it\nMAINTAINER me",
        expect![[r#"
            1-1 From { image: "scratch", name: None, platform: None }
            2-2 Env([Pair { name: "A", value: "1" }, Pair { name: "B", value: "\"x y\"" }, Pair { name: "C", value: "a\\ b" }])
            3-3 Env([Pair { name: "OLD", value: "some value" }])
            4-4 Label([Pair { name: "\"a.b\"", value: "c" }])
            5-5 Expose(["80", "443/tcp"])
            6-6 Volume(["/data"])
            7-7 User("a:b")
            8-8 Workdir("/x y")
            9-9 StopSignal("SIGINT")
            10-10 Shell(["/bin/bash", "-c"])
            11-11 Entrypoint(Shell("run it"))
            12-12 Maintainer("me")"#]],
    );
}

#[test]
fn flags_are_read_and_checked() {
    check(
        "FROM a\nCOPY --from=b --chown=1:2 --chmod=0755 --link x y /z/\nRUN --mount=type=cache,dst=/c,sharing=locked --mount=type=bind,target=/b,ro --network=none true\nHEALTHCHECK --interval=1m30s --retries=2 CMD curl x",
        expect![[r#"
            1-1 From { image: "a", name: None, platform: None }
            2-2 Copy(Transfer { sources: ["x", "y"], target: "/z/", heredocs: [], flags: TransferFlags { from: Some("b"), chown: Some("1:2"), chmod: Some("0755"), link: true, parents: false, exclude: [], checksum: None, keep_git_dir: None, unpack: None } })
            3-3 Run(Run { command: Shell("true"), heredocs: [], mounts: [MountFlag { fields: [MountField { name: "type", value: Some("cache") }, MountField { name: "target", value: Some("/c") }, MountField { name: "sharing", value: Some("locked") }] }, MountFlag { fields: [MountField { name: "type", value: Some("bind") }, MountField { name: "target", value: Some("/b") }, MountField { name: "readonly", value: None }] }], network: Some("none"), security: None, devices: [] })
            4-4 Healthcheck(Check(Health { command: Shell("curl x"), interval: Some(90s), timeout: None, start_period: None, start_interval: None, retries: Some(2) }))"#]],
    );
    check(
        "FROM a\nCOPY --form=b x /y",
        expect![[r#"
            Dockerfile line 2: COPY has no flag `--form`
               1 | FROM a
               2 > COPY --form=b x /y
            hint: did you mean `--from`?"#]],
    );
    check(
        "FROM a\nHEALTHCHECK --interval=soon CMD x",
        expect![[r#"
            Dockerfile line 2: `--interval` of HEALTHCHECK cannot be `soon`
               1 | FROM a
               2 > HEALTHCHECK --interval=soon CMD x
            hint: allowed is a time of at least 1ms, as in `1m30s`"#]],
    );
}

#[test]
fn heredocs_belong_to_their_instruction() {
    check(
        "FROM a\nRUN <<EOF\n# not a comment\necho hi \\\nEOF\nCOPY <<-\"E\" <<F /d/\n\t$x\n\tE\nf\nF\nUSER u",
        expect![[r##"
            1-1 From { image: "a", name: None, platform: None }
            2-5 Run(Run { command: Shell("<<EOF"), heredocs: [Heredoc { name: "EOF", text: "# not a comment\necho hi \\\n", expand: true, mark: "<<EOF" }], mounts: [], network: None, security: None, devices: [] })
            6-10 Copy(Transfer { sources: [], target: "/d/", heredocs: [Heredoc { name: "E", text: "$x\n", expand: false, mark: "<<-\"E\"" }, Heredoc { name: "F", text: "f\n", expand: true, mark: "<<F" }], flags: TransferFlags { from: None, chown: None, chmod: None, link: false, parents: false, exclude: [], checksum: None, keep_git_dir: None, unpack: None } })
            11-11 User("u")"##]],
    );
    check(
        "FROM a\nRUN cat <<EOF\nhi\n",
        expect![[r#"
            Dockerfile line 2: the heredoc `EOF` does not end
               1 | FROM a
               2 > RUN cat <<EOF
               3 | hi
            hint: end it with a line that holds `EOF` alone"#]],
    );
    check(
        "FROM a\nRUN [\"cat\", \"<<EOF\"]\nRUN echo $((1<<2)) <<<word",
        expect![[r#"
            1-1 From { image: "a", name: None, platform: None }
            2-2 Run(Run { command: Exec(["cat", "<<EOF"]), heredocs: [], mounts: [], network: None, security: None, devices: [] })
            3-3 Run(Run { command: Shell("echo $((1<<2)) <<<word"), heredocs: [], mounts: [], network: None, security: None, devices: [] })"#]],
    );
}

#[test]
fn directives_stand_at_the_top_only() {
    check(
        "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN dir `\n  c:\\\nRUN x\\",
        expect![[r#"
            3-3 From { image: "a", name: None, platform: None }
            4-5 Run(Run { command: Shell("dir   c:\\"), heredocs: [], mounts: [], network: None, security: None, devices: [] })
            6-6 Run(Run { command: Shell("x\\"), heredocs: [], mounts: [], network: None, security: None, devices: [] })"#]],
    );
    check(
        "# a comment\n# escape=`\nFROM a\nRUN x \\\n\n\n y",
        expect![[r#"
            3-3 From { image: "a", name: None, platform: None }
            4-7 Run(Run { command: Shell("x  y"), heredocs: [], mounts: [], network: None, security: None, devices: [] })
            an empty line inside what ends at line 7"#]],
    );
    check(
        "# escape=x\nFROM a",
        expect![[r#"
            Dockerfile line 1: the directive `escape` cannot be `x`
               1 > # escape=x
               2 | FROM a
            hint: allowed are `\` and a backquote"#]],
    );
}

#[test]
fn an_error_shows_the_line_and_what_is_allowed() {
    check(
        "FROM a\n\nRUNN echo \\\n  hi\n",
        expect![[r#"
            Dockerfile lines 3 to 4: there is no instruction `RUNN`
               2 |
               3 > RUNN echo \
               4 >   hi
            hint: did you mean `RUN`?"#]],
    );
    check(
        "",
        expect![[r#"
            Dockerfile line 1: there is no FROM, so there is nothing to build

            hint: begin with `FROM image`, or `FROM scratch` for an empty one"#]],
    );
    check(
        "ARG A\nRUN x\nFROM a",
        expect![[r#"
            Dockerfile line 2: RUN stands before the first FROM
               1 | ARG A
               2 > RUN x
               3 | FROM a
            hint: only ARG, comments and directives stand before the first FROM"#]],
    );
}

#[test]
fn an_error_in_a_word_says_which_and_what_may_stand_there() {
    check(
        "FROM a as 1x",
        expect![[r#"
            Dockerfile line 1: `1x` cannot be a stage's name
               1 > FROM a as 1x
            hint: allowed is a letter, then letters, digits, `-`, `_` and `.`"#]],
    );
    check(
        "FROM a\nENV A=1 B",
        expect![[r#"
            Dockerfile line 2: `B` of ENV has no `=`
               1 | FROM a
               2 > ENV A=1 B
            hint: write `NAME=value`, with quotes around a value with blanks"#]],
    );
    check(
        "FROM a\nCMD [\"a\", 1]",
        expect![[r#"
            Dockerfile line 2: the list of CMD holds `1`, which is not a string
               1 | FROM a
               2 > CMD ["a", 1]
            hint: put each item into double quotes"#]],
    );
    check(
        "FROM a\nONBUILD FROM b",
        expect![[r#"
            Dockerfile line 2: FROM cannot be a trigger of ONBUILD
               1 | FROM a
               2 > ONBUILD FROM b
            hint: ONBUILD, FROM and MAINTAINER cannot stand there"#]],
    );
    check(
        "FROM a\nCOPY x",
        expect![[r#"
            Dockerfile line 2: COPY is not complete, or has too much: `x`
               1 | FROM a
               2 > COPY x
            hint: write `COPY [--from=stage] source… target`"#]],
    );
    check(
        "FROM a\nRUN --mount=tipe=cache true",
        expect![[r#"
            Dockerfile line 2: `--mount` of RUN cannot be `tipe=cache`
               1 | FROM a
               2 > RUN --mount=tipe=cache true
            hint: allowed is a list of fields of type, target, source, from, readonly, readwrite, id, sharing, mode, uid, gid, size, required, env"#]],
    );
}

#[test]
fn a_trigger_with_a_heredoc_survives_being_kept_as_text() {
    let file = parse("FROM a\nONBUILD RUN <<EOF\nhi\nEOF\n").expect("it is whole");
    let Command::Onbuild(onbuild) = &file.instructions[1].command else { panic!("not a trigger") };
    assert_eq!(parse_trigger(&onbuild.text).map(|one| one.command), Ok((*onbuild.trigger).clone()));
    assert!(parse_trigger("RUN a\nRUN b").is_err());
}

/// The instruction words and the number of heredocs, as `parse-dockerfile` sees them.
fn oracle(text: &str) -> Option<Vec<&'static str>> {
    use parse_dockerfile::Instruction as Theirs;
    let file = parse_dockerfile::parse(text).ok()?;
    let name = |one: &Theirs<'_>| match one {
        Theirs::Add(_) => "ADD",
        Theirs::Arg(_) => "ARG",
        Theirs::Cmd(_) => "CMD",
        Theirs::Copy(_) => "COPY",
        Theirs::Entrypoint(_) => "ENTRYPOINT",
        Theirs::Env(_) => "ENV",
        Theirs::Expose(_) => "EXPOSE",
        Theirs::From(_) => "FROM",
        Theirs::Healthcheck(_) => "HEALTHCHECK",
        Theirs::Label(_) => "LABEL",
        Theirs::Maintainer(_) => "MAINTAINER",
        Theirs::Onbuild(_) => "ONBUILD",
        Theirs::Run(_) => "RUN",
        Theirs::Shell(_) => "SHELL",
        Theirs::Stopsignal(_) => "STOPSIGNAL",
        Theirs::User(_) => "USER",
        Theirs::Volume(_) => "VOLUME",
        Theirs::Workdir(_) => "WORKDIR",
        _ => "?",
    };
    Some(file.instructions.iter().map(name).collect())
}

/// A line of a Dockerfile that is whole by itself.
fn a_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "RUN [a-z]{1,5}( && \\\\\n  [a-z]{1,5}){0,3}",
        "ENV [A-Z]{1,4}=[a-z0-9]{1,4}",
        "COPY [a-z]{1,4} /[a-z]{1,4}/",
        "# [a-z ]{0,10}",
        "WORKDIR /[a-z]{1,6}",
        "CMD \\[\"[a-z]{1,4}\"\\]",
        "RUN <<EOF\n([a-z #\\\\]{0,9}\n){0,3}EOF",
        "LABEL [a-z.]{1,6}=\"[a-z ]{0,6}\"",
        "USER [a-z]{1,5}",
        "EXPOSE [1-9][0-9]{1,3}",
        "ADD [a-z]{1,4} /[a-z]{1,4}",
        "",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}", lines in proptest::collection::vec("(FROM|RUN|COPY|ENV|ONBUILD|HEALTHCHECK|ARG|#)? ?[\\PC\\\\\"'<\\[$-]{0,30}\n", 0..8)) {
        let _ = parse(&text);
        let _ = parse(&format!("FROM a\n{}", lines.concat()));
    }

    #[test]
    fn another_parser_sees_the_same_instructions(lines in proptest::collection::vec(a_line(), 0..12)) {
        let text = format!("FROM busybox\n{}\n", lines.join("\n"));
        let ours = parse(&text).map(|file| file.instructions.iter().map(|one| one.command.name()).collect::<Vec<_>>());
        if let Some(theirs) = oracle(&text) {
            prop_assert_eq!(ours.ok(), Some(theirs));
        } else {
            prop_assert!(ours.is_ok(), "they refuse what we generate as whole: that is fine, but we must not");
        }
    }
}
