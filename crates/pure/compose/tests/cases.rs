//! Every case under `tests/cases` gives the output that the reference implementation gives.
//!
//! A case is one text file with sections: the files of a folder `/app`, an `args` and an `env` section, and what
//! `config` and `config --format json` print. The expected sections were written by the reference implementation
//! (docker compose 2.40.3). With `SEA_COMPOSE_ORACLE` naming its program the test asks it again, live; with
//! `UPDATE_EXPECT=1` as well, it rewrites the expected sections with the answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests; a failure is the test's answer")]

mod support;

use std::path::{Path, PathBuf};

use support::{Case, oracle, ours};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn cases() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn every_case_prints_what_the_reference_prints() {
    let oracle_program = std::env::var("SEA_COMPOSE_ORACLE").ok();
    let update = std::env::var("UPDATE_EXPECT").is_ok();
    let paths = cases();
    assert!(paths.len() >= 60, "only {} cases", paths.len());
    let mut wrong = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut case = Case::read(path);
        for (section, json) in [("expected.yaml", false), ("expected.json", true)] {
            if let Some(program) = &oracle_program {
                let answer = oracle(program, &case, json).unwrap_or_else(|_| "refused\n".into());
                if update {
                    case.set(section, &answer);
                } else if case.get(section).trim_end() != answer.trim_end() {
                    wrong.push(format!("{name}: the reference says something else now:\n{answer}"));
                }
            }
            let got = ours(&case, json).unwrap_or_else(|error| format!("refused: {error}"));
            if case.get(section).trim() == "refused" && got.starts_with("refused") {
                continue;
            }
            if got.trim_end() != case.get(section).trim_end() {
                wrong.push(format!("{name} {section}:\n{}", diff(case.get(section), &got)));
            }
        }
        if update && oracle_program.is_some() {
            case.write(path);
        }
    }
    assert!(wrong.is_empty(), "{} differences\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn printing_again_what_was_printed_changes_nothing() {
    for path in cases() {
        let case = Case::read(&path);
        let printed = case.get("expected.yaml");
        // The reference refuses its own output for a dependency that is off, fills in an empty build context, and
        // doubles the dollars of keys, which it never fills in. An `extends` of nothing still names its
        // file, and two ports that differ in `80` and `"80"` are one when both are printed as texts.
        let own_ways = [
            "disabled_dependency.txt",
            "empty_values.txt",
            "extends_nothing.txt",
            "ports_as_numbers_and_texts.txt",
            "variables_everywhere.txt",
        ];
        if printed.starts_with("refused") || own_ways.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let mut again = Case::default();
        again.set("compose.yaml", printed);
        let flags = case.get("args").split_whitespace().filter(|arg| arg.starts_with("--no-"));
        let flags: Vec<&str> = flags.collect();
        let raw = flags.contains(&"--no-interpolate");
        again.set(
            "args",
            &if raw { flags.join(" ") } else { [&["--profile", "*"], &flags[..]].concat().join(" ") },
        );
        let twice = ours(&again, false).unwrap_or_else(|error| format!("refused: {error}"));
        assert_eq!(twice, printed, "{}\n{}", path.display(), diff(printed, &twice));
    }
}

/// The lines that differ.
fn diff(want: &str, got: &str) -> String {
    let (want, got): (Vec<_>, Vec<_>) = (want.lines().collect(), got.lines().collect());
    let mut out = String::new();
    let first = want.iter().zip(&got).take_while(|(a, b)| a == b).count();
    for line in want.iter().skip(first.saturating_sub(2)).take(8) {
        out.push_str(&format!("  want {line}\n"));
    }
    for line in got.iter().skip(first.saturating_sub(2)).take(8) {
        out.push_str(&format!("  got  {line}\n"));
    }
    out
}
