//! Sizes as people write them, read and shown.

use super::*;

#[test]
fn sizes_read_as_docker_reads_them() {
    let read = |text: &str| text.parse::<Bytes>().map(|b| b.0).map_err(|_| ());
    assert_eq!(read("1024"), Ok(1024));
    assert_eq!(read("64m"), Ok(64 << 20));
    assert_eq!(read("1.5 GiB"), Ok(3 << 29));
    assert_eq!(read("2KB"), Ok(2048));
    assert_eq!(read("0b"), Ok(0));
    for bad in ["", "m", "1x", "1mm", "-1", "99999999999p", "1..5k"] {
        assert_eq!(read(bad), Err(()), "{bad}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "\\PC*") {
        let _ = text.parse::<Bytes>();
    }
}
