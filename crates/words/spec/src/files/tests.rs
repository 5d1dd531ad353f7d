//! Folders that can be served, and those that cannot.

use super::*;

fn tree(files: &[(&str, u64)]) -> FileTree {
    let entry = |size| FileEntry { sha256: "ab".repeat(32), size, modified: 0 };
    FileTree { files: files.iter().map(|(path, size)| ((*path).into(), entry(*size))).collect() }
}

#[test]
fn only_names_that_lead_down_and_are_not_hidden_are_served() {
    let good = |path: &str| tree(&[(path, 1)]).flaw().is_none();
    for path in ["a", "a/b.css", ".well-known/x", "a b", "ä", "a..b"] {
        assert!(good(path), "{path}");
    }
    for path in ["", "/a", "a/", "a//b", "../a", "a/./b", ".git/config", "a/.env", "a\nb", "a\\b"] {
        assert!(!good(path), "{path}");
    }
    assert!(!good(&"a".repeat(1025)));
}

#[test]
fn a_folder_has_bounds() {
    let flaw = |files: &[(&str, u64)]| tree(files).flaw().map(|flaw| flaw.to_string()).unwrap_or_default();
    assert_eq!(flaw(&[("a", 256 << 20), ("b", 256 << 20), ("c", 256 << 20), ("d", 256 << 20)]), "");
    assert!(flaw(&[("a", (256 << 20) + 1)]).starts_with("`a` has "));
    let long = flaw(&[("a", 256 << 20), ("b", 256 << 20), ("c", 256 << 20), ("d", 256 << 20), ("e", 1)]);
    assert!(long.starts_with("all files have "), "{long}");
    let names: Vec<String> = (0..=10_000).map(|number| number.to_string()).collect();
    let many: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    assert_eq!(flaw(&many), "it has 10001 files, and 10000 are the most");
    let mut tree = tree(&[("a", 1)]);
    tree.files.get_mut("a").expect("it is there").sha256 = "AB".repeat(32);
    assert_eq!(tree.flaw(), Some(TreeFlaw::Digest { path: "a".into() }));
}
