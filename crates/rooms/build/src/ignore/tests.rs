//! Tests of ignore files: a table of what moby's matcher answers.

use super::*;
use proptest::prelude::*;

/// `file` lists patterns, one a word; `taken` stay behind, `left` come along.
#[track_caller]
fn check(file: &str, taken: &[&str], left: &[&str]) {
    let ignore = Ignore::parse(&file.replace(' ', "\n")).expect("every file here makes sense");
    for path in taken {
        assert!(ignore.takes(path), "`{file}` takes {path}");
    }
    for path in left {
        assert!(!ignore.takes(path), "`{file}` leaves {path}");
    }
}

#[test]
fn patterns_take_what_docker_says_they_take() {
    check("**", &["file", "file/", "dir/file"], &[]);
    check("**/", &["file", "dir/file"], &[]);
    check("**/**", &["dir/file", "dir/dir/file"], &[]);
    check("dir/**", &["dir/file", "dir/dir2/file"], &["dir", "other/file"]);
    check("**/dir2/*", &["dir/dir2/file", "dir/dir2/dir2/file"], &["dir2"]);
    check("**/dir2/**", &["dir/dir2/file", "dir2/a/b"], &["dir2"]);
    check("**file", &["file", "dir/file", "dir/dir/file"], &["dir/file.txt"]);
    check("**/file", &["file", "dir/file"], &["afile"]);
    check("**file*txt", &["dir/file.txt"], &["x"]);
    check("**/*.txt", &["file.txt", "dir/file.txt"], &["file.text"]);
    check("**/**/*.txt", &["a.txt", "a/b/c.txt"], &["a.txt2"]);
    check("a**/*.txt", &["a.txt", "a/file.txt", "a/dir/file.txt"], &["b.txt", "ab.txt2"]);
    check("*.md", &["a.md"], &["docs/a.md"]);
    check("docs", &["docs", "docs/a", "docs/a/b"], &["docs2", "x/docs"]);
    check("docs/", &["docs", "docs/a"], &["docs2"]);
    check("/docs", &["docs/a"], &[]);
    check("./docs", &["docs/a"], &[]);
    check("a/../docs", &["docs/a"], &["a"]);
    check("a?c", &["abc"], &["a/c"]);
    check("a[b-d]e", &["abe", "ace"], &["aae", "afe"]);
    check("a[^b]e", &["ace"], &["abe"]);
    check("a\\*b", &["a*b"], &["aab"]);
    check("*/*.jar", &["a/b.jar"], &["b.jar", "a/c/b.jar"]);
    check("Dockerfile .dockerignore", &["Dockerfile", ".dockerignore"], &["Dockerfile2"]);
    check("a+(b){c}|$.d", &["a+(b){c}|$.d"], &["aab"]);
}

#[test]
fn the_last_pattern_that_speaks_of_a_path_decides() {
    check("* !keep", &["a", "keeper"], &["keep", "keep/a"]);
    check("*.md !README.md", &["a.md"], &["README.md"]);
    check("*.md !README*.md README-secret.md", &["a.md", "README-secret.md"], &["README.md", "README-x.md"]);
    check("docs !docs/README.md", &["docs", "docs/a"], &["docs/README.md"]);
    check("!a b", &["b"], &["a"]);
    check("** !**/*.go", &["a/b.c", "x"], &["a/b.go", "b.go"]);
    check("a/b !a", &[], &["a/b", "a/c"]);
}

#[test]
fn comments_blanks_and_marks_are_read_as_docker_reads_them() {
    let ignore = Ignore::parse("\u{feff}# c\n\n  a  \n! b\n").expect("it makes sense");
    assert!(ignore.takes("a"));
    assert!(!ignore.takes("# c"));
    assert!(ignore.takes_back());
    // A comment begins in the first column; elsewhere the sign is a part of a name.
    assert!(Ignore::parse(" #x").is_ok_and(|ignore| ignore.takes("#x")));
    let fault = Ignore::parse("a\n[b").err().map(|fault| fault.to_string());
    assert_eq!(fault.as_deref(), Some(".dockerignore line 2: `[b` is not a pattern"));
    assert!(Ignore::parse("!").is_err());
}

proptest! {
    #[test]
    fn no_file_makes_reading_or_matching_panic(text in "[\\PC\n!*/\\[\\]]{0,40}", path in "[a-z/.]{0,20}") {
        if let Ok(ignore) = Ignore::parse(&text) {
            let _ = ignore.takes(&path);
        }
    }

    #[test]
    fn what_is_below_a_taken_folder_is_taken(folder in "[a-z]{1,4}", below in "[a-z]{1,4}(/[a-z]{1,4}){0,3}") {
        let ignore = Ignore::parse(&folder).expect("a plain name");
        let path = format!("{folder}/{below}");
        prop_assert!(ignore.takes(&path));
    }
}
