//! Which leftovers count.

use super::ours;

#[test]
fn only_what_sea_makes_counts() {
    for line in ["process 7 /memfd:sea (deleted)", "link sea0123abcdef01", "filters table inet sea_0123abcd"]
    {
        assert!(ours(line), "{line}");
    }
    for line in ["link docker0", "mount /run/user/0", "cgroup /sys/fs/cgroup/system.slice/cron.service"] {
        assert!(!ours(line), "{line}");
    }
}
