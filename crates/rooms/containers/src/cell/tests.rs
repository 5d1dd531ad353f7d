//! What a container is taken for, by what those that ask it hear.

use super::*;

/// Whose answers, in turn: `o` is a bad one of its own check and `O` a good one, `e` and `E` the same of the edge's; two
/// bad ones in a row are a failure. A `-` in front has it not count.
#[track_caller]
fn check(askers: &[Asker], answers: &str, want: &str) {
    let mut health = Health::of(askers.to_vec(), None);
    let mut told = Vec::new();
    for answer in answers.split_whitespace() {
        let letter = answer.trim_start_matches('-');
        let asker = if letter.eq_ignore_ascii_case("o") { Asker::Own } else { Asker::Edge };
        let good = letter.chars().all(char::is_uppercase);
        told.push(match health.hear(asker, good, (letter == answer).then_some(2)) {
            None => "-",
            Some(true) => "well",
            Some(false) if health.is_sick() => "sick",
            Some(false) => "spared",
        });
    }
    assert_eq!(told.join(" "), want, "{answers}");
}

const BOTH: &[Asker] = &[Asker::Own, Asker::Edge];

#[test]
fn who_is_asked_by_two_is_well_when_both_say_so() {
    check(&[Asker::Own], "O o o O", "well - sick well");
    check(&[Asker::Edge], "E e e E", "well - spared well");
    check(BOTH, "O E", "- well");
    check(BOTH, "E -o -o -o O", "- - - - well");
    check(BOTH, "O E e e E", "- well - spared well");
    check(BOTH, "O E o o O", "- well - sick well");
}

#[test]
fn one_that_fails_both_is_sick_until_its_own_check_passes() {
    check(BOTH, "O E e e o o", "- well - spared - -");
    let mut health = Health::of(BOTH.to_vec(), Some(true));
    for asker in [Asker::Edge, Asker::Edge, Asker::Own, Asker::Own] {
        health.hear(asker, false, Some(2));
    }
    assert!(health.is_sick());
    assert_eq!((health.well, health.failures), (Some(false), 2));
    health.hear(Asker::Own, true, Some(2));
    assert!(!health.is_sick());
    assert_eq!(health.well, Some(false), "the edge has not heard a good answer yet");
}

#[test]
fn who_is_asked_by_nobody_is_not_checked() {
    let health = Health::of(Vec::new(), Some(true));
    assert_eq!((health.checked, health.well), (false, None));
}
