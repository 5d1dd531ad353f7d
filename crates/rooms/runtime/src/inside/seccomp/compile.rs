//! From rules to the kernel's program.

use super::{ARCHES, Arch, Case, Compare, ENOSYS, ERRNO, Rules, Test, numbers};
use crate::sys::Filter;

// Places in what the program is given.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

// Instructions.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_NOT_LESS: u16 = 0x35;
const RETURN: u16 = 0x06;

/// The x32 calls have this bit; nobody needs them.
const X32: u32 = 0x4000_0000;

// Stand-ins for distances that are known once the parts are put together.
const HOLDS: u8 = 254;
const FAILS: u8 = 255;

fn plain(code: u16, k: u32) -> Filter {
    Filter { code, jt: 0, jf: 0, k }
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> Filter {
    Filter { code, jt, jf, k }
}

/// The whole program, for every way to call that this machine has.
pub(super) fn program(rules: &Rules) -> Vec<Filter> {
    let mut program = vec![plain(LOAD, ARCH)];
    for arch in ARCHES {
        let body = for_arch(rules, arch);
        program.push(branch(IF_EQUAL, arch.audit, 1, 0));
        program.push(plain(JUMP, body.len() as u32));
        program.extend(body);
    }
    program.push(plain(RETURN, ENOSYS));
    program
}

fn for_arch(rules: &Rules, arch: &Arch) -> Vec<Filter> {
    let mut all: Vec<(u32, &str)> = numbers(arch).map(|(name, number)| (number, name)).collect();
    all.sort_unstable();
    let last = all.last().map_or(0, |(number, _)| *number);
    // From which number on which cases hold; no cases means the rules' `otherwise`.
    let mut segments: Vec<(u32, &[Case])> = vec![(0, &[])];
    let mut push = |from: u32, cases| {
        let end = segments.len() - 1;
        if segments[end].1 == cases {
            return;
        }
        if segments[end].0 == from {
            segments[end].1 = cases;
        } else {
            segments.push((from, cases));
        }
    };
    let mut next = 0;
    for (number, name) in all {
        if number > next {
            push(next, &[]);
        }
        push(number, rules.cases.get(name).map_or(&[][..], Vec::as_slice));
        next = number + 1;
    }
    // Calls that were unknown when this was written: programs must see that, to try another.
    let newer = [Case { tests: Vec::new(), answer: ENOSYS }];
    if rules.otherwise & 0xffff_0000 == ERRNO {
        push(last + 1, &newer);
    } else {
        push(last + 1, &[]);
    }
    let mut body = vec![plain(LOAD, NUMBER)];
    if cfg!(target_arch = "x86_64") {
        body.push(branch(IF_NOT_LESS, X32, 0, 1));
        body.push(plain(RETURN, ENOSYS));
    }
    body.extend(search(&segments, rules.otherwise));
    body
}

/// Halves the segments until one is left.
fn search(segments: &[(u32, &[Case])], otherwise: u32) -> Vec<Filter> {
    if let [(_, cases)] = segments {
        return answer(cases, otherwise);
    }
    let (low, high) = segments.split_at(segments.len() / 2);
    let (low, from) = (search(low, otherwise), high[0].0);
    let mut code = vec![branch(IF_NOT_LESS, from, 0, 1), plain(JUMP, low.len() as u32)];
    code.extend(low);
    code.extend(search(high, otherwise));
    code
}

fn answer(cases: &[Case], otherwise: u32) -> Vec<Filter> {
    let mut code = Vec::new();
    for case in cases {
        let mut tests: Vec<Filter> = case.tests.iter().flat_map(test).collect();
        let len = tests.len();
        for (at, instruction) in tests.iter_mut().enumerate() {
            for distance in [&mut instruction.jt, &mut instruction.jf] {
                if *distance == FAILS {
                    // Behind the answer. At most six tests of six instructions: it fits.
                    *distance = (len - at) as u8;
                }
            }
        }
        code.extend(tests);
        code.push(plain(RETURN, case.answer));
        if case.tests.is_empty() {
            return code;
        }
    }
    code.push(plain(RETURN, otherwise));
    code
}

/// One test; falls through to what follows if it holds.
fn test(test: &Test) -> Vec<Filter> {
    let low_at = ARGUMENTS + 8 * u32::from(test.argument);
    let (low, high) = (plain(LOAD, low_at), plain(LOAD, low_at + 4));
    let halves = |value: u64| (value as u32, (value >> 32) as u32);
    let (value_low, value_high) = halves(test.value);
    let mut code = match test.compare {
        Compare::Equal => {
            vec![high, branch(IF_EQUAL, value_high, 0, FAILS), low, branch(IF_EQUAL, value_low, 0, FAILS)]
        }
        Compare::NotEqual => {
            vec![high, branch(IF_EQUAL, value_high, 0, HOLDS), low, branch(IF_EQUAL, value_low, FAILS, 0)]
        }
        Compare::MaskedEqual => {
            let (second_low, second_high) = halves(test.second);
            vec![
                high,
                plain(AND, value_high),
                branch(IF_EQUAL, second_high, 0, FAILS),
                low,
                plain(AND, value_low),
                branch(IF_EQUAL, second_low, 0, FAILS),
            ]
        }
        Compare::Greater | Compare::GreaterOrEqual => {
            let last = if test.compare == Compare::Greater { IF_GREATER } else { IF_NOT_LESS };
            vec![
                high,
                branch(IF_GREATER, value_high, HOLDS, 0),
                branch(IF_EQUAL, value_high, 0, FAILS),
                low,
                branch(last, value_low, 0, FAILS),
            ]
        }
        Compare::Less | Compare::LessOrEqual => {
            let last = if test.compare == Compare::Less { IF_NOT_LESS } else { IF_GREATER };
            vec![
                high,
                branch(IF_GREATER, value_high, FAILS, 0),
                branch(IF_EQUAL, value_high, 0, HOLDS),
                low,
                branch(last, value_low, FAILS, 0),
            ]
        }
    };
    let len = code.len();
    for (at, instruction) in code.iter_mut().enumerate() {
        for distance in [&mut instruction.jt, &mut instruction.jf] {
            if *distance == HOLDS {
                *distance = (len - at - 1) as u8;
            }
        }
    }
    code
}

/// Runs a program as the kernel would; for tests.
#[cfg(test)]
pub(super) fn run(program: &[Filter], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let word = |at: u32| match at {
        NUMBER => number,
        ARCH => arch,
        _ => {
            let argument = arguments[(at - ARGUMENTS) as usize / 8];
            if (at - ARGUMENTS).is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
        }
    };
    let (mut at, mut a) = (0usize, 0u32);
    loop {
        let Filter { code, jt, jf, k } = program[at];
        at += 1;
        let holds = match code {
            LOAD => {
                a = word(k);
                continue;
            }
            AND => {
                a &= k;
                continue;
            }
            JUMP => {
                at += k as usize;
                continue;
            }
            RETURN => return k,
            IF_EQUAL => a == k,
            IF_GREATER => a > k,
            IF_NOT_LESS => a >= k,
            other => panic!("no such instruction: {other}"),
        };
        at += usize::from(if holds { jt } else { jf });
    }
}

/// Whether this answer lets the call pass.
#[cfg(test)]
pub(super) fn passes(answer: u32) -> bool {
    answer == super::ALLOW
}
