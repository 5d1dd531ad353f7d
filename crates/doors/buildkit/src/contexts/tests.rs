//! Tests of which contexts are kept, and how long.

use base::SystemClock;

use super::*;

fn open(dir: &Path, bound: u64) -> Contexts {
    Contexts::open_bounded(dir, SystemClock::shared(), bound).expect("the folder opens")
}

fn add(contexts: &Contexts, key: &str, bytes: u64) -> Arc<Tree> {
    let incoming = contexts.begin(key).expect("a place");
    fs::write(incoming.path().join("name"), key).expect("a file");
    contexts.keep(incoming, bytes).expect("it is kept")
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir.join("trees")).expect("a folder").count()
}

#[test]
fn the_next_tree_of_a_key_begins_with_the_last_one_which_then_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let contexts = open(dir.path(), 100);
    let first = add(&contexts, "k", 1);
    let incoming = contexts.begin("k").expect("a place");
    assert_eq!(incoming.earlier().as_deref(), Some(first.path()));
    let second = contexts.keep(incoming, 1).expect("it is kept");
    assert!(first.path().exists(), "a build reads it");
    let path = first.path().to_owned();
    drop(first);
    assert!(!path.exists(), "nobody reads it any more");
    assert!(second.path().exists());
}

#[test]
fn what_was_kept_is_found_again_and_what_was_broken_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let contexts = open(dir.path(), 100);
    let path = add(&contexts, "k", 7).path().to_owned();
    fs::create_dir(dir.path().join("incoming/stray")).expect("a folder");
    fs::create_dir(dir.path().join("trees/nonsense")).expect("a folder");
    drop(contexts);
    let contexts = open(dir.path(), 100);
    assert_eq!(contexts.begin("k").expect("a place").earlier(), Some(path));
    assert_eq!(contexts.usage().iter().map(|usage| usage.bytes).collect::<Vec<_>>(), [7]);
    assert_eq!(count(dir.path()), 1);
    assert_eq!(fs::read_dir(dir.path().join("incoming")).expect("a folder").count(), 0);
}

#[test]
fn a_tree_that_does_not_arrive_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let contexts = open(dir.path(), 100);
    let incoming = contexts.begin("k").expect("a place");
    let path = incoming.path().to_owned();
    drop(incoming);
    assert!(!path.exists());
}

#[test]
fn all_together_stay_below_the_bound() {
    let dir = tempfile::tempdir().expect("a folder");
    let contexts = open(dir.path(), 100);
    drop(add(&contexts, "a", 40));
    drop(add(&contexts, "b", 40));
    drop(add(&contexts, "c", 40));
    assert_eq!(contexts.usage().len(), 2);
    assert_eq!(count(dir.path()), 2);
    // The only one may be larger than the bound: the build that brought it needs it.
    drop(add(&contexts, "d", 400));
    assert_eq!(contexts.usage().len(), 1);
}

#[test]
fn pruning_spares_what_a_build_reads() {
    let dir = tempfile::tempdir().expect("a folder");
    let contexts = open(dir.path(), 100);
    let read = add(&contexts, "a", 1);
    drop(add(&contexts, "b", 2));
    let gone = contexts.prune(Timestamp(i64::MAX));
    assert_eq!(gone.iter().map(|usage| usage.bytes).collect::<Vec<_>>(), [2]);
    assert!(read.path().exists());
    assert_eq!(contexts.prune(Timestamp(0)), []);
}

#[test]
fn an_archive_goes_with_its_reader() {
    let dir = tempfile::tempdir().expect("a folder");
    let contexts = open(dir.path(), 100);
    let tree = contexts.keep_once(contexts.begin("k").expect("a place"), 1).expect("it is whole");
    assert!(tree.path().exists());
    drop(tree);
    assert_eq!(count(dir.path()), 0);
}
