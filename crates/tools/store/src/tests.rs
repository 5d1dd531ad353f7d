//! Documents and the journal, across reopening and failures.

use super::*;

use std::io::{Seek, SeekFrom, Write};

use base::{AppName, SystemClock};
use serde_json::Value;

const SHIPS: Table<String> = Table::new("ship");

fn open(path: &Path) -> Store {
    Store::open(path, SystemClock::shared()).expect("a new database opens")
}

fn sailed(name: &str) -> Entry {
    Entry {
        app: AppName::new("harbour").ok(),
        subject: format!("ship {name}"),
        event: "Sailed",
        message: format!("`{name}` sailed"),
        detail: Value::Null,
    }
}

#[tokio::test]
async fn what_is_written_is_there_after_reopening_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sea.db");
    let store = open(&path);
    for text in ["first", "second"] {
        store
            .write(move |tx| {
                SHIPS.put(tx, "beagle", &text.to_owned())?;
                tx.journal(&sailed("beagle"))
            })
            .await
            .expect("the change is taken");
    }
    drop(store);
    let store = open(&path);
    let rows = store.read(|view| SHIPS.list(view)).expect("rows");
    assert_eq!(rows, [Row { key: "beagle".into(), version: 2, value: "second".into() }]);
    let lines = store.journal(&JournalQuery { limit: 10, ..Default::default() }).expect("lines");
    assert_eq!(lines.iter().map(|l| l.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(*store.watch().borrow(), 2);
}

#[tokio::test]
async fn a_change_that_fails_leaves_nothing_and_harms_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("sea.db"));
    let bad = store.write(|tx| {
        SHIPS.put(tx, "a", &"a".to_owned())?;
        tx.journal(&sailed("a"))?;
        Err::<(), _>(StoreError::Closed)
    });
    let good = store.write(|tx| SHIPS.put(tx, "b", &"b".to_owned()));
    let (bad, good) = tokio::join!(bad, good);
    assert!(bad.is_err() && good.is_ok());
    let keys: Vec<_> =
        store.read(|view| SHIPS.list(view)).expect("rows").into_iter().map(|r| r.key).collect();
    assert_eq!(keys, ["b"]);
    assert!(store.journal(&JournalQuery { limit: 10, ..Default::default() }).expect("lines").is_empty());
}

#[tokio::test]
async fn a_prefix_selects_its_keys_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("sea.db"));
    store
        .write(|tx| ["a/1", "a/2", "ab", "b/1"].iter().try_for_each(|key| SHIPS.put(tx, key, &String::new())))
        .await
        .expect("written");
    let keys: Vec<_> =
        store.read(|view| SHIPS.list_under(view, "a/")).expect("rows").into_iter().map(|r| r.key).collect();
    assert_eq!(keys, ["a/1", "a/2"]);
}

#[tokio::test]
async fn the_last_lines_come_oldest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("sea.db"));
    for name in ["a", "b", "c"] {
        store.write(move |tx| tx.journal(&sailed(name))).await.expect("written");
    }
    let query = JournalQuery { limit: 2, last: true, ..Default::default() };
    let subjects: Vec<_> = store.journal(&query).expect("lines").into_iter().map(|l| l.subject).collect();
    assert_eq!(subjects, ["ship b", "ship c"]);
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sea.db");
    drop(open(&path));
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).expect("the file");
    file.seek(SeekFrom::Start(0)).expect("seek");
    file.write_all(b"this is no database").expect("write");
    drop(file);
    let before = std::fs::read(&path).expect("read");
    let error = Store::open(&path, SystemClock::shared()).err().expect("it is refused");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&path).expect("read"), before);
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sea.db");
    drop(open(&path));
    Connection::open(&path).and_then(|c| c.pragma_update(None, "user_version", 99)).expect("set");
    assert!(matches!(Store::open(&path, SystemClock::shared()), Err(OpenError::TooNew { version: 99, .. })));
}

#[tokio::test]
async fn what_was_seen_stands_in_order_with_what_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sea.db");
    let store = open(&path);
    for name in ["a", "b", "c"] {
        store.note(sailed(name)).await.expect("noted");
        store.write(move |tx| SHIPS.put(tx, name, &name.to_owned())).await.expect("written");
    }
    store.note(sailed("d")).await.expect("noted");
    drop(store);
    let lines = open(&path).journal(&JournalQuery { limit: 10, ..Default::default() }).expect("lines");
    let subjects: Vec<_> = lines.iter().map(|line| line.subject.as_str()).collect();
    assert_eq!(subjects, ["ship a", "ship b", "ship c", "ship d"]);
}

#[tokio::test]
async fn what_is_told_without_waiting_is_written_and_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sea.db");
    let store = open(&path);
    for name in ["a", "b"] {
        store.tell(sailed(name));
    }
    // Whoever cannot wait may also stand on a thread without a runtime.
    let other = store.clone();
    std::thread::spawn(move || other.tell(sailed("c"))).join().expect("told");
    drop(store);
    let lines = open(&path).journal(&JournalQuery { limit: 10, ..Default::default() }).expect("lines");
    let subjects: Vec<_> = lines.iter().map(|line| line.subject.as_str()).collect();
    assert_eq!(subjects, ["ship a", "ship b", "ship c"]);
}
