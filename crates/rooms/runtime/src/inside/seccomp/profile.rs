//! Profiles as people write them: JSON in docker's form.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ALLOW, Case, Compare, ERRNO, MACHINE, Rules, Test};
use crate::failure::Failure;
use crate::inside::rights;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    syscalls: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    names: Vec<String>,
    /// The form before `names`.
    name: Option<String>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Filter,
    #[serde(default)]
    excludes: Filter,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// Reads a profile for a process with these capabilities.
pub(super) fn rules(text: &str, capabilities: u64) -> Result<Rules, Failure> {
    let profile: Profile = serde_json::from_str(text)
        .map_err(|error| Failure::invalid(format!("the seccomp profile cannot be read: {error}")))?;
    let otherwise = action(&profile.default_action, profile.default_errno_ret)?;
    let mut cases: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for entry in profile.syscalls {
        if !applies(&entry, capabilities)? {
            continue;
        }
        let answer = action(&entry.action, entry.errno_ret)?;
        let tests = entry.args.unwrap_or_default().iter().map(test).collect::<Result<Vec<_>, _>>()?;
        for name in entry.names.into_iter().chain(entry.name) {
            let all = cases.entry(name).or_default();
            let case = Case { tests: tests.clone(), answer };
            // One without conditions holds only where none with conditions does.
            if case.tests.is_empty() {
                all.push(case);
            } else {
                let at = all.iter().position(|other| other.tests.is_empty()).unwrap_or(all.len());
                all.insert(at, case);
            }
        }
    }
    Ok(Rules { otherwise, cases })
}

fn applies(entry: &Entry, capabilities: u64) -> Result<bool, Failure> {
    let has = |name: &String| rights::bit(name).map(|bit| capabilities & bit != 0);
    let arch = |filter: &Filter| filter.arches.iter().any(|arch| arch == MACHINE);
    for name in &entry.includes.caps {
        if !has(name)? {
            return Ok(false);
        }
    }
    for name in &entry.excludes.caps {
        if has(name)? {
            return Ok(false);
        }
    }
    let newer = |filter: &Filter| filter.min_kernel.as_deref().is_none_or(kernel_is_at_least);
    let included = (entry.includes.arches.is_empty() || arch(&entry.includes)) && newer(&entry.includes);
    let excluded =
        arch(&entry.excludes) || entry.excludes.min_kernel.as_deref().is_some_and(kernel_is_at_least);
    Ok(included && !excluded)
}

fn kernel_is_at_least(wanted: &str) -> bool {
    let numbers = |text: &str| -> (u32, u32) {
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    numbers(&rustix::system::uname().release().to_string_lossy()) >= numbers(wanted)
}

fn action(name: &str, errno: Option<u16>) -> Result<u32, Failure> {
    let number = u32::from(errno.unwrap_or(libc::EPERM as u16));
    Ok(match name {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_ERRNO" => ERRNO | number,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | number,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        other => return Err(unknown(other, "an action")),
    })
}

fn test(argument: &Argument) -> Result<Test, Failure> {
    if argument.index > 5 {
        return Err(Failure::invalid(format!(
            "the seccomp profile names argument {}, the last is 5",
            argument.index
        )));
    }
    let compare = match argument.op.as_str() {
        "SCMP_CMP_EQ" => Compare::Equal,
        "SCMP_CMP_NE" => Compare::NotEqual,
        "SCMP_CMP_LT" => Compare::Less,
        "SCMP_CMP_LE" => Compare::LessOrEqual,
        "SCMP_CMP_GT" => Compare::Greater,
        "SCMP_CMP_GE" => Compare::GreaterOrEqual,
        "SCMP_CMP_MASKED_EQ" => Compare::MaskedEqual,
        other => return Err(unknown(other, "a comparison")),
    };
    Ok(Test { argument: argument.index, compare, value: argument.value, second: argument.value_two })
}

fn unknown(word: &str, what: &str) -> Failure {
    Failure::invalid(format!("the seccomp profile says `{word}`, which is not {what}"))
}
