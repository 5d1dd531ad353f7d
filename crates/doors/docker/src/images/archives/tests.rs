//! Docker's bar.

use super::bar;

#[test]
fn the_bar_is_dockers() {
    assert_eq!(bar(557_056, 140_574_720), format!("[>{}]  557.1kB/140.6MB", " ".repeat(49)));
    assert_eq!(bar(5_570_560, 140_574_720), format!("[=>{}]  5.571MB/140.6MB", " ".repeat(48)));
    assert_eq!(bar(140_574_720, 140_574_720), format!("[{}>]  140.6MB/140.6MB", "=".repeat(49)));
    assert_eq!(
        bar(132_022_272, 140_574_720),
        format!("[{}>{}]    132MB/140.6MB", "=".repeat(46), " ".repeat(3))
    );
    assert_eq!(bar(12, 0), "     12B");
}
