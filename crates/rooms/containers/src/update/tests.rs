//! Which bounds are lifted.

use super::*;

#[test]
fn a_bound_that_is_gone_is_lifted_and_others_are_left_alone() {
    let before = Limits { pids: Some(10), cpus: Some(0.5), ..Limits::default() };
    let after = lifted(Limits::default(), &before);
    assert_eq!((after.pids, after.cpu_quota, after.cpus), (Some(-1), Some(-1), None));
    let kept = lifted(Limits { cpus: Some(1.0), pids: Some(5), ..Limits::default() }, &before);
    assert_eq!((kept.pids, kept.cpu_quota, kept.cpus), (Some(5), None, Some(1.0)));
    assert_eq!(lifted(Limits::default(), &Limits::default()), Limits::default());
}
