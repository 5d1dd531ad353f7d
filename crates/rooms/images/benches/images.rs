//! How long loading and snapshots take: `cargo bench -p images -- ARCHIVE…`.
//!
//! Prints wall time, processor time and peak memory of one cold load an archive, of the same load again, and the
//! median of many snapshots.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use base::{Clock as _, SystemClock};
use images::Images;

fn main() {
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        measure(Path::new(&path));
    }
}

fn measure(path: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = Images::open(dir.path()).expect("a new store");
    let clock = SystemClock;
    for what in ["cold", "known"] {
        let (start, cpu) = (clock.now(), processor_ms());
        let loaded =
            images.load(File::open(path).expect("an archive"), &mut |_| {}).expect("a sound archive");
        let wall_ms = clock.now().since(start).as_millis();
        let cpu_ms = processor_ms() - cpu;
        say(&format!("{} {what} load: {wall_ms} ms wall, {cpu_ms} ms processor", path.display()));
        let mut times: Vec<_> = (0..200)
            .map(|number| {
                let start = clock.now();
                images.snapshot(&loaded[0].id, &format!("{what}{number}")).expect("a snapshot");
                clock.now().since(start)
            })
            .collect();
        times.sort();
        say(&format!("snapshot: median {:?}, 99 of 100 below {:?}", times[100], times[198]));
    }
    say(&format!("peak memory: {}", status("VmHWM:")));
}

/// Writes one line of figures.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output takes a line");
}

fn status(key: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
}

/// User and system time of this process; the kernel counts it in hundredths of a second.
fn processor_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10
}
