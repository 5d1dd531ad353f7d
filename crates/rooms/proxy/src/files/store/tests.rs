//! Files on a real disk: taken up whole or not at all, and kept while something names them.

use spec::FileEntry;

use super::*;

fn store() -> (FileStore, tempfile::TempDir) {
    let root = tempfile::tempdir().expect("a folder");
    (FileStore::under(root.path()), root)
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref())
}

fn list(files: &[(&str, &[u8])]) -> FileTree {
    let entry = |bytes: &[u8]| FileEntry { sha256: sha256(bytes), size: bytes.len() as u64, modified: 7 };
    FileTree { files: files.iter().map(|(path, bytes)| ((*path).into(), entry(bytes))).collect() }
}

#[test]
fn a_folder_is_kept_when_all_its_files_are() {
    let (store, root) = store();
    let list = list(&[("a", b"one"), ("b/c", b"two"), ("d", b"one")]);
    let (tree, missing) = store.register(&list).expect("a good list");
    assert_eq!(missing.len(), 2);
    assert!(!store.holds(&tree));
    for bytes in [b"one", b"two"] {
        store.receive(&sha256(bytes), &bytes[..]).expect("taken up");
    }
    assert_eq!(store.register(&list).expect("again"), (tree.clone(), Vec::new()));
    assert!(store.holds(&tree));
    let index = super::super::Index::read(&root.path().join("edge/files"), &tree).expect("a list");
    let entry = index.get("b/c").expect("it is there");
    assert_eq!(fs::read(index.place(entry)).expect("a file"), b"two");
    assert_eq!((&*entry.date, entry.size), ("Thu, 01 Jan 1970 00:00:07 GMT", 3));
}

#[test]
fn names_and_bytes_make_a_folder_and_times_do_not() {
    let (store, _root) = store();
    let tree = |list: &FileTree| store.register(list).expect("a good list").0;
    let one = list(&[("a", b"one")]);
    let mut later = one.clone();
    later.files.values_mut().for_each(|file| file.modified = 8);
    assert_eq!(tree(&one), tree(&later));
    assert_ne!(tree(&one), tree(&list(&[("b", b"one")])));
    assert_ne!(tree(&one), tree(&list(&[("a", b"two")])));
}

#[test]
fn what_is_not_what_it_was_said_to_be_is_refused_and_leaves_nothing() {
    let (store, root) = store();
    let wrong = store.receive(&sha256(b"one"), &b"two"[..]);
    assert!(matches!(wrong, Err(FilesError::Damaged { .. })), "{wrong:?}");
    let wrong = store.receive("../x", &b"two"[..]);
    assert!(matches!(wrong, Err(FilesError::Name { .. })), "{wrong:?}");
    let wrong = store.register(&list(&[("../a", b"one")]));
    assert!(matches!(wrong, Err(FilesError::Flaw { .. })), "{wrong:?}");
    let left = fs::read_dir(root.path().join("edge/files/incoming")).expect("a folder").count();
    assert_eq!(left, 0);
    assert!(!store.holds("../x"));
}

#[test]
fn what_nothing_names_goes_when_it_is_no_longer_young() {
    let (store, root) = store();
    let (old, new) = (list(&[("a", b"one"), ("b", b"both")]), list(&[("a", b"two"), ("b", b"both")]));
    for bytes in [&b"one"[..], b"two", b"both"] {
        store.receive(&sha256(bytes), bytes).expect("taken up");
    }
    let old = store.register(&old).expect("kept").0;
    let new = store.register(&new).expect("kept").0;
    let about = fs::metadata(root.path().join("edge/files")).expect("a folder");
    let now = Timestamp::from_secs(about.ctime());
    let kept = BTreeSet::from([new.clone()]);
    assert_eq!(store.sweep(&kept, now).expect("swept"), Swept::default(), "it is young");
    assert!(store.holds(&old));
    let length = fs::metadata(root.path().join(format!("edge/files/{old}.tree"))).expect("a list").len();
    let swept = store.sweep(&kept, Timestamp::from_secs(now.secs() + 3700)).expect("swept");
    assert_eq!(swept, Swept { folders: vec![old.clone()], files: 1, freed: Bytes(length + 3) });
    assert!(store.holds(&new) && !store.holds(&old));
    let there = |bytes: &[u8]| root.path().join("edge/files").join(sha256(bytes)).is_file();
    assert!(!there(b"one") && there(b"two") && there(b"both"));
}
