//! Figures from control files of both versions.

use std::path::{Path, PathBuf};

use super::*;

fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("sea-figures-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in files {
        fs::write(dir.join(file), text).unwrap();
    }
    dir
}

#[test]
fn the_second_version_counts_in_microseconds_and_has_no_bound_where_it_says_max() {
    let dir = folder(
        "second",
        &[
            (
                "cpu.stat",
                "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\nthrottled_usec 2\n",
            ),
            ("memory.current", "4096\n"),
            ("memory.max", "max\n"),
            ("memory.events", "low 0\noom 5\noom_kill 1\n"),
            ("memory.stat", "anon 1\ninactive_file 2\n"),
            ("pids.current", "7\n"),
            ("pids.max", "100\n"),
            ("io.stat", "8:0 rbytes=11 wbytes=12 rios=1 wios=2\n"),
        ],
    );
    let found = second(&dir);
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!((found.cpu_ns, found.cpu_user_ns, found.cpu_system_ns), (30_000, 20_000, 10_000));
    assert_eq!((found.periods, found.throttled_periods, found.throttled_ns), (4, 3, 2000));
    assert_eq!((found.memory, found.memory_limit, found.memory_failures), (4096, None, 5));
    assert_eq!((found.pids, found.pids_limit), (7, Some(100)));
    assert_eq!(found.memory_stat["inactive_file"], 2);
    let moved: Vec<_> = found.io_bytes.iter().map(|one| (one.operation.as_str(), one.value)).collect();
    assert_eq!(moved, [("read", 11), ("write", 12)]);
}

#[test]
fn the_first_version_tells_processors_apart_and_has_no_bound_where_it_says_most() {
    let dir = folder(
        "first",
        &[
            ("cpuacct.usage", "50\n"),
            ("cpuacct.usage_percpu", "20 30 \n"),
            ("cpuacct.stat", "user 3\nsystem 2\n"),
            ("memory.usage_in_bytes", "4096\n"),
            ("memory.max_usage_in_bytes", "8192\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.stat", "cache 1\ntotal_inactive_file 2\n"),
            ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 5\n8:0 Write 6\nTotal 11\n"),
        ],
    );
    let found = first(|_| Some(Path::new(&dir)));
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!((found.cpu_ns, found.per_cpu_ns.as_slice()), (50, &[20, 30][..]));
    assert_eq!((found.cpu_user_ns, found.cpu_system_ns), (30_000_000, 20_000_000));
    assert_eq!((found.memory, found.memory_peak, found.memory_limit), (4096, Some(8192), None));
    let moved: Vec<_> = found.io_bytes.iter().map(|one| (one.operation.as_str(), one.value)).collect();
    assert_eq!(moved, [("Read", 5), ("Write", 6)]);
}
