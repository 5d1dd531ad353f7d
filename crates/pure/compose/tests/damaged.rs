//! Files that people broke: whatever was struck, doubled or put in between, there is an answer and no panic.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's answer")]

mod support;

use std::path::Path;

use proptest::prelude::*;
use support::{Case, load};

/// What can be put somewhere: words that mean something there, and some that mean nothing anywhere.
const PIECES: &[&str] = &[
    "&a ",
    "*a",
    "<<: ",
    "!reset ",
    "!override ",
    "!!binary ",
    "? ",
    ": ",
    "- ",
    "|\n",
    ">-\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "#",
    "---\n",
    "...\n",
    "\t",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "${",
    "}",
    "$$",
    "${A:-${B:?",
    "null",
    "~",
    "-1",
    "1e999",
    "0x",
    "99999999999999999999",
    "extends: ",
    "include: ",
    "services:\n",
    "../",
    "é",
    "\r\n",
    "%YAML 9\n",
];

/// One change to a text: where (as a share of it), how much is taken, and what is put there.
type Edit = (f64, usize, usize);

fn changed(text: &str, (place, take, piece): &Edit) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = ((characters.len() as f64) * place) as usize;
    let until = (at + take).min(characters.len());
    let mut text: String = characters[..at].iter().collect();
    text.push_str(PIECES[piece % PIECES.len()]);
    text.extend(&characters[until..]);
    text
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_has_an_answer(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((0.0..1.0_f64, 0..12_usize, any::<usize>()), 1..6),
    ) {
        let mut case = which.get(&cases()).clone();
        case.edit(|text| edits.iter().fold(text.to_owned(), |text, edit| changed(&text, edit)));
        match load(&case) {
            Ok(loaded) => {
                // What is accepted can be printed in both forms and turned into an app, or refused as one.
                prop_assert!(!loaded.project.to_yaml().is_empty() && loaded.project.to_json() != Ok(String::new()));
                if let Err(error) = loaded.project.app() {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
