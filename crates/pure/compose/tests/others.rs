//! Compose files that others wrote load, convert and print as the reference prints them.
//!
//! They lie beside the project, in `../shared/compose`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests; a failure is the test's answer")]

mod support;

use std::path::{Path, PathBuf};

use compose::{MemoryFiles, Request};
use support::{Case, oracle, ours};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/compose");
    let mut all: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect();
    all.sort();
    assert!(all.len() >= 20);
    all
}

/// What some of the files name beside them.
fn case(path: &Path) -> Case {
    let mut case = Case::default();
    case.set("compose.yaml", &std::fs::read_to_string(path).unwrap());
    for secret in ["db/password.txt", "password.txt"] {
        case.set(secret, "secret");
    }
    case.set(".env", "TUNNEL_TOKEN=x\n");
    case
}

#[test]
fn files_of_others_load_and_convert() {
    for path in files() {
        let mut files = MemoryFiles::default();
        let case = case(&path);
        for name in ["compose.yaml", "db/password.txt", "password.txt", ".env"] {
            files = files.with(format!("/app/{name}"), case.get(name));
        }
        let loaded = compose::load(&Request::new("/app"), &files)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let converted = loaded.project.app().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(converted.app.services.len(), loaded.project.services().len());
    }
}

#[test]
fn files_of_others_print_as_the_reference_prints_them() {
    // Without the reference's program there is nothing to compare with: the cases hold its answers then.
    let Ok(program) = std::env::var("SEA_COMPOSE_ORACLE") else { return };
    for path in files() {
        let case = case(&path);
        for json in [false, true] {
            let want = oracle(&program, &case, json);
            let got = ours(&case, json);
            assert_eq!(got, want, "{}", path.display());
        }
    }
}
