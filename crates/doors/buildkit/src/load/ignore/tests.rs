//! Tests of which patterns go to the client.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&patterns(text).join("\n"));
}

#[test]
fn comments_and_blanks_are_left_out_and_paths_are_clean() {
    check(
        "\u{feff}# comment\n\n  node_modules/ \n/absolute\n./here//x\na/../b\n!  keep/./it\n # no comment\n/\n.\n!\n",
        expect![[r##"
            node_modules
            absolute
            here/x
            b
            !keep/it
            # no comment
            /
            .
            !"##]],
    );
}
