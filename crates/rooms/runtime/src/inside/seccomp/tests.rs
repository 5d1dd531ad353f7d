//! The filter that a profile becomes.

use proptest::prelude::*;

use super::*;

const DEFAULT_CAPS: u64 = 0xa804_25fb;

fn number(name: &str) -> u32 {
    numbers(&ARCHES[0]).find(|(known, _)| *known == name).unwrap().1
}

/// What the kernel would answer on this machine's own way to call.
fn ask(plan: &Plan, caps: u64, name: &str, first: u64) -> u32 {
    let program = plan.compile(caps).unwrap().unwrap();
    compile::run(&program, ARCHES[0].audit, number(name), [first, 0, 0, 0, 0, 0])
}

#[test]
fn ordinary_programs_get_what_they_need_and_no_more() {
    for (name, argument, passes) in [
        ("read", 0, true),
        ("execve", 0, true),
        ("ptrace", 0, true),
        ("clone", 0x11, true),
        ("clone", 0x1000_0000, false),
        ("clone", 0x0002_0000, false),
        ("unshare", 0, false),
        ("mount", 0, false),
        ("keyctl", 0, false),
        ("io_uring_setup", 0, false),
        ("userfaultfd", 0, false),
        ("bpf", 0, false),
        ("socket", 2, true),
        ("socket", 40, false),
        ("personality", 0, true),
        ("personality", 0x0040_0000, false),
        ("reboot", 0, false),
        ("chroot", 0, true),
    ] {
        let answer = ask(&Plan::Default, DEFAULT_CAPS, name, argument);
        assert_eq!(compile::passes(answer), passes, "{name}({argument:#x}) got {answer:#x}");
    }
    assert_eq!(ask(&Plan::Default, DEFAULT_CAPS, "clone3", 0), ENOSYS);
    assert_eq!(ask(&Plan::Default, DEFAULT_CAPS | 1 << 21, "mount", 0), ALLOW);
    assert_eq!(ask(&Plan::Default, DEFAULT_CAPS | 1 << 21, "clone3", 0), ALLOW);
}

#[test]
fn other_ways_to_call_and_newer_calls_say_that_they_are_not_there() {
    let program = Plan::Default.compile(0).unwrap().unwrap();
    assert_eq!(compile::run(&program, 0xdead_beef, 0, [0; 6]), ENOSYS);
    assert_eq!(compile::run(&program, ARCHES[0].audit, 9999, [0; 6]), ENOSYS);
    assert_eq!(compile::run(&program, ARCHES[0].audit, 0x4000_0000, [0; 6]), ENOSYS);
    assert!(program.len() < 4096, "the kernel takes no more");
}

#[test]
fn profiles_in_dockers_form_are_followed() {
    let profile = |rest: &str| {
        Plan::Profile(format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,"syscalls":[{rest}]}}"#
        ))
    };
    let plan = profile(
        r#"{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
           {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
           {"names":["dup"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":5,"op":"SCMP_CMP_GT"}]},
           {"names":["chdir"],"action":"SCMP_ACT_KILL_PROCESS"}"#,
    );
    for (name, argument, answer) in [
        ("read", 0, ALLOW),
        ("open", 0, ERRNO | 13),
        ("mount", 0, ERRNO | 13),
        ("dup", 6, ALLOW),
        ("dup", 5, ERRNO | 13),
        ("dup", 1 << 32, ALLOW),
        ("chdir", 0, 0x8000_0000),
    ] {
        assert_eq!(ask(&plan, 0, name, argument), answer, "{name}({argument})");
    }
    assert_eq!(ask(&plan, 1 << 21, "mount", 0), ALLOW);
    for bad in [
        r#"{"names":["read"],"action":"PLEASE"}"#,
        r#"{"names":[],"action":"SCMP_ACT_ALLOW","args":[{"index":9,"value":0,"op":"SCMP_CMP_EQ"}]}"#,
    ] {
        assert!(profile(bad).compile(0).is_err(), "{bad}");
    }
}

proptest! {
    // Each case compiles 28 programs.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn comparisons_hold_when_the_numbers_do(argument: u64, value: u64, second: u64) {
        // Near misses matter more than random pairs.
        for argument in [argument, value, value.wrapping_add(1), value ^ (1 << 40)] {
            for (compare, holds) in [
                (Compare::Equal, argument == value),
                (Compare::NotEqual, argument != value),
                (Compare::Less, argument < value),
                (Compare::LessOrEqual, argument <= value),
                (Compare::Greater, argument > value),
                (Compare::GreaterOrEqual, argument >= value),
                (Compare::MaskedEqual, argument & value == second),
            ] {
                let test = Test { argument: 2, compare, value, second };
                let cases = BTreeMap::from([("dup".to_owned(), vec![Case { tests: vec![test, test], answer: ALLOW }])]);
                let program = compile::program(&Rules { otherwise: EPERM, cases });
                let answer = compile::run(&program, ARCHES[0].audit, number("dup"), [0, 0, argument, 0, 0, 0]);
                prop_assert_eq!(answer == ALLOW, holds, "{:?}", compare);
            }
        }
    }

    #[test]
    fn no_text_makes_reading_a_profile_panic(text in "\\PC*") {
        let _ = Plan::Profile(text).compile(0);
    }
}
