//! Whole builds through the door, as buildx and older clients ask for them.

use std::collections::HashMap;
use std::fs;

use build::tree::Tree;
use bytes::Bytes;
use expect_test::{Expect, expect};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use prost::Message;

use crate::proto::control::{
    Exporter, InfoResponse, ListWorkersResponse, SolveRequest, SolveResponse, StatusResponse,
};
use crate::proto::gateway::{EvaluateRequest, ReadFileRequest, ReadFileResponse, ReturnRequest};
use crate::proto::{Empty, sessions::HealthResponse};
use crate::testing::{Client, Offer, Outcome, World, id};

const COPY: &str = "FROM scratch\nCOPY . /in/\n";

fn moby(name: &str) -> Vec<Exporter> {
    let attrs = HashMap::from([("name".to_owned(), name.to_owned())]);
    vec![Exporter { kind: "moby".into(), attrs }]
}

/// What people see of it: steps with their ends, output, warnings.
fn shown(status: &[StatusResponse]) -> String {
    let mut names = HashMap::new();
    let mut lines = Vec::new();
    for vertex in status.iter().flat_map(|status| &status.vertexes) {
        names.insert(vertex.digest.clone(), vertex.name.clone());
        if vertex.completed.is_some() {
            let end = match (vertex.cached, vertex.error.as_str()) {
                (true, _) => "cached".to_owned(),
                (false, "") => "done".to_owned(),
                (false, error) => error.to_owned(),
            };
            lines.push(format!("{}: {end}", vertex.name));
        }
    }
    for log in status.iter().flat_map(|status| &status.logs) {
        lines.push(format!("{} > {}", names[&log.vertex], String::from_utf8_lossy(&log.msg).trim_end()));
    }
    for warning in status.iter().flat_map(|status| &status.warnings) {
        lines.push(format!("{}! {}", names[&warning.vertex], String::from_utf8_lossy(&warning.short)));
    }
    lines.join("\n")
}

#[track_caller]
fn check(outcome: &Outcome, expected: Expect) {
    let end = match &outcome.solved {
        Ok(response) => {
            let mut keys: Vec<_> = response.exporter_response.keys().cloned().collect();
            keys.sort();
            format!("says {}", keys.join(", "))
        }
        Err(status) => format!("fails: {}", status.message),
    };
    expected.assert_eq(&format!("{}\n{end}\n", shown(&outcome.status)));
}

async fn build(dockerfile: &str, files: &[(&str, &str)], options: &[(&str, &str)]) -> Outcome {
    let world = World::new();
    let client = world.client(Offer::build(dockerfile, files)).await;
    client.build("one", options, moby("app:1")).await
}

#[tokio::test]
async fn a_build_ends_in_a_named_image() {
    let world = World::new();
    let client = world.client(Offer::build(COPY, &[("a/b.txt", "text"), ("c", "more")])).await;
    let outcome = client.build("one", &[], moby("app:1,other:2")).await;
    check(
        &outcome,
        expect![[r#"
            [internal] load build definition from Dockerfile: done
            [internal] load .dockerignore: done
            [internal] load build context: done
            [1/1] COPY . /in/: done
            exporting to image: done
            says containerimage.config.digest, containerimage.digest, image.name
        "#]],
    );
    let response = outcome.solved.expect("it went well").exporter_response;
    assert_eq!(response["image.name"], "docker.io/library/app:1,docker.io/library/other:2");
    let image = world.images.find("other:2").expect("it has that name");
    assert_eq!(image.id.to_string(), response["containerimage.digest"]);
    let tree = Tree::open(&image.lower).expect("its files");
    assert_eq!(tree.read("in/a/b.txt").expect("readable"), Some("text".to_owned()));
}

#[tokio::test]
async fn the_next_build_asks_only_for_what_changed() {
    let world = World::new();
    let first = world.client(Offer::build(COPY, &[("a", "1"), ("b", "2"), ("d/c", "3")])).await;
    first.build("one", &[], moby("app:1")).await.solved.expect("it went well");
    assert_eq!(asked(&first), "context/a context/b context/d/c dockerfile/Dockerfile");
    let second =
        world.client(Offer::build(COPY, &[("a", "1"), ("b", "changed"), ("d/c", "3"), ("e", "new")])).await;
    second.build("two", &[], moby("app:2")).await.solved.expect("it went well");
    assert_eq!(asked(&second), "context/b context/e");
    let image = world.images.find("app:2").expect("it has that name");
    let tree = Tree::open(&image.lower).expect("its files");
    assert_eq!(tree.read("in/b").expect("readable"), Some("changed".to_owned()));
    assert_eq!(tree.read("in/d/c").expect("readable"), Some("3".to_owned()));
}

fn asked(client: &Client) -> String {
    let mut all = client.asked.lock().expect("no test panics here").clone();
    all.sort();
    all.join(" ")
}

#[tokio::test]
async fn only_the_files_that_steps_name_travel() {
    let world = World::new();
    let text = "FROM scratch\nCOPY one /\nADD --chmod=600 sub/x /y\n";
    let client =
        world.client(Offer::build(text, &[("one", "1"), ("two", "2"), ("sub/x", "3"), ("sub/y", "4")])).await;
    client.build("one", &[], moby("app:1")).await.solved.expect("it went well");
    assert_eq!(asked(&client), "context/one context/sub/x dockerfile/Dockerfile");
}

#[tokio::test]
async fn what_the_ignore_file_takes_stays_with_the_client() {
    let world = World::new();
    let files = [(".dockerignore", "# secrets\n/secret\n"), ("secret", "no"), ("seen", "yes")];
    let client = world.client(Offer::build(COPY, &files)).await;
    client.build("one", &[], moby("app:1")).await.solved.expect("it went well");
    assert_eq!(
        asked(&client),
        "context/.dockerignore context/.dockerignore context/seen dockerfile/Dockerfile"
    );
}

#[tokio::test]
async fn a_failed_command_is_told_with_its_line() {
    let outcome = build("FROM scratch AS base\nRUN true\nFROM base\nRUN exit 3\n", &[], &[]).await;
    check(
        &outcome,
        expect![[r#"
            [internal] load build definition from Dockerfile: done
            [internal] load .dockerignore: done
            [base 1/1] RUN true: done
            [stage-1 1/1] RUN exit 3: process "/bin/sh -c exit 3" did not complete successfully: exit code: 3
            [base 1/1] RUN true > ran true
            [stage-1 1/1] RUN exit 3 > ran exit 3
            fails: process "/bin/sh -c exit 3" did not complete successfully: exit code: 3
        "#]],
    );
    let status = outcome.solved.expect_err("it failed");
    let kinds: Vec<_> = status.details.iter().map(|detail| detail.type_url.as_str()).collect();
    assert_eq!(
        kinds,
        ["github.com/moby/buildkit/errdefs.Vertex+json", "github.com/moby/buildkit/errdefs.Source+json"]
    );
    let source: serde_json::Value = serde_json::from_slice(&status.details[1].value).expect("JSON");
    assert_eq!(source["ranges"], serde_json::json!([{"start": {"line": 4}, "end": {"line": 4}}]));
    assert_eq!(source["info"]["filename"], "Dockerfile");
}

#[tokio::test]
async fn a_dockerfile_that_cannot_be_read_fails_before_anything_is_sent() {
    let outcome = build("FROM scratch\nCOPPY . /\n", &[("a", "1")], &[]).await;
    check(
        &outcome,
        expect![[r#"
            [internal] load build definition from Dockerfile: done
            [internal] load .dockerignore: done
            fails: dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)
        "#]],
    );
}

#[tokio::test]
async fn options_that_cannot_be_honoured_are_refused() {
    let cases = [
        (("platform", "linux/s390x"), "this machine builds for"),
        (("target", "nope"), "target stage \"nope\" could not be found"),
        (("filename", "Other"), "failed to read dockerfile: open Other: no such file or directory"),
        (("force-network-mode", "host"), "network.host is not allowed"),
        (("attest:provenance", "mode=max"), "the attestation `provenance` is not supported here"),
        (("build-arg:BUILDKIT_MULTI_PLATFORM", "1"), "an image of several platforms is not supported here"),
        (
            ("context", "http://127.0.0.1:1/x.git"),
            "could not fetch the git repository `http://127.0.0.1:1/x.git`: fatal: unable to access",
        ),
        (("context", "git@example.org:x"), "no SSH key \"default\" was given for the git repository"),
        (("context", "git://example.org/x?depth=1"), "invalid git context: unexpected query \"depth\""),
        (("context", "https://example.org/none"), "`https://example.org/none` answers 404"),
        (("made-up", "1"), "the option `made-up` of the frontend is not supported here"),
    ];
    for (option, expected) in cases {
        let outcome = build("FROM scratch\n", &[], &[option]).await;
        let message = outcome.solved.expect_err("it is refused").message;
        assert!(message.starts_with(expected), "{option:?} gives {message}");
    }
}

#[tokio::test]
async fn secrets_are_asked_for_when_a_command_needs_them() {
    let world = World::new();
    let mut offer = Offer::build("FROM scratch\nRUN --mount=type=secret,id=token true\n", &[]);
    offer.secrets.insert("token".into(), "s3cret".into());
    let client = world.client(offer).await;
    let outcome = client.build("one", &[], moby("app:1")).await;
    assert!(shown(&outcome.status).contains("/run/secrets/token is s3cret"), "{}", shown(&outcome.status));
}

#[tokio::test]
async fn base_images_are_asked_for_with_the_client_s_credentials() {
    let message =
        build("FROM registry.test/private\n", &[], &[]).await.solved.expect_err("there is none").message;
    let said = "registry.test/private is not for Some((\"me\", \"word\"))";
    assert!(message.contains(said), "{message}");
}

#[tokio::test]
async fn a_context_may_come_from_the_web() {
    let world = World::new();
    let client = world.client(Offer::default()).await;
    for (name, url, file, text) in [
        ("one", "https://example.org/a.tar", "a", "from afar"),
        ("two", "https://example.org/File", "alone", "FROM scratch\nCOPY context /alone\n"),
    ] {
        let outcome = client.build(name, &[("context", url)], moby(name)).await;
        outcome.solved.expect("it went well");
        let tree = Tree::open(&world.images.find(name).expect("it has that name").lower).expect("its files");
        assert_eq!(tree.read(file).expect("readable"), Some(text.to_owned()));
    }
}

#[tokio::test]
async fn a_result_goes_to_the_client_as_an_archive() {
    let world = World::new();
    let taken = world.dir.path().join("out.tar");
    let mut offer = Offer::build("FROM scratch\nCOPY a /x/\n", &[("a", "text")]);
    offer.taken = Some(taken.clone());
    let client = world.client(offer).await;
    let tar = vec![Exporter { kind: "tar".into(), ..Exporter::default() }];
    client.build("one", &[], tar).await.solved.expect("it went well");
    let mut archive = tar::Archive::new(fs::File::open(taken).expect("it was taken"));
    let names: Vec<_> = archive
        .entries()
        .expect("an archive")
        .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
        .collect();
    assert_eq!(names, ["x", "x/a"]);
}

#[tokio::test]
async fn a_result_of_one_build_is_a_context_of_another() {
    let world = World::new();
    let base = world.client(Offer::build("FROM scratch\nCOPY a /base/\n", &[("a", "1")])).await;
    let open =
        SolveRequest { reference: "base".into(), session: base.session.clone(), ..SolveRequest::default() };
    let whole = base.channel.clone();
    let whole =
        tokio::spawn(
            async move { whole.call::<SolveResponse>("/moby.buildkit.v1.Control/Solve", &open).await },
        );
    let first = base.solve("base", &[], HashMap::new()).await.expect("it is planned");
    let graph = match first.result.as_ref().and_then(|result| result.place.clone()) {
        Some(crate::proto::gateway::Place::Ref(one)) => one.def.expect("it has a graph"),
        other => panic!("one result: {other:?}"),
    };

    let top = world.client(Offer::build("FROM mine\nCOPY b /top/\n", &[("b", "2")])).await;
    let open = SolveRequest {
        reference: "top".into(),
        session: top.session.clone(),
        exporters: moby("top:1"),
        ..SolveRequest::default()
    };
    let second = async {
        let inputs = HashMap::from([("base-graph".to_owned(), graph)]);
        let options = [("context:mine", "input:base-graph")];
        let planned = top.solve("top", &options, inputs).await.expect("it is planned");
        let request = ReturnRequest { result: planned.result, error: None };
        let _: Empty = top.gateway("top", "Return", &request).await.expect("it is taken");
    };
    let (solved, ()) =
        tokio::join!(top.channel.call::<SolveResponse>("/moby.buildkit.v1.Control/Solve", &open), second);
    solved.expect("it went well");
    let image = world.images.find("top:1").expect("it has that name");
    let tree = Tree::open(&image.lower).expect("its files");
    assert_eq!(tree.read("base/a").expect("readable"), Some("1".to_owned()));
    let _: Empty = base
        .gateway("base", "Return", &ReturnRequest { result: first.result, error: None })
        .await
        .expect("it is taken");
    whole.await.expect("no panic").expect("it went well");
}

#[tokio::test]
async fn a_conductor_may_look_into_a_result() {
    let world = World::new();
    let client = world.client(Offer::build("FROM scratch\nCOPY a /x/\n", &[("a", "0123456789")])).await;
    let open =
        SolveRequest { reference: "one".into(), session: client.session.clone(), ..SolveRequest::default() };
    let channel = client.channel.clone();
    let whole =
        tokio::spawn(
            async move { channel.call::<SolveResponse>("/moby.buildkit.v1.Control/Solve", &open).await },
        );
    let planned = client.solve("one", &[], HashMap::new()).await.expect("it is planned");
    let reference = id(&planned);
    let _: Empty = client
        .gateway("one", "Evaluate", &EvaluateRequest { reference: reference.clone() })
        .await
        .expect("it is built");
    let part = crate::proto::gateway::FileRange { offset: 2, length: 3 };
    let request = ReadFileRequest { reference, path: "/x/a".into(), range: Some(part) };
    let read: ReadFileResponse = client.gateway("one", "ReadFile", &request).await.expect("it is read");
    assert_eq!(read.data, b"234");
    drop(whole);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_build() {
    let world = World::new();
    let client = world.client(Offer::build("FROM scratch\nRUN forever\n", &[])).await;
    let mut watch = world.connect().await.stream("/moby.buildkit.v1.Control/Status", &[]).expect("a call");
    watch.send(&crate::proto::control::StatusRequest { reference: "one".into() }).await.expect("it is taken");
    let building = tokio::spawn(async move { client.build("one", &[], moby("app:1")).await });
    let mut seen = String::new();
    while !seen.contains("ran forever") {
        let status = watch.next::<StatusResponse>().await.expect("progress comes").expect("it is not over");
        seen.push_str(&shown_logs(&status));
    }
    // Its call goes. The command would run forever.
    building.abort();
    while watch.next::<StatusResponse>().await.expect("progress comes").is_some() {}
}

fn shown_logs(status: &StatusResponse) -> String {
    status.logs.iter().map(|log| String::from_utf8_lossy(&log.msg).into_owned()).collect()
}

#[tokio::test]
async fn a_session_may_run_inside_a_call() {
    let world = World::new();
    let mut client = world.client(Offer::default()).await;
    let mut offer =
        Offer::build("FROM scratch\nRUN --mount=type=secret,id=token true\nCOPY . /in\n", &[("a", "1")]);
    offer.secrets.insert("token".into(), "inside".into());
    client.nested_session("inner", offer);
    client.session = "inner".into();
    let outcome = client.build("one", &[], moby("app:1")).await;
    assert!(shown(&outcome.status).contains("/run/secrets/token is inside"), "{}", shown(&outcome.status));
    outcome.solved.expect("it went well");
}

#[tokio::test]
async fn the_builder_says_what_it_is() {
    let world = World::new();
    let channel = world.connect().await;
    let info: InfoResponse =
        channel.call("/moby.buildkit.v1.Control/Info", &Empty {}).await.expect("an answer");
    assert_eq!(info.version.expect("a version").version, "v1.2.3");
    let workers: ListWorkersResponse =
        channel.call("/moby.buildkit.v1.Control/ListWorkers", &Empty {}).await.expect("an answer");
    // A label of a snapshotter would tell buildx that images go elsewhere than into this store.
    assert_eq!(workers.record.len(), 1);
    assert!(workers.record[0].labels.is_empty());
    let health: HealthResponse =
        channel.call("/grpc.health.v1.Health/Check", &Empty {}).await.expect("an answer");
    assert_eq!(health.status, 1);
    let missing = channel.call::<Empty>("/moby.buildkit.v1.Control/ListenBuildHistory", &Empty {}).await;
    assert_eq!(missing.expect_err("there is none").code, crate::grpc::Code::Unimplemented);
}

#[tokio::test]
async fn questions_about_a_dockerfile_are_answered_without_a_build() {
    let text = "ARG V=1\n# base the base\nFROM scratch AS base\nFROM base\nARG X=2\nRUN --mount=type=secret,id=t true\n";
    let world = World::new();
    let client = world.client(Offer::build(text, &[])).await;
    let mut answers = Vec::new();
    for name in ["frontend.targets", "frontend.outline", "frontend.lint"] {
        let open = SolveRequest {
            reference: name.into(),
            session: client.session.clone(),
            ..SolveRequest::default()
        };
        let channel = client.channel.clone();
        let whole = tokio::spawn(async move {
            channel.call::<SolveResponse>("/moby.buildkit.v1.Control/Solve", &open).await
        });
        let options = [("requestid", name), ("frontend.caps", "moby.buildkit.frontend.subrequests+forward")];
        let answer = client.solve(name, &options, HashMap::new()).await.expect("an answer");
        let metadata = answer.result.expect("a result").metadata;
        answers.push(String::from_utf8_lossy(&metadata["result.txt"]).into_owned());
        drop(whole);
    }
    expect![[r#"
        TARGET      DESCRIPTION
        base        the base
        (default)

        BUILD ARG   VALUE   DESCRIPTION
        V           1
        X           2

    "#]]
    .assert_eq(&answers.join("\n"));
}

/// The lines of an old client's answer: what kind each is, and the last one whole.
async fn old(world: &World, query: &str, body: Vec<u8>) -> (Vec<StatusResponse>, serde_json::Value) {
    let request = Request::post(format!("/build?version=2&{query}"))
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    let response = world.door.build(request).await.expect("it is taken");
    let text = response.into_body().collect().await.expect("it ends").to_bytes();
    let lines: Vec<serde_json::Value> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    let traces = lines.iter().filter(|line| line["id"] == "moby.buildkit.trace").map(|line| {
        let bytes =
            data_encoding::BASE64.decode(line["aux"].as_str().expect("text").as_bytes()).expect("base64");
        StatusResponse::decode(Bytes::from(bytes)).expect("a status")
    });
    (traces.collect(), lines.last().cloned().unwrap_or_default())
}

#[tokio::test]
async fn an_old_client_builds_with_files_of_its_session() {
    let world = World::new();
    let client = world.client(Offer::build(COPY, &[("a", "1")])).await;
    let query = format!("remote=client-session&session={}&t=app%3A1", client.session);
    let (status, last) = old(&world, &query, Vec::new()).await;
    expect![[r#"
        [internal] load build definition from Dockerfile: done
        [internal] load .dockerignore: done
        [internal] load build context: done
        [1/1] COPY . /in/: done
        exporting to image: done"#]]
    .assert_eq(&shown(&status));
    let image = world.images.find("app:1").expect("it has that name");
    assert_eq!(last, serde_json::json!({"id": "moby.image.id", "aux": {"ID": image.id.to_string()}}));
}

#[tokio::test]
async fn an_old_client_builds_what_comes_with_its_request() {
    let world = World::new();
    let archive = testkit::tar(&[
        testkit::Entry::file("sub/File", "FROM scratch\nARG WHO\nRUN echo $WHO\nCOPY a /\n"),
        testkit::Entry::file("a", "text"),
    ]);
    let query = "dockerfile=sub%2FFile&buildargs=%7B%22WHO%22%3A%22me%22%2C%22NO%22%3Anull%7D&q=1&t=app%3A1";
    let (status, last) = old(&world, query, archive).await;
    assert!(status.is_empty(), "it was to be quiet");
    let image = world.images.find("app:1").expect("it has that name");
    assert_eq!(last, serde_json::json!({"stream": format!("{}\n", image.id)}));
}

#[tokio::test]
async fn an_old_client_sees_why_its_build_failed() {
    let world = World::new();
    let archive = testkit::tar(&[testkit::Entry::file("Dockerfile", "FROM scratch\nRUN exit 7\n")]);
    let (_, last) = old(&world, "", archive).await;
    let message = "process \"/bin/sh -c exit 7\" did not complete successfully: exit code: 7";
    assert_eq!(last, serde_json::json!({"errorDetail": {"message": message}, "error": message}));
}

#[tokio::test]
async fn an_old_client_s_context_may_come_with_a_second_request() {
    let world = World::new();
    let archive = testkit::tar(&[testkit::Entry::file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let bring = async {
        let request =
            Request::post("/build?version=2&buildid=upload-request:b1").body(Full::new(Bytes::from(archive)));
        world.door.build(request.expect("a request")).await.map(drop).map_err(|report| report.message)
    };
    let ((_, last), brought) =
        tokio::join!(old(&world, "remote=upload-request&buildid=b1&t=app%3A1", Vec::new()), bring);
    assert_eq!(brought, Ok(()), "{last}");
    assert_eq!(last["id"], "moby.image.id");
    world.images.find("app:1").expect("it has that name");
}

#[tokio::test]
async fn an_old_client_may_call_its_build_off() {
    let world = World::new();
    let archive = testkit::tar(&[testkit::Entry::file("Dockerfile", "FROM scratch\nRUN forever\n")]);
    let door = world.door.clone();
    let request = Request::post("/build?version=2&buildid=b1")
        .body(Full::new(Bytes::from(archive)))
        .expect("a request");
    let mut body = door.build(request).await.expect("it is taken").into_body();
    let (mut last, mut called_off) = (serde_json::Value::Null, false);
    while let Some(frame) = body.frame().await {
        let data = frame.expect("it comes").into_data().expect("a line");
        last = serde_json::from_slice(&data).expect("JSON");
        let bytes = data_encoding::BASE64
            .decode(last["aux"].as_str().unwrap_or_default().as_bytes())
            .unwrap_or_default();
        let status = StatusResponse::decode(Bytes::from(bytes)).unwrap_or_default();
        if shown_logs(&status).contains("ran forever") && !called_off {
            called_off = true;
            door.cancel("b1");
        }
    }
    assert_eq!(last["error"], "context canceled");
}
