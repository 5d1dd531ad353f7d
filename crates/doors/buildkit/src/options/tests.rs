//! Tests of reading a client's options.

use bytes::Bytes;
use expect_test::{Expect, expect};
use prost::Message;

use super::*;
use crate::proto::ops::SourceOp;

fn read(options: &[(&str, &str)]) -> Result<Options, String> {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Options::read(&options, &HashMap::new()).map_err(|status| status.message)
}

#[track_caller]
fn refused(options: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&read(options).expect_err("it is refused"));
}

#[test]
fn what_is_not_said_has_its_usual_value() {
    let options = read(&[]).expect("nothing is wrong");
    assert_eq!(options.filename, "Dockerfile");
    assert_eq!(options.dockerfile_dir, "dockerfile");
    assert_eq!(options.context, ContextSource::Local("context".into()));
    assert_eq!(options.no_cache, NoCache::Never);
}

#[test]
fn options_of_a_build_are_read() {
    let options = read(&[
        ("filename", "sub/File"),
        ("target", "t"),
        ("build-arg:A", "1=2"),
        ("label:l", "v"),
        ("no-cache", "one,two"),
        ("force-network-mode", "none"),
        ("add-hosts", "One=10.0.0.1,six=::1"),
        ("shm-size", "123"),
        ("ulimit", "nofile=10:20,core=-1"),
        ("image-resolve-mode", "pull"),
        ("context:Mine", "docker-image://other"),
        ("context:docker.io/library/alpine:latest", "local:dir"),
        ("dockerfilekey", "there"),
        ("cache-imports", r#"[{"Type":"registry","Attrs":{"ref":"r"}},{"Type":"inline"}]"#),
        ("local-sessionid:context", "s"),
        ("sharedkey:localdir:context", "k"),
        ("vcs:revision", "r"),
    ])
    .expect("nothing is wrong");
    assert_eq!(options.filename, "sub/File");
    assert_eq!(options.args["A"], "1=2");
    assert_eq!(options.no_cache, NoCache::Stages(vec!["one".into(), "two".into()]));
    assert_eq!(options.network, RunNetwork::None);
    assert_eq!(options.hosts, [("one".into(), "10.0.0.1".into()), ("six".into(), "::1".into())]);
    assert_eq!(options.ulimits["nofile"], Ulimit { soft: 10, hard: 20 });
    assert!(options.pull);
    assert_eq!(options.contexts["mine"], NamedContext::Image("other".into()));
    assert_eq!(options.contexts["alpine"], NamedContext::Local("dir".into()));
    assert_eq!((options.dockerfile_dir.as_str(), options.dockerfile_apart), ("there", true));
    assert_eq!(options.cache_imports, ["r", "inline"]);
}

#[test]
fn contexts_come_from_several_places() {
    let context = |value: &str| read(&[("context", value)]).expect("nothing is wrong").context;
    assert_eq!(context("local:other"), ContextSource::Local("other".into()));
    assert_eq!(context("http://buildkit-session/abc"), ContextSource::Upload("/abc".into()));
    assert_eq!(context("request:abc"), ContextSource::Request("abc".into()));
    assert_eq!(context("https://example.org/x.tar"), ContextSource::Url("https://example.org/x.tar".into()));
    let keyed = read(&[("contextkey", "mine"), ("mine", "local:x")]).expect("nothing is wrong");
    assert_eq!(keyed.context, ContextSource::Local("x".into()));
}

#[test]
fn graphs_stand_for_results_and_images() {
    let graph = |sources: &[&str]| {
        let op = |source: &&str| {
            let source = Some(SourceOp { identifier: (*source).to_owned(), attrs: HashMap::new() });
            Bytes::from(Op { inputs: Vec::new(), source }.encode_to_vec())
        };
        Definition { def: sources.iter().map(op).collect(), metadata: HashMap::new() }
    };
    let context = |sources: &[&str]| {
        let inputs = HashMap::from([("g".to_owned(), graph(sources))]);
        let options = HashMap::from([("context:c".to_owned(), "input:g".to_owned())]);
        Options::read(&options, &inputs)
            .map(|mut options| options.contexts.remove("c"))
            .map_err(|status| status.message)
    };
    let result = format!("{RESULT}one-1");
    assert_eq!(context(&[&result]), Ok(Some(NamedContext::Result("one-1".into()))));
    assert_eq!(context(&["docker-image://x"]), Ok(Some(NamedContext::Image("x".into()))));
    let refused = Err("the graph behind the context `c` is not supported here".to_owned());
    assert_eq!(context(&["git://x"]), refused);
    assert_eq!(context(&["docker-image://x", "docker-image://y"]), refused);
    assert_eq!(context(&[]), refused);
}

#[test]
fn what_is_not_done_here_is_refused() {
    refused(&[("hostname", "me")], expect!["the option `hostname` is not supported here"]);
    refused(&[("force-network-mode", "mine")], expect!["invalid netmode mine"]);
    refused(&[("image-resolve-mode", "never")], expect!["invalid image-resolve-mode: never"]);
    refused(&[("shm-size", "big")], expect!["`big` is no number for `shm-size`"]);
    refused(&[("multi-platform", "true")], expect!["an image of several platforms is not supported here"]);
    refused(
        &[("context:x", "oci-layout://y")],
        expect!["the context `x` of the kind `oci-layout` is not supported here"],
    );
    refused(
        &[("context:x", "input:y")],
        expect!["the context `x` is the input `y`, which did not come along"],
    );
    refused(
        &[("frontend.caps", "moby.buildkit.frontend.inputs,other")],
        expect!["unsupported frontend capability other"],
    );
    refused(&[("attest:sbom", "")], expect!["the attestation `sbom` is not supported here"]);
}

#[test]
fn only_docker_s_own_frontend_is_built_in() {
    for image in [
        "docker/dockerfile:1",
        "docker.io/docker/dockerfile:1.7-labs",
        "docker/dockerfile-upstream:master@sha256:00",
        "dockerfile.v0",
    ] {
        assert_eq!(frontend_image(image), Ok(()), "{image}");
    }
    let error = frontend_image("example.org/other:1").expect_err("it is refused").message;
    assert!(error.starts_with("the frontend image `example.org/other:1`"), "{error}");
}

#[test]
fn platforms_are_compared_with_ours() {
    let ours = Platform::new("linux", "amd64");
    let check = |text: &str| {
        let options = Options { platforms: vec![text.to_owned()], ..Options::default() };
        options.check_platforms(&ours).is_ok()
    };
    for text in ["linux/amd64", "linux/x86_64", "amd64", "linux/amd64/v1"] {
        assert!(check(text), "{text}");
    }
    for text in ["linux/arm64", "windows/amd64", "linux/amd64/v3", "a/b/c/d", "/", ""] {
        assert!(!check(text), "{text:?}");
    }
}
