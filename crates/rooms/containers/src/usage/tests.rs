//! The machine's own tables.

use super::*;

#[test]
fn processor_time_is_that_of_all_processors_without_guests() {
    let stat = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 0 0 0 0 0 0 0 0 0 0\nintr 5\n";
    assert_eq!(processors(stat), (280_000_000, 2));
}

#[test]
fn links_are_read_by_name_without_the_loopback() {
    let table = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
    let links = links_of(table);
    let wanted = LinkFigures {
        rx_bytes: 1,
        rx_packets: 2,
        rx_errors: 3,
        rx_dropped: 4,
        tx_bytes: 5,
        tx_packets: 6,
        tx_errors: 7,
        tx_dropped: 8,
    };
    assert_eq!(links, BTreeMap::from([("eth0".to_owned(), wanted)]));
}

#[test]
fn memory_is_told_in_bytes() {
    assert_eq!(memory_of("MemTotal:       24684096 kB\nMemFree: 1 kB\n"), 24_684_096 * 1024);
}
