//! Tests of layers read in place, against what overlayfs shows.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

fn layers() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let (top, low) = (dir.path().join("top"), dir.path().join("low"));
    for path in ["low/a/b", "low/hidden/x", "low/gone", "top/a", "top/hidden"] {
        fs::create_dir_all(dir.path().join(path)).expect("a folder of a layer");
    }
    fs::write(low.join("a/b/file"), "low").expect("a file of a layer");
    fs::write(low.join("a/both"), "low").expect("a file of a layer");
    fs::write(top.join("a/both"), "top").expect("a file of a layer");
    fs::write(dir.path().join("outside"), "secret").expect("a file outside");
    symlink("/a/b", low.join("to-b")).expect("a link");
    symlink("../../../../outside", low.join("escape")).expect("a link");
    symlink("loop", low.join("loop")).expect("a link");
    symlink("../../a", low.join("a/b/up")).expect("a link");
    let whiteout = rustix::fs::makedev(0, 0);
    rustix::fs::mknodat(CWD, top.join("gone"), FileType::CharacterDevice, Mode::empty(), whiteout)
        .expect("the test runs as root");
    rustix::fs::setxattr(top.join("hidden"), "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())
        .expect("the test runs as root");
    let tree = Tree::open([&top, &low]).expect("both layers are there");
    (dir, tree)
}

#[track_caller]
fn check(tree: &Tree, path: &str, found: &str) {
    let shown = match tree.find(Path::new(path), true) {
        Err(error) => format!("error: {:?}", error.kind()),
        Ok(Found { path, node: None }) => format!("nothing at {}", path.display()),
        Ok(Found { path, node: Some(node) }) => match &node {
            Node::Folder(folder, _) => format!("{}: {:?}", path.display(), folder.names().expect("readable")),
            Node::Link(..) => "a link".to_owned(),
            Node::Other(..) => {
                let text = tree.read(&path.to_string_lossy()).expect("readable").unwrap_or_default();
                format!("{}={text}", path.display())
            }
        },
    };
    assert_eq!(shown, found, "{path}");
}

#[test]
fn layers_hide_each_other_as_in_an_overlay() {
    let (_dir, tree) = layers();
    check(&tree, "/", ": [\"a\", \"escape\", \"hidden\", \"loop\", \"to-b\"]");
    check(&tree, "a", "a: [\"b\", \"both\"]");
    check(&tree, "a/both", "a/both=top");
    check(&tree, "/a/b/file", "a/b/file=low");
    check(&tree, "hidden", "hidden: []");
    check(&tree, "gone", "nothing at gone");
    check(&tree, "new/deep", "nothing at new/deep");
}

#[test]
fn links_are_followed_within_the_tree_and_never_out_of_it() {
    let (_dir, tree) = layers();
    check(&tree, "to-b/file", "a/b/file=low");
    check(&tree, "to-b/up/both", "a/both=top");
    check(&tree, "to-b/../both", "a/both=top");
    check(&tree, "escape", "nothing at outside");
    check(&tree, "../../../a/both", "a/both=top");
    check(&tree, "loop", "error: FilesystemLoop");
    check(&tree, "a/both/x", "error: NotADirectory");
    check(&tree, "missing/../a/both", "a/both=top");
}
