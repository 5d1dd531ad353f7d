//! What a test needs of the machine. A test that lacks it fails and says so; it is never skipped.

use std::path::PathBuf;

/// Ends the test unless it runs as root.
#[expect(clippy::panic, reason = "a test that lacks a right must fail")]
pub fn require_root() {
    if !rustix::process::geteuid().is_root() {
        panic!("this test sets owners, makes devices or mounts: run it as root, or with `cargo xtask test`");
    }
}

/// The archives of real images in the folder that `SEA_TEST_IMAGES` names; none where it is not set.
///
/// Tests hold without them: they widen what is tried, and small made-up images try the rules.
pub fn real_images() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("SEA_TEST_IMAGES") else { return Vec::new() };
    let entries = std::fs::read_dir(folder).expect("SEA_TEST_IMAGES names a readable folder");
    let mut archives: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    archives.retain(|path| path.extension().is_some_and(|extension| extension == "tar"));
    archives.sort();
    archives
}
