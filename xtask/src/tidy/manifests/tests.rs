//! Manifests that are wrong in one way each.

use super::offences;

const LINTS: &str = "[lints]\nworkspace = true\n";

#[test]
fn a_version_stands_in_the_root_alone() {
    check("crates/a/b/Cargo.toml", &format!("{LINTS}[dependencies]\nserde.workspace = true\n"), "");
    check("crates/a/b/Cargo.toml", &format!("{LINTS}[dependencies]\nserde = {{ workspace = true }}\n"), "");
    check("crates/a/b/Cargo.toml", &format!("{LINTS}[dev-dependencies]\nserde = \"1\"\n"), "4 versions");
    check("examples/harbour/Cargo.toml", "[dependencies]\nserde = \"1\"\n", "");
}

#[test]
fn default_features_are_off_everywhere() {
    check("Cargo.toml", "[workspace.dependencies]\na = { version = \"1\", default-features = false }\n", "");
    check("Cargo.toml", "[workspace.dependencies]\na = { path = \"crates/a\" }\n", "");
    check("Cargo.toml", "[workspace.dependencies]\n# ours\na = \"1\"\n", "3 default features");
}

#[test]
fn product_crates_have_no_build_script() {
    check("crates/a/b/build.rs", "", "1 build script");
    check("crates/rooms/build/src/build.rs", "", "");
    check("crates/app/build.rs", "", "");
    check("crates/a/b/Cargo.toml", &format!("[package]\nbuild = \"make.rs\"\n{LINTS}"), "2 build script");
}

#[test]
fn the_lock_file_is_short_and_from_one_place() {
    check("Cargo.lock", &"[[package]]\n".repeat(350), "");
    check("Cargo.lock", &"[[package]]\n".repeat(351), "1 locked packages");
    check("Cargo.lock", "source = \"git+https://example.org/a\"\n", "1 sources");
}

#[track_caller]
fn check(path: &str, text: &str, told: &str) {
    let found = offences(&[(path, text.to_owned())]).unwrap();
    assert_eq!(found.iter().map(|o| format!("{} {}", o.line, o.rule)).collect::<Vec<_>>().join(", "), told);
}
