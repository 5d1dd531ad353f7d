//! Which system calls a container may make: from a profile to a program that the kernel runs at every call.
//!
//! The program finds the call's number by halving, so a call costs about nine steps and not three hundred.

mod compile;
mod default;
mod profile;

use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::order::{Order, Seccomp};
use crate::sys::Filter;

/// Numbers of all calls by name.
const CALLS: &str = include_str!("seccomp/calls.txt");

/// A machine's way of calling the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arch {
    /// As profiles name it.
    name: &'static str,
    /// The kernel's constant for it.
    audit: u32,
    /// Its column in [`CALLS`].
    column: usize,
}

/// What programs on this machine may use; the first is the machine's own.
#[cfg(target_arch = "x86_64")]
const ARCHES: &[Arch] = &[
    Arch { name: "SCMP_ARCH_X86_64", audit: 0xc000_003e, column: 1 },
    Arch { name: "SCMP_ARCH_X86", audit: 0x4000_0003, column: 2 },
];
/// What programs on this machine may use; the first is the machine's own.
#[cfg(target_arch = "aarch64")]
const ARCHES: &[Arch] = &[Arch { name: "SCMP_ARCH_AARCH64", audit: 0xc000_00b7, column: 3 }];

/// The word that profiles use for the machine in conditions.
#[cfg(target_arch = "x86_64")]
const MACHINE: &str = "amd64";
/// The word that profiles use for the machine in conditions.
#[cfg(target_arch = "aarch64")]
const MACHINE: &str = "arm64";

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = ERRNO | libc::ENOSYS as u32;

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The argument's bits under the value equal the second value.
    MaskedEqual,
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Test {
    argument: u8,
    compare: Compare,
    value: u64,
    second: u64,
}

/// If all tests hold, this is the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    tests: Vec<Test>,
    answer: u32,
}

/// What is answered to calls by name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rules {
    /// To calls that no case is for.
    otherwise: u32,
    /// The first case that holds counts.
    cases: BTreeMap<String, Vec<Case>>,
}

/// What a process is to be filtered with, before its capabilities are known.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    Default,
    Unconfined,
    Profile(String),
}

impl Plan {
    /// As ordered; a privileged container is filtered by a profile of its own alone.
    pub(crate) fn of(order: &Order) -> Self {
        match &order.seccomp {
            Seccomp::Default if order.process.capabilities.privileged => Self::Unconfined,
            Seccomp::Default => Self::Default,
            Seccomp::Unconfined => Self::Unconfined,
            Seccomp::Profile(text) => Self::Profile(text.clone()),
        }
    }

    /// The program, for a process with these capabilities; none to let everything pass.
    pub(super) fn compile(&self, capabilities: u64) -> Result<Option<Vec<Filter>>, Failure> {
        let rules = match self {
            Self::Unconfined => return Ok(None),
            Self::Default => default::rules(capabilities),
            Self::Profile(text) => profile::rules(text, capabilities)?,
        };
        Ok(Some(compile::program(&rules)))
    }
}

/// Each call's name and its number on this machine.
fn numbers(arch: &Arch) -> impl Iterator<Item = (&'static str, u32)> {
    let column = arch.column;
    CALLS.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
        let mut words = line.split(' ');
        let name = words.next()?;
        Some((name, words.nth(column - 1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests;
