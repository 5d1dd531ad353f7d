//! What is said over what there is.

use super::*;

#[test]
fn zero_and_nothing_leave_what_there_is() {
    let mut has = Resources { memory: 1 << 26, cpu_shares: 5, pids_limit: Some(3), ..Resources::default() };
    merge(&mut has, &Resources { cpu_shares: 7, ..Resources::default() }).unwrap();
    assert_eq!((has.memory, has.memory_swap, has.cpu_shares, has.pids_limit), (1 << 26, 1 << 27, 7, Some(3)));
    merge(&mut has, &Resources { pids_limit: Some(-1), ..Resources::default() }).unwrap();
    assert_eq!(has.pids_limit, Some(0));
}

#[track_caller]
fn refused(has: Resources, said: Resources, text: &str) {
    let refusal = merge(&mut has.clone(), &said).unwrap_err();
    assert_eq!((refusal.status, refusal.message.contains(text)), (StatusCode::CONFLICT, true), "{refusal:?}");
}

#[test]
fn two_ways_to_say_the_same_contradict_each_other() {
    let nanos = Resources { nano_cpus: 1, ..Resources::default() };
    let period = Resources { cpu_period: 1, ..Resources::default() };
    let quota = Resources { cpu_quota: 1, ..Resources::default() };
    refused(period.clone(), nanos.clone(), "as CPU Period has already been set");
    refused(quota.clone(), nanos.clone(), "as CPU Quota has already been set");
    refused(nanos.clone(), period, "CPU Period cannot be updated");
    refused(nanos, quota, "CPU Quota cannot be updated");
}

#[test]
fn memory_stays_below_memory_and_swap() {
    let has = Resources { memory: 64 << 20, ..Resources::default() };
    refused(
        has.clone(),
        Resources { memory: 129 << 20, ..Resources::default() },
        "Memory limit should be smaller",
    );
    let both = Resources { memory: 129 << 20, memory_swap: 200 << 20, ..Resources::default() };
    assert!(merge(&mut has.clone(), &both).is_ok());
    let free = Resources { memory_swap: -1, ..has };
    assert!(merge(&mut free.clone(), &Resources { memory: 129 << 20, ..Resources::default() }).is_ok());
}

#[test]
fn sets_are_lists_of_numbers_and_ranges() {
    for (text, wanted) in [
        ("0", Some(vec![0])),
        ("0-2,4", Some(vec![0, 1, 2, 4])),
        ("x", None),
        ("2-1", None),
        ("0-999999999", None),
        ("", None),
    ] {
        assert_eq!(numbers(text), wanted, "{text}");
    }
}
