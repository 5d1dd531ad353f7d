//! What `sea doctor` finds: whether this machine can run sea, and how to mend what cannot.
//!
//! Looks at the kernel, the cgroups, our rights, the ports, the root folder, networks and the clock. Where a reading
//! could lie, it tries: an overlay is mounted (nowhere in the tree), a cgroup is made, a file is written. What a try
//! makes bears a name of its own and is taken back. Nothing here needs a daemon.

mod cgroups;
mod clock;
mod folder;
mod kernel;
mod machine;
mod ports;
mod rights;

use std::path::Path;

use talk::{Check, Verdict};

/// Looks at everything, in the order in which things are best mended.
pub(crate) fn checks(root: &Path) -> Vec<Check> {
    let mut checks = rights::checks();
    checks.extend(kernel::checks());
    checks.extend(cgroups::checks());
    checks.extend(folder::checks(root));
    checks.extend(networks());
    checks.extend(ports::checks(root));
    checks.push(clock::check());
    checks
}

/// What the room of networks says; without links or filters no container has a network.
fn networks() -> Vec<Check> {
    let verdict = |fact: &network::Fact| match (fact.fine, fact.what) {
        (true, _) => Verdict::Good,
        (false, "links" | "filters (nf_tables)") => Verdict::Bad,
        (false, _) => Verdict::Weak,
    };
    let check = |fact: network::Fact| Check {
        name: format!("networks: {}", fact.what),
        verdict: verdict(&fact),
        found: fact.found,
        mend: fact.mend,
    };
    network::doctor_facts().into_iter().map(check).collect()
}

/// It is as it must be.
fn good(name: &str, found: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Good, found: found.into(), mend: None }
}

/// Sea runs, with less.
fn weak(name: &str, found: impl Into<String>, mend: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Weak, found: found.into(), mend: Some(mend.into()) }
}

/// Sea does not run.
fn bad(name: &str, found: impl Into<String>, mend: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Bad, found: found.into(), mend: Some(mend.into()) }
}

/// A name that no other try has.
fn trial_name() -> String {
    let bytes: [u8; 6] = base::kernel_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sea-doctor-{hex}")
}

#[cfg(test)]
mod tests;
