//! Links, names and mentions, good and bad.

use std::collections::BTreeSet;

use super::{changelog_name, dead_links, mentions};

#[test]
fn a_link_leads_to_a_file_a_folder_or_a_heading() {
    links("docs/a.md", "see [b](b.md), [c](guide/c.md#x) and [the root](../README.md)", "");
    links("docs/a.md", "see [b](missing.md)", "missing.md");
    links("docs/a.md", "see [all](guide/)", "");
    links("docs/a.md", "see [out](https://example.org/x)", "");
    links("docs/a.md", "# One thing\n[here](#one-thing) [there](#another)", "#another");
    links("docs/a.md", "```text\n[b](missing.md)\n```", "");
    links("a.md", "[up](../b.md)", "../b.md");
}

#[test]
fn a_changelog_file_is_named_after_what_the_user_gets() {
    assert!(changelog_name("first-voyage.md") && changelog_name("README.md"));
    assert!(!changelog_name("First.md") && !changelog_name(".md") && !changelog_name("a.txt"));
}

#[test]
fn a_place_of_one_machine_is_found_with_its_line() {
    let places = ["/here/main".to_owned()];
    let found: Vec<_> = mentions("a\nin /here/main/x\n", &places).collect();
    assert_eq!(found, [(2, "/here/main")]);
}

#[track_caller]
fn links(page: &str, text: &str, dead: &str) {
    let known = BTreeSet::from(["README.md", "docs/a.md", "docs/b.md", "docs/guide/c.md"]);
    let found: Vec<_> = dead_links(page, text, &known).into_iter().map(|(_, link)| link).collect();
    assert_eq!(found.join(", "), dead);
}
