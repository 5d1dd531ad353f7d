//! Tests of which lists of paths are taken.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use proptest::prelude::proptest;

use super::*;

/// Paths between blanks; a slash at the end makes a folder. Says what is refused, and why.
#[track_caller]
fn check(paths: &str, expected: Expect) {
    let mut order = Order::default();
    let verdicts = paths.split(' ').map(|path| {
        let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty()).unwrap_or(path);
        order.admit(bare, bare != path).map_or_else(|error| error.to_string(), |()| "taken".to_owned())
    });
    let said: Vec<String> = verdicts.collect();
    expected.assert_eq(&said.join("\n"));
}

#[test]
fn a_list_in_order_is_taken() {
    check(
        "a a-b/ a-b/x a.b/ a.b/c/ a.b/c/d a.b/e b",
        expect![[r#"
            taken
            taken
            taken
            taken
            taken
            taken
            taken
            taken"#]],
    );
}

#[test]
fn what_could_lead_out_is_refused() {
    check(
        "../x a/../../x /etc . .. a//b ./a",
        expect![[r#"
            the sender's path `../x` is refused: it could lead out of the folder
            the sender's path `a/../../x` is refused: it could lead out of the folder
            the sender's path `/etc` is refused: it is empty, absolute or not clean
            the sender's path `.` is refused: it could lead out of the folder
            the sender's path `..` is refused: it could lead out of the folder
            the sender's path `a//b` is refused: it is empty, absolute or not clean
            the sender's path `./a` is refused: it could lead out of the folder"#]],
    );
}

#[test]
fn what_is_in_no_folder_is_refused() {
    check(
        "a a/b c/ c/d d/e c/f",
        expect![[r#"
            taken
            the sender's path `a/b` is refused: the folder that holds it is not in the list
            taken
            taken
            the sender's path `d/e` is refused: the folder that holds it is not in the list
            taken"#]],
    );
}

#[test]
fn what_comes_twice_or_too_late_is_refused() {
    check(
        "b/ b/c b/c b/a a b c",
        expect![[r#"
            taken
            taken
            the sender's path `b/c` is refused: it is out of order
            the sender's path `b/a` is refused: it is out of order
            the sender's path `a` is refused: it is out of order
            the sender's path `b` is refused: it is out of order
            taken"#]],
    );
}

proptest! {
    #[test]
    fn any_tree_that_is_walked_in_order_is_taken(paths in proptest::collection::btree_set("[a-c.-]{1,3}(/[a-c.-]{1,2}){0,3}", 0..20)) {
        let clean = |path: &&String| path.split('/').all(|name| name != "." && name != "..");
        let mut all: BTreeSet<Vec<&str>> = BTreeSet::new();
        let mut folders: BTreeSet<Vec<&str>> = BTreeSet::new();
        for path in paths.iter().filter(clean) {
            let parts: Vec<&str> = path.split('/').collect();
            for length in 1..parts.len() {
                folders.insert(parts[..length].to_vec());
            }
            all.insert(parts);
        }
        all.extend(folders.iter().cloned());
        let mut order = Order::default();
        for parts in &all {
            order.admit(&parts.join("/"), folders.contains(parts)).expect("it is in order");
        }
    }

    #[test]
    fn no_path_that_is_taken_leads_out(paths in proptest::collection::vec(".{0,12}", 0..12)) {
        let mut order = Order::default();
        for path in &paths {
            if order.admit(path, true).is_ok() {
                let names: Vec<&str> = path.split('/').collect();
                assert!(names.iter().all(|name| !["", ".", ".."].contains(name)), "{path:?}");
            }
        }
    }
}
