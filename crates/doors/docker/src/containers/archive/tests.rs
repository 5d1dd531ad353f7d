//! Modes and letters of the header that tells of a file.

use super::{base64, go_mode};

#[test]
fn a_mode_has_its_kind_where_go_has_it() {
    for (mode, go) in [
        (0o040_755, 2_147_484_141),
        (0o100_644, 420),
        (0o104_755, 8_389_101),
        (0o120_777, 134_218_239),
        (0o010_644, 33_554_852),
        (0o020_644, 69_206_436),
        (0o041_777, 2_148_532_735),
    ] {
        assert_eq!(go_mode(mode), go, "{mode:o}");
    }
}

#[test]
fn base64_is_padded_to_fours() {
    for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob?>", "Zm9vYj8+")] {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
}
