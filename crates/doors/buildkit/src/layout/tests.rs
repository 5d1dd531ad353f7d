//! Tests of what a Dockerfile looks like from outside.

use expect_test::{Expect, expect};

use super::*;

fn parse(text: &str) -> Dockerfile {
    build::dockerfile::parse(text).expect("it can be read")
}

/// The names of the steps, and what is needed.
#[track_caller]
fn check(text: &str, target: Option<&str>, contexts: &[&str], expected: Expect) {
    let file = parse(text);
    let contexts = contexts.iter().map(|name| (*name).to_owned()).collect();
    let layout = Layout::new(&file, &BTreeMap::from([("V".to_owned(), "9".to_owned())]), target, &contexts);
    let steps = file.instructions.iter().filter_map(|one| layout.step(one.span.start, &one.text));
    let images: Vec<&str> = layout.images.iter().map(String::as_str).collect();
    let lines: Vec<String> = steps.collect();
    expected.assert_eq(&format!("{}\nimages {}\n{:?}", lines.join("\n"), images.join(" "), layout.context));
}

#[test]
fn one_stage_has_no_name() {
    check(
        "FROM busybox\nENV A=1\nWORKDIR /x\nCOPY a b/ /\nRUN make\n",
        None,
        &[],
        expect![[r#"
            [1/4] FROM docker.io/library/busybox:latest
            [2/4] WORKDIR /x
            [3/4] COPY a b/ /
            [4/4] RUN make
            images docker.io/library/busybox:latest
            Paths({"a", "b"})"#]],
    );
}

#[test]
fn several_stages_have_names_and_unused_ones_are_left_out() {
    check(
        "ARG V=1\nFROM img:$V AS base\nRUN a\nFROM scratch AS unused\nCOPY . /\nFROM base\nCOPY --from=base x /\nCOPY --from=nginx y /\nRUN --mount=source=src,target=/m b\n",
        None,
        &[],
        expect![[r#"
            [base 1/2] FROM docker.io/library/img:9
            [base 2/2] RUN a
            [stage-2 1/3] COPY --from=base x /
            [stage-2 2/3] COPY --from=nginx y /
            [stage-2 3/3] RUN --mount=source=src,target=/m b
            images docker.io/library/img:9 docker.io/library/nginx:latest
            Paths({"src"})"#]],
    );
}

#[test]
fn a_target_leaves_the_rest_out() {
    check(
        "FROM a AS one\nRUN x\nFROM b\nCOPY . /\n",
        Some("one"),
        &[],
        expect![[r#"
            [one 1/2] FROM docker.io/library/a:latest
            [one 2/2] RUN x
            images docker.io/library/a:latest
            Nothing"#]],
    );
}

#[test]
fn all_of_the_context_is_needed_where_names_are_not_plain() {
    for source in [".", "./", "/", "$A", "\"x y\"", "../x", "a/../b"] {
        let layout = Layout::new(
            &parse(&format!("FROM a\nCOPY {source} /\n")),
            &BTreeMap::new(),
            None,
            &BTreeSet::new(),
        );
        assert_eq!(layout.context, Needed::All, "{source}");
    }
}

#[test]
fn a_named_context_is_no_image() {
    check(
        "FROM mine\nCOPY --from=other x /\n",
        None,
        &["mine", "other"],
        expect![[r#"
            [1/1] COPY --from=other x /
            images 
            Nothing"#]],
    );
}

#[test]
fn the_command_that_failed_is_told_as_it_ran() {
    let file = parse(
        "FROM a\nRUN one two\nRUN [\"x\", \"y z\"]\nSHELL [\"bash\", \"-ec\"]\nRUN three\nRUN <<EOF\nfour\nfive\nEOF\nFROM a\nRUN six\n",
    );
    let said: Vec<_> = (1..12).filter_map(|line| process(&file, line)).collect();
    assert_eq!(
        said,
        ["/bin/sh -c one two", "x y z", "bash -ec three", "bash -ec four\nfive", "/bin/sh -c six"]
    );
}
