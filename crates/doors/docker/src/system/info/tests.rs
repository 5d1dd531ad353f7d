//! What the machine's files say.

use super::{age, enabled, memory, os_release, without_secret};
use crate::version::{ApiVersion, NEWEST};

#[test]
fn the_machine_is_read() {
    let release = os_release("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID='12'\nID=debian\n");
    assert_eq!(release["PRETTY_NAME"], "Debian GNU/Linux 12 (bookworm)");
    assert_eq!(release["VERSION_ID"], "12");
    assert_eq!(memory("MemTotal:       24684096 kB\nMemFree:  1 kB\n"), 25_276_514_304);
    assert_eq!(memory(""), 0);
    let cgroups =
        "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t3\t10\t1\nmemory\t4\t10\t0\npids\t5\t1\t1\n";
    assert_eq!(enabled(cgroups), ["cpu", "pids"]);
}

#[test]
fn a_proxys_password_is_not_told() {
    assert_eq!(without_secret("http://me:secret@proxy:3128"), "http://xxxxx:xxxxx@proxy:3128");
    assert_eq!(without_secret("http://proxy:3128"), "http://proxy:3128");
}

#[test]
fn clients_of_before_get_what_they_are_used_to() {
    let document = |version| {
        let mut fields = serde_json::json!({
            "RegistryConfig": {}, "FirewallBackend": {}, "ContainerdCommit": { "ID": "a" },
            "RuncCommit": { "ID": "b" }, "InitCommit": { "ID": "c" },
        });
        age(fields.as_object_mut().expect("fields"), version);
        fields
    };
    let old = document(ApiVersion(1, 41));
    assert_eq!(old["RuncCommit"]["Expected"], "b");
    assert!(old.get("FirewallBackend").is_none() && old["BridgeNfIptables"] == false);
    let new = document(NEWEST);
    assert!(new.get("FirewallBackend").is_some() && new["RuncCommit"].get("Expected").is_none());
}
