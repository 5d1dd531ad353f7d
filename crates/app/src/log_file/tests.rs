//! The log file within its bound.

use super::*;

#[test]
fn a_full_file_is_turned_over_and_one_older_is_kept() {
    let folder = std::env::temp_dir().join(format!("sea-log-file-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("daemon.log");
    let mut log = LogFile::open(&path).expect("opened");
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..25 {
        log.write_all(&piece).expect("written");
    }
    let size = |path: &Path| std::fs::metadata(path).map(|it| it.len()).unwrap_or(0);
    assert_eq!(size(&path), 5 << 20);
    assert_eq!(size(&folder.join("daemon.log.1")), 10 << 20);
    assert_eq!(std::fs::read_dir(&folder).expect("read").count(), 2);
    std::fs::remove_dir_all(&folder).expect("removed");
}
