//! Tests of contexts: what is packed, and what is refused when unpacked.

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// A folder with these files; `a -> b` is a link, a slash at the end a folder.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder for the test");
    for name in files {
        let (name, target) = name.split_once(" -> ").map_or((*name, None), |(name, to)| (name, Some(to)));
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        match target {
            Some(target) => symlink(target, path).expect("a link"),
            None if name.ends_with('/') => fs::create_dir_all(path).expect("a folder"),
            None => fs::write(path, name).expect("a file"),
        }
    }
    dir
}

fn packed(dir: &Path, ignore: &str) -> Vec<u8> {
    let ignore = Ignore::parse(ignore).expect("every file here makes sense");
    let mut tar = Vec::new();
    pack(dir, &ignore, &mut tar, Limits::default()).expect("the folder is sound");
    tar
}

/// The names in an archive.
fn names(tar: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    tape::each(tar, |item, _| {
        names.push(String::from_utf8_lossy(&item.path).into_owned());
        Ok::<(), ()>(())
    })
    .expect("it is whole");
    names
}

#[test]
fn what_the_ignore_file_takes_stays_behind() {
    let dir = folder(&[
        "src/main.rs",
        "src/gen/x",
        "target/debug/big",
        "Dockerfile",
        "docs/a.md",
        "docs/keep.md",
        "l -> src",
    ]);
    let all = [
        "Dockerfile",
        "docs/",
        "docs/a.md",
        "docs/keep.md",
        "l",
        "src/",
        "src/gen/",
        "src/gen/x",
        "src/main.rs",
        "target/",
        "target/debug/",
        "target/debug/big",
    ];
    let trim = |names: Vec<String>| {
        names.iter().map(|name| name.trim_end_matches('/').to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(trim(names(&packed(dir.path(), ""))), trim(all.map(str::to_owned).to_vec()));
    let some = names(&packed(dir.path(), "target\nDockerfile\ndocs\n!docs/keep.md\n**/gen\n"));
    assert_eq!(trim(some), ["docs", "docs/keep.md", "l", "src", "src/main.rs"]);
    fs::write(dir.path().join(".dockerignore"), "*").expect("a file");
    fs::write(dir.path().join("web.Dockerfile.dockerignore"), "docs").expect("a file");
    let takes = |dockerfile: Option<&str>| {
        ignore_file(dir.path(), dockerfile.map(Path::new)).expect("it makes sense").takes("src")
    };
    assert!(takes(None) && takes(Some("Dockerfile")) && !takes(Some("web.Dockerfile")));
}

#[test]
fn the_same_folder_gives_the_same_archive_whatever_the_order_and_the_owner() {
    let (one, two) = (folder(&["a/b", "c", "l -> a"]), folder(&["l -> a", "c", "a/b"]));
    for path in ["a/b", "a", "c"] {
        let time =
            fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000));
        for dir in [&one, &two] {
            File::open(dir.path().join(path)).and_then(|file| file.set_times(time)).expect("it is ours");
        }
        std::os::unix::fs::chown(two.path().join(path), Some(77), Some(78)).expect("the test runs as root");
    }
    // A link's time cannot be set through it; it is the only thing that differs.
    fs::remove_file(one.path().join("l"))
        .and_then(|()| fs::remove_file(two.path().join("l")))
        .expect("they are ours");
    assert_eq!(packed(one.path(), ""), packed(two.path(), ""));
}

#[test]
fn what_was_packed_comes_out_the_same() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    let dir = folder(&["a/b", "empty/", "l -> ../../etc/passwd", &long]);
    fs::set_permissions(dir.path().join("a/b"), fs::Permissions::from_mode(0o4711)).expect("it is ours");
    let tar = packed(dir.path(), "");
    let to = tempfile::tempdir().expect("a folder for the test");
    let got = unpack(&tar[..], to.path(), Limits::default()).expect("it is whole");
    assert_eq!(got, Packed { bytes: 324, entries: 6, skipped: 0 });
    assert_eq!(packed(to.path(), ""), tar);
    let meta = fs::metadata(to.path().join("a/b")).expect("it is there");
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o4711, 0));
}

/// Unpacks an archive of these entries; shows the error.
#[track_caller]
fn check(entries: &[(&str, tar::EntryType, &str)], error: Expect) {
    let outer = tempfile::tempdir().expect("a folder for the test");
    let inner = outer.path().join("context");
    fs::create_dir(&inner).expect("a folder for the test");
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, link) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(0);
        header.as_gnu_mut().expect("it is one").name[..name.len()].copy_from_slice(name.as_bytes());
        if !link.is_empty() {
            header.set_link_name_literal(link).expect("short");
        }
        header.set_cksum();
        builder.append(&header, io::empty()).expect("to memory");
    }
    let tar = builder.into_inner().expect("to memory");
    let got = unpack(&tar[..], &inner, Limits { bytes: 1 << 20, entries: 4 });
    error.assert_eq(&got.map_or_else(|error| error.to_string(), |packed| format!("{packed:?}")));
    let around: Vec<_> = fs::read_dir(outer.path()).expect("it is there").collect();
    assert_eq!(around.len(), 1, "nothing lands beside the context");
}

#[test]
fn an_entry_that_reaches_elsewhere_is_refused_by_its_name() {
    use tar::EntryType as T;
    check(
        &[("../x", T::Regular, "")],
        expect!["the entry `../x` of the context is refused: its name climbs out of the context"],
    );
    check(
        &[("a/../../x", T::Directory, "")],
        expect!["the entry `a/../../x` of the context is refused: its name climbs out of the context"],
    );
    check(
        &[("l", T::Symlink, ".."), ("l/x", T::Regular, "")],
        expect!["the entry `l/x` of the context is refused: a part of its name is not a folder"],
    );
    check(
        &[("l", T::Symlink, ".."), ("l", T::Directory, "")],
        expect!["the entry `l` of the context is refused: a part of its name is not a folder"],
    );
    check(
        &[("h", T::Link, "../x")],
        expect!["the entry `h` of the context is refused: it links out of the context"],
    );
    check(
        &[("l", T::Symlink, ".."), ("h", T::Link, "l/x")],
        expect!["the entry `h` of the context is refused: a part of its name is not a folder"],
    );
    check(
        &[("n", T::Block, "")],
        expect!["the entry `n` of the context is refused: it is neither a file, a folder nor a link"],
    );
    check(
        &[("n", T::Fifo, "")],
        expect!["the entry `n` of the context is refused: it is neither a file, a folder nor a link"],
    );
    check(&[("", T::Regular, "")], expect!["the entry `` of the context is refused: it has no name"]);
    check(
        &[("a", T::Directory, ""), ("a", T::Regular, "")],
        expect!["the entry `a` of the context is refused: a folder of that name came before it"],
    );
    check(&[("a", T::Regular, ""); 5], expect!["the context has more than 4 files"]);
    check(
        &[("a", T::GNUSparse, "")],
        expect![
            "the entry `a` of the context is refused: it is a sparse file, or larger than 8 GiB; write it another way"
        ],
    );
    check(
        &[("./", T::Directory, ""), ("./a", T::Regular, ""), ("b/c", T::Link, "a")],
        expect!["Packed { bytes: 0, entries: 3, skipped: 0 }"],
    );
}

#[test]
fn a_broken_archive_is_an_error_and_a_long_header_too() {
    let to = tempfile::tempdir().expect("a folder for the test");
    let dir = folder(&["a"]);
    fs::write(dir.path().join("a"), vec![b'x'; 4000]).expect("a file");
    let tar = packed(dir.path(), "");
    let cut = unpack(&tar[..2000], to.path(), Limits::default());
    assert!(matches!(cut, Err(ContextError::Archive { .. })), "{cut:?}");
    let noise = unpack(&[7u8; 2048][..], to.path(), Limits::default());
    assert!(matches!(noise, Err(ContextError::Archive { .. })), "{noise:?}");
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(9 << 30);
    header.set_cksum();
    let bomb = unpack(header.as_bytes().chain(io::repeat(b'x')), to.path(), Limits::default());
    assert!(matches!(bomb, Err(ContextError::Refused { .. })), "{bomb:?}");
    let big = unpack(&tar[..], to.path(), Limits { bytes: 10, entries: 10 });
    assert!(matches!(big, Err(ContextError::TooLarge { .. })), "{big:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_damage_to_an_archive_makes_unpacking_panic_or_escape(at in 0usize..3000, byte: u8, end in 0usize..4000) {
        let dir = folder(&["a/b", "l -> a", "c"]);
        let mut tar = packed(dir.path(), "");
        let at = at % tar.len();
        tar[at] = byte;
        tar.truncate(end.max(at + 1));
        let outer = tempfile::tempdir().expect("a folder for the test");
        let inner = outer.path().join("context");
        fs::create_dir(&inner).expect("a folder for the test");
        let _ = unpack(&tar[..], &inner, Limits::default());
        prop_assert_eq!(fs::read_dir(outer.path()).expect("it is there").count(), 1);
    }
}
