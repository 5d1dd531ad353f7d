//! Stages side by side, contexts by name, and what of the cache is left out.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::Report;
use expect_test::{Expect, expect};

use super::world::{BASE, World, brief, describe};
use crate::{
    BuildError, BuildRequest, Context, DockerfileSource, NamedContext, NoCache, Progress, RunOrder, Runner,
    StepKind, Stream,
};

/// Two stages that each wait for the other's file, and a third that takes both.
const PAIR: &str = "FROM base:1 AS a\n\
    RUN --mount=type=cache,id=c,target=/c touch /c/a; i=0; while [ ! -e /c/b ] && [ $i -lt 20000 ]; do i=$((i+1)); ls /c > /dev/null; done; [ -e /c/b ] && echo a > /a\n\
    FROM base:1 AS b\n\
    RUN --mount=type=cache,id=c,target=/c touch /c/b; i=0; while [ ! -e /c/a ] && [ $i -lt 20000 ]; do i=$((i+1)); ls /c > /dev/null; done; [ -e /c/a ] && echo b > /b\n\
    FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /";

#[test]
fn stages_that_do_not_need_each_other_run_at_the_same_time() {
    let world = World::new();
    let outcome = world.request(BuildRequest { jobs: NonZeroUsize::new(2), ..world.wish(PAIR) });
    if let Err(error) = &outcome.built {
        panic!("{}", describe(error));
    }
    // Every event is about a step that was planned and begun, and every step ends once.
    let mut open = BTreeSet::new();
    let mut planned = BTreeSet::new();
    for event in &outcome.progress {
        match event {
            Progress::Planned(steps) => planned.extend(steps.iter().map(|step| step.number)),
            Progress::Started(step) => assert!(planned.remove(&step.number) && open.insert(step.number)),
            Progress::Cached { step, .. } | Progress::Finished { step, .. } => assert!(open.remove(step)),
            Progress::Output { step, .. } | Progress::Moved { step, .. } => assert!(open.contains(step)),
            Progress::Failed { .. } | Progress::Warning { .. } => panic!("nothing goes wrong: {event:?}"),
        }
    }
    assert_eq!((open, planned), (BTreeSet::new(), BTreeSet::new()));
    world.is_clean();
}

#[test]
fn steps_say_where_they_belong_and_what_they_use() {
    let world = World::new();
    world.put(&[("f", "")]);
    let dockerfile =
        "FROM base:1 AS one\nENV A=1\nCOPY f /\nFROM one\nRUN true\nFROM base:1\nCOPY --from=0 /f /\nCMD x";
    let outcome = world.build(dockerfile);
    let steps = outcome.progress.iter().filter_map(|event| match event {
        Progress::Planned(steps) => Some(steps),
        _ => None,
    });
    let lines: Vec<String> = steps
        .flatten()
        .map(|step| format!("{} {} of {:?} after {:?}", step.number, step.title(), step.count, step.inputs))
        .collect();
    expect![[r#"
        1 [internal] load build context of None after []
        2 [one 1/2] FROM base:1 AS one of Some((1, 6)) after []
        3 [one] ENV A=1 of Some((2, 6)) after [2]
        4 [one 2/2] COPY f / of Some((3, 6)) after [3, 1]
        5 [stage-2 1/2] FROM base:1 of Some((4, 6)) after []
        6 [stage-2 2/2] COPY --from=0 /f / of Some((5, 6)) after [5, 4]
        7 [stage-2] CMD x of Some((6, 6)) after [6]
        8 exporting the image of None after [7]"#]]
    .assert_eq(&lines.join("\n"));
    outcome.good();
}

/// `fail` ends badly once another command runs; `wait` runs until it is called off.
#[derive(Default)]
struct Pair {
    waiting: AtomicUsize,
}

impl Runner for Pair {
    fn run(&self, order: &RunOrder<'_>, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32, Report> {
        if order.args.last().is_some_and(|arg| arg == "fail") {
            while self.waiting.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            output(Stream::Stdout, b"it goes wrong\n");
            return Ok(3);
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while !order.cancel.is_cancelled() {
            std::thread::yield_now();
        }
        Ok(137)
    }
}

#[test]
fn a_stage_that_fails_stops_the_others_and_is_the_reason() {
    let world = World::new();
    let dockerfile =
        "FROM base:1 AS a\nRUN wait\nRUN never\nFROM base:1 AS b\nRUN fail\nFROM a\nCOPY --from=b /x /";
    let request = BuildRequest { jobs: NonZeroUsize::new(2), ..world.wish(dockerfile) };
    let outcome = world.request_with(request, &Pair::default());
    let error = outcome.built.expect_err("a stage fails");
    expect![[r#"
        error: Dockerfile line 5: the command ended with exit code 3
           4 | FROM base:1 AS b
           5 > RUN fail
           6 | FROM a
        its last output:
          it goes wrong"#]]
    .assert_eq(&describe(&error));
    let failed = outcome.progress.iter().filter_map(|event| match event {
        Progress::Failed { why, .. } => Some(why.as_str()),
        _ => None,
    });
    let mut failed: Vec<&str> = failed.collect();
    failed.sort_unstable();
    expect![[r#"
        Dockerfile line 5: the command ended with exit code 3
        the build was cancelled
        the build was cancelled"#]]
    .assert_eq(&failed.join("\n"));
    world.is_clean();
}

#[track_caller]
fn check_contexts(dockerfile: &str, files: Expect) {
    let world = World::new();
    world.put(&[("f", "of the context"), ("more/f", "of another"), ("more/sub/g", "g")]);
    let more = || NamedContext::Files(Context::Folder(world.context().join("more")));
    let contexts = vec![
        ("more".to_owned(), more()),
        ("example.org/made:latest".to_owned(), more()),
        ("alias".to_owned(), NamedContext::Image(BASE.to_owned())),
    ];
    let outcome = world.request(BuildRequest { contexts, ..world.wish(dockerfile) });
    let shown = match &outcome.built {
        Ok(built) => super::world::show(&world.image(built)),
        Err(error) => brief(error),
    };
    files.assert_eq(&shown);
    world.is_clean();
}

#[test]
fn a_named_context_is_taken_before_a_stage_or_an_image() {
    check_contexts(
        "FROM base:1\nCOPY --from=more f /",
        expect![[r#"
        layer 1
          644 0:0 f = of another"#]],
    );
    check_contexts(
        "FROM base:1 AS more\nRUN never\nFROM base:1\nCOPY --from=more sub /",
        expect![[r#"
        layer 1
          644 0:0 g = g"#]],
    );
    check_contexts(
        "FROM base:1\nCOPY --from=alias /etc/group /\nRUN --mount=from=more,target=/m cat /m/sub/g > /g",
        expect![[r#"
            layer 1
              644 0:0 group = root:x:0:
            app:x:1001:
            staff:x:50:app
            layer 2
              644 0:0 g = g"#]],
    );
    check_contexts(
        "FROM alias\nRUN echo x > /x",
        expect![[r#"
        layer 1
          644 0:0 x = x"#]],
    );
    check_contexts(
        "FROM base:1 AS x\nFROM example.org/made\nCOPY f /own",
        expect![[r#"
        layer 1
          644 0:0 own = of the context"#]],
    );
}

#[test]
fn some_stages_can_be_done_anew_alone() {
    let world = World::new();
    let dockerfile = "FROM base:1 AS a\nRUN echo a > /a\nFROM base:1 AS b\nRUN echo b > /b\nFROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /";
    world.build(dockerfile).good();
    let anew = |no_cache| {
        let outcome = world.request(BuildRequest { no_cache, ..world.wish(dockerfile) });
        let mut cached: Vec<usize> = outcome
            .progress
            .iter()
            .filter_map(|event| if let Progress::Cached { step, .. } = event { Some(*step) } else { None })
            .collect();
        cached.sort_unstable();
        outcome.good();
        cached
    };
    assert_eq!(anew(NoCache::Never), [3, 5, 7, 8]);
    assert_eq!(anew(NoCache::Stages(vec!["A".into()])), [5, 7, 8]);
    assert_eq!(anew(NoCache::Always), Vec::<usize>::new());
}

#[test]
fn the_dockerfile_may_come_with_the_context() {
    let world = World::new();
    world.put(&[
        ("Dockerfile", "FROM base:1\nCOPY . /c"),
        ("sub/Other", "FROM base:1\nCOPY a /"),
        ("a", "a"),
        ("b/c", "c"),
        (".dockerignore", "b\nDockerfile\n.dockerignore\nsub"),
        ("sub/Other.dockerignore", "b"),
    ]);
    let build = |dockerfile: &str, pack: fn(Vec<u8>) -> Vec<u8>| {
        let mut tar = Vec::new();
        let none = crate::ignore::Ignore::none();
        crate::context::pack(&world.context(), &none, &mut tar, crate::context::Limits::default())
            .expect("the context is sound");
        let archive = Context::Archive(Box::new(std::io::Cursor::new(pack(tar))));
        let source = DockerfileSource::InContext(dockerfile.to_owned());
        match world.request(BuildRequest::new(archive, source)).built {
            Ok(built) => super::world::show(&world.image(&built)),
            Err(error) => brief(&error),
        }
    };
    let plain = build("", |tar| tar);
    expect![[r#"
        layer 1
          755 0:0 c/
          644 0:0 c/a = a"#]]
    .assert_eq(&plain);
    let gzip = |tar: Vec<u8>| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut out, &tar).expect("memory takes it");
        out.finish().expect("memory takes it")
    };
    assert_eq!(build("Dockerfile", gzip), plain);
    assert_eq!(build("Dockerfile", |tar| zstd::encode_all(&tar[..], 1).expect("memory takes it")), plain);
    expect![[r#"
        layer 1
          644 0:0 a = a"#]]
    .assert_eq(&build("sub/Other", |tar| tar));
    expect![[r#"
        error: there is no Dockerfile `../Dockerfiles` in the context
          hint: name another with `-f`; what `.dockerignore` takes is not looked at"#]]
    .assert_eq(&build("../Dockerfiles", |tar| tar));
    expect![[r#"
        error: the context is not a whole tar archive
          because: failed to read entire block"#]]
    .assert_eq(&build("Dockerfile", |mut tar| {
        tar.truncate(1100);
        tar
    }));
    expect![[r#"
        error: the context is not a whole tar archive
          because: crc truncated"#]]
    .assert_eq(&build("Dockerfile", |_| b"BZh91AY&SY".to_vec()));
    world.is_clean();
}

#[test]
fn platforms_other_than_ours_are_refused_and_ours_by_any_name_is_taken() {
    let world = World::new();
    let ours = oci::Platform::ours().to_string();
    let with = |platform: &str, dockerfile: &str| {
        let request = BuildRequest { platform: Some(platform.to_owned()), ..world.wish(dockerfile) };
        world.request(request).built.err().map(|error| brief(&error))
    };
    assert_eq!(with(&ours, "FROM base:1"), None);
    assert_eq!(with("linux", "FROM --platform=$BUILDPLATFORM base:1"), None);
    let refused = with("linux/s390x", "FROM base:1").expect("nothing is emulated");
    assert!(refused.contains("`--platform=linux/s390x` on a machine of"), "{refused}");
    // What only runs while building may be of this machine, whatever is built.
    assert!(matches!(
        world.request(world.wish("FROM --platform=windows/amd64 base:1")).built,
        Err(BuildError::Step(_))
    ));
    let kinds: Vec<StepKind> = world
        .build("FROM base:1\nENV A=1\nWORKDIR /")
        .progress
        .into_iter()
        .filter_map(|event| if let Progress::Started(step) = event { Some(step.kind) } else { None })
        .collect();
    use StepKind::{Export, Files, From, Settings};
    assert_eq!(kinds, [StepKind::Context, From, Settings, Files, Export]);
}
