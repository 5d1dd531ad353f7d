//! The layer cache: what is known is not done again, and what changed is.

use std::fs;

use super::world::World;
use crate::Progress;
use expect_test::expect;

const APP: &str = "FROM base:1 AS build\nWORKDIR /src\nCOPY go.sum .\nRUN echo fetched > deps\nCOPY src src\nARG V=1\nRUN echo $V > out\nFROM base:1\nCOPY --from=build /src/out /app\nCMD [\"/app\"]";

/// Which steps that make files came from the cache, by their number.
fn cached(world: &World, dockerfile: &str) -> Vec<usize> {
    let outcome = world.build(dockerfile);
    let settings: Vec<usize> = outcome
        .progress
        .iter()
        .filter_map(|event| match event {
            Progress::Started(step) if step.kind == crate::StepKind::Settings => Some(step.number),
            _ => None,
        })
        .collect();
    let steps = outcome.progress.iter().filter_map(|event| match event {
        // Counted from the first FROM: the context comes before it.
        Progress::Cached { step, .. } if !settings.contains(step) => Some(*step - 1),
        _ => None,
    });
    let mut steps: Vec<usize> = steps.collect();
    steps.sort_unstable();
    outcome.good();
    steps
}

fn world() -> World {
    let world = World::new();
    world.put(&[("src/main.c", "int main;"), ("go.sum", "sum")]);
    world
}

#[test]
fn a_second_build_does_nothing_and_gives_the_same_image() {
    let mut world = world();
    let first = world.build(APP).good();
    assert_eq!((first.steps, first.cached), (10, 0));
    let second = world.build(APP).good();
    assert_eq!((second.image.clone(), second.cached), (first.image.clone(), 8));
    world.reopen();
    assert_eq!(world.build(APP).good(), second, "it survives a restart");
    world.request.borrow_mut().no_cache = true;
    assert_eq!(world.build(APP).good().cached, 0);
    world.is_clean();
}

#[test]
fn a_change_redoes_what_depends_on_it_and_no_more() {
    let world = world();
    assert_eq!(cached(&world, APP), Vec::<usize>::new());
    // Only the content counts, not the time.
    fs::write(world.context().join("src/main.c"), "int main;").expect("a file in the context");
    assert_eq!(cached(&world, APP), [2, 3, 4, 5, 7, 9]);
    fs::write(world.context().join("src/main.c"), "changed").expect("a file in the context");
    // The last copy is of a file that came out the same.
    assert_eq!(cached(&world, APP), [2, 3, 4, 9]);
    world.put(&[("src/more.c", "")]);
    assert_eq!(cached(&world, APP), [2, 3, 4, 9]);
    world.request.borrow_mut().args.insert("V".into(), "2".into());
    assert_eq!(cached(&world, APP), [2, 3, 4, 5]);
    assert_eq!(cached(&world, &APP.replace("echo fetched", "echo fresh")), [2, 3, 9]);
    // A proxy is not counted.
    world.request.borrow_mut().args.insert("HTTP_PROXY".into(), "http://127.0.0.1:1".into());
    assert_eq!(cached(&world, APP), [2, 3, 4, 5, 7, 9]);
}

#[test]
fn a_linked_layer_is_known_whatever_is_below_it() {
    const LINKED: &str = "FROM base:1\nRUN echo 1 > x\nCOPY --link src /app/\nRUN echo 2 > y";
    let world = world();
    assert_eq!(cached(&world, LINKED), Vec::<usize>::new());
    assert_eq!(cached(&world, LINKED), [2, 3, 4]);
    let newer = LINKED.replace("echo 1", "echo one");
    assert_eq!(cached(&world, &newer), [3]);
    assert_eq!(cached(&world, &newer), [2, 3, 4]);
    let plain = newer.replace("--link ", "");
    // Made anew, and then the same as the linked one.
    assert_eq!(cached(&world, &plain), [2, 4]);
    expect![[r#"
        layer 1
          644 0:0 x = one
        layer 2
          755 0:0 app/
          644 0:0 app/main.c = int main;
        layer 3
          644 0:0 y = 2"#]]
    .assert_eq(&world.files(&newer));
    fs::write(world.context().join("src/main.c"), "changed").expect("a file in the context");
    assert_eq!(cached(&world, &newer), [2]);
    world.is_clean();
}

#[test]
fn the_same_inputs_give_the_same_digests_in_another_store() {
    let build = || {
        let world = world();
        world.request.borrow_mut().epoch = Some(1_700_000_000);
        let built = world.build(&format!("{APP}\nRUN mkdir /d && touch /d/x\nLABEL a=b")).good();
        let image = world.image(&built);
        (built.image, image.config.rootfs.diff_ids.clone(), image.config.created.clone())
    };
    let first = build();
    assert_eq!(first, build());
    assert_eq!(first.2.as_deref(), Some("2023-11-14T22:13:20.000000000Z"));
}

#[test]
fn unused_stages_are_not_built_and_a_target_ends_the_build() {
    let world = world();
    let file = "FROM base:1 AS a\nRUN touch /a\nFROM nowhere:1 AS never\nRUN touch /b\nFROM a AS c\nRUN touch /c\nFROM c AS d\nRUN touch /d";
    expect![[r#"
        layer 1
          644 0:0 a (empty)
        layer 2
          644 0:0 c (empty)
        layer 3
          644 0:0 d (empty)"#]]
    .assert_eq(&world.files(file));
    world.request.borrow_mut().target = Some("a".into());
    expect![[r#"
        layer 1
          644 0:0 a (empty)"#]]
    .assert_eq(&world.files(file));
    world.request.borrow_mut().target = Some("ac".into());
    expect![[r#"
        error: there is no stage `ac`
          hint: did you mean `a`?"#]]
    .assert_eq(&world.files(file));
    world.request.borrow_mut().target = Some("2".into());
    expect![[r#"
        layer 1
          644 0:0 a (empty)
        layer 2
          644 0:0 c (empty)"#]]
    .assert_eq(&world.files(file));
}

#[test]
fn what_a_crash_left_goes_when_the_builder_opens() {
    let mut world = world();
    let id = world.images.find("base:1").expect("the base image").id;
    world.images.snapshot(&id, "build-dead-1").expect("a snapshot");
    world.images.snapshot(&id, "shop-web-1").expect("a container's snapshot");
    fs::create_dir_all(world.dir.path().join("build/scratch/dead/context")).expect("a scratch folder");
    world.reopen();
    let keys: Vec<String> = world.images.snapshots().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["shop-web-1"]);
    world.images.drop_snapshot("shop-web-1").expect("it is there");
    world.is_clean();
}

#[test]
fn what_the_cache_holds_is_not_collected_and_what_was_collected_is_built_again() {
    let world = world();
    let first = world.build(APP).good();
    world.images.collect(&images::Keep::default(), false).expect("the store is sound");
    assert_eq!(world.build(APP).good().cached, 8);
    world
        .images
        .prune(
            images::Prune::All,
            &images::Keep { images: [world.images.find("base:1").expect("base").id].into(), snapshots: None },
            false,
        )
        .expect("the store is sound");
    let again = world.build(APP).good();
    assert_eq!((again.cached, again.steps), (0, first.steps));
    assert!(world.images.fsck().is_ok_and(|report| report.damage.is_empty()));
}

#[test]
fn an_image_that_tells_of_its_steps_spares_them_elsewhere() {
    let here = world();
    here.request.borrow_mut().args.insert("BUILDKIT_INLINE_CACHE".into(), "1".into());
    let built = here.build(APP).good();
    let mut archive = Vec::new();
    here.images.save(["built:1"], &mut archive).expect("the image is whole");
    // Another machine, which has the base image and this one.
    let there = world();
    there.images.load(&mut archive.as_slice(), &mut |_| ()).expect("the archive is whole");
    there.images.tag("built:1", &"other:1".parse().expect("a name")).expect("the name is free");
    let request = |from: &str, dockerfile: &str| crate::BuildRequest {
        cache_from: vec![from.to_owned()],
        args: [("BUILDKIT_INLINE_CACHE".to_owned(), "1".to_owned())].into(),
        ..there.wish(dockerfile)
    };
    let last = "FROM base:1\nCOPY src /app\nRUN echo done > /done\nCMD [\"/app\"]";
    let outcome = there.request(request("none:1", last));
    assert_eq!(
        outcome.warnings(),
        ["0: the image `none:1` of `--cache-from` is not here, so no step is taken from it"]
    );
    outcome.good();
    // Of the stages, only the last is told of; its step needs the other stage's result, which is done anew.
    let again = there.request(request("type=registry,ref=other:1", APP)).good();
    assert_eq!(again.cached, 1, "{again:?}");
    let image = there.image(&again);
    assert_eq!(image.chain, here.image(&built).chain, "the layer is the very same");
    there.is_clean();
}
