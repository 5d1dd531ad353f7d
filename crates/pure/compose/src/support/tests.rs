//! Tests of the support table.

use std::collections::BTreeSet;

use super::{TABLE, markdown};

#[test]
fn the_table_has_every_key_of_the_schema_once_and_in_order() {
    let theirs = crate::shape::tests::schema_paths();
    let ours: Vec<&str> = TABLE.iter().map(|row| row.path).collect();
    assert!(ours.is_sorted(), "the search is by halves");
    let set: BTreeSet<String> = ours.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(set.len(), ours.len());
    let missing: Vec<_> = theirs.difference(&set).collect();
    let extra: Vec<_> = set.difference(&theirs).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}\nextra {extra:?}");
}

#[test]
fn the_guide_shows_the_table() {
    const BEGIN: &str = "<!-- support table: written by a test, UPDATE_EXPECT=1 -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/guide/compose.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let (before, _) = guide.split_once(BEGIN).expect("the guide has a place for the table");
    let wanted = format!("{before}{BEGIN}\n{}", markdown());
    if std::env::var("UPDATE_EXPECT").is_ok() {
        std::fs::write(path, wanted).unwrap();
    } else {
        assert_eq!(guide, wanted, "run this test with UPDATE_EXPECT=1");
    }
}
