//! Uses with and against the layers.

use super::{Crate, against, parse};

const LAYERS: &str =
    "# The layers.\nlayers = [\"ground\", \"pure\", \"rooms\"]\n\n[inside]\nbuild = [\"images\"]\n";

#[test]
fn a_crate_uses_what_lies_above_it() {
    check("plan", "base", "");
    check("images", "plan", "");
    check("plan", "images", "`plan` must not use `images`: `pure` lies above it");
    check("base", "plan", "`base` must not use `plan`: `ground` lies above it");
    check("images", "testkit", "`images` must not use `testkit`: `rooms` lies above it");
}

#[test]
fn inside_a_layer_only_listed_uses_stand() {
    check("build", "images", "");
    let advice = "`images` uses `build` of its own layer; that needs a decision page and `layers.toml`";
    check("images", "build", advice);
}

#[test]
fn tests_may_use_the_testkit() {
    let told = against(&parse(LAYERS), &[made("images", "crates/rooms/images", &[], &["testkit"])]);
    assert_eq!(told, []);
}

#[track_caller]
fn check(user: &str, used: &str, told: &str) {
    let all = [
        ("base", "crates/ground/base"),
        ("plan", "crates/pure/plan"),
        ("images", "crates/rooms/images"),
        ("build", "crates/rooms/build"),
        ("testkit", "testkit"),
    ];
    let uses = [used];
    let crates = all.map(|(name, folder)| made(name, folder, if name == user { &uses } else { &[] }, &[]));
    let found = against(&parse(LAYERS), &crates);
    assert_eq!(found.iter().map(|o| o.advice.as_str()).collect::<Vec<_>>().join("; "), told);
}

fn made(name: &str, folder: &str, uses: &[&str], tests_use: &[&str]) -> Crate {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Crate { name: name.to_owned(), folder: folder.to_owned(), uses: owned(uses), tests_use: owned(tests_use) }
}
