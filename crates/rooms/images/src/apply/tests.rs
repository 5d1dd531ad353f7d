//! Tests of applying layers: what a layer becomes on the disk, and which hostile entries are refused by name.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use expect_test::{Expect, expect};
use proptest::prelude::*;
use testkit::{Entry, require_root, tar};

use super::*;

#[test]
fn hostile_entries_are_refused_by_name() {
    refused(&[Entry::file("/etc/passwd", "x")], expect!["entry `/etc/passwd` has an absolute name"]);
    refused(&[Entry::file("../x", "x")], expect!["entry `../x` climbs out of the image"]);
    refused(&[Entry::file("a/../../x", "x")], expect!["entry `a/../../x` climbs out of the image"]);
    refused(&[Entry::dir("..")], expect!["entry `..` climbs out of the image"]);
    let link = Entry::symlink("out", "/etc");
    refused(
        &[link.clone(), Entry::file("out/x", "x")],
        expect!["entry `out/x` goes through a symbolic link"],
    );
    refused(&[link.clone(), Entry::dir("out/x/y")], expect!["entry `out/x/y` goes through a symbolic link"]);
    refused(
        &[link.clone(), Entry::hard_link("h", "out/passwd")],
        expect!["entry `h` links to `out/passwd`, which is not in the image"],
    );
    refused(
        &[link.clone(), Entry::file("out/.wh.x", "")],
        expect!["entry `out/.wh.x` goes through a symbolic link"],
    );
    refused(
        &[Entry::symlink("a", "."), Entry::file("a/b", "x")],
        expect!["entry `a/b` goes through a symbolic link"],
    );
    refused(
        &[Entry::file("f", ""), Entry::file("f/x", "")],
        expect!["entry `f/x` lies below something that is not a folder"],
    );
}

#[test]
fn kinds_and_links_that_no_image_needs_are_refused_by_name() {
    refused(&[Entry::new("dev/sda", b'4').device(8, 0)], expect!["entry `dev/sda` is a device node"]);
    refused(&[Entry::new("dev/mem", b'3').device(1, 1)], expect!["entry `dev/mem` is a device node"]);
    refused(&[Entry::new("dev/null", b'3').device(1, 1)], expect!["entry `dev/null` is a device node"]);
    refused(&[Entry::new("null", b'3').device(1, 3)], expect!["entry `null` is a device node"]);
    refused(&[Entry::new("dev/null", b'4').device(1, 3)], expect!["entry `dev/null` is a device node"]);
    refused(&[Entry::new("gone", b'3')], expect!["entry `gone` is a device node"]);
    refused(
        &[Entry::hard_link("h", "../../etc/shadow")],
        expect!["entry `h` links to `../../etc/shadow`, which climbs out of the image"],
    );
    refused(
        &[Entry::hard_link("h", "nowhere")],
        expect!["entry `h` links to `nowhere`, which is not in the image"],
    );
    refused(
        &[Entry::dir("d"), Entry::hard_link("h", "d")],
        expect!["entry `h` links to `d`, which is not in the image"],
    );
    refused(&[Entry::symlink("s", "")], expect!["entry `s` is a link to nothing"]);
    refused(&[Entry::file("a/.wh...", "")], expect!["entry `a/.wh...` deletes a name that no file can have"]);
    refused(&[Entry::file(".wh.", "")], expect!["entry `.wh.` deletes a name that no file can have"]);
    refused(&[Entry::file(".", "")], expect!["entry `.` has no usable name"]);
    refused(&[Entry::new("v", b'V')], expect!["entry `v` is of the unknown kind V"]);
    let key = "SCHILY.xattr.trusted.overlay.redirect";
    refused(
        &[Entry::dir("d").pax(key, "/etc")],
        expect!["entry `d` sets an attribute that belongs to the overlay file system"],
    );
    refused(&[Entry::file("x", "").pax("path", "../y")], expect!["entry `../y` climbs out of the image"]);
    refused(&[Entry::file("x", "").pax("path", "a\0b")], expect![[r"entry `a\u{0}b` has no usable name"]]);
    refused(
        &[Entry::file(&"n".repeat(300), "")],
        expect![
            "entry `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn` has a name that is too long"
        ],
    );
    refused(
        &[Entry::file("b", "x").claims_size(1 << 30)],
        expect!["the archive is damaged at entry `b`: the archive ends within it"],
    );
    refused(
        &[Entry::file("big", "x").claims_size(1 << 40)],
        expect!["the archive is damaged at entry `big`: the archive ends within it"],
    );
    refused(
        &[Entry::file("a", "").pax("size", "junk")],
        expect!["the archive is damaged at entry ``: the extended header behind it is damaged"],
    );
}

#[test]
fn nothing_outside_is_touched_by_a_refused_layer() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "as it was").unwrap();
    let target = outside.path().to_str().unwrap();
    let hostile = [
        vec![Entry::symlink("out", target), Entry::file("out/victim", "changed")],
        vec![Entry::symlink("out", target), Entry::file("out/.wh.victim", "")],
        vec![
            Entry::symlink("victim", victim.to_str().unwrap()),
            Entry::hard_link("h", "victim"),
            Entry::file("h", "changed"),
        ],
        vec![Entry::symlink("victim", victim.to_str().unwrap()), Entry::file("victim", "changed")],
        vec![Entry::symlink("d", target), Entry::dir("d").mode(0o777)],
    ];
    for entries in hostile {
        let _ = layer(&tar(&entries), &[]);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was", "{entries:?}");
        assert_ne!(fs::metadata(outside.path()).unwrap().mode() & 0o7777, 0o777, "{entries:?}");
    }
}

#[test]
fn entries_become_files_with_all_that_belongs_to_them() {
    let entries = [
        Entry::dir("./").mode(0o711),
        Entry::dir("./bin/").owner(0, 7).mtime(1_000),
        Entry::file("./bin/su", "#!").mode(0o4755).owner(0, 3).mtime(5),
        Entry::hard_link("./bin/sudo", "bin/su"),
        Entry::hard_link("bin/doas", "/bin/su"),
        Entry::symlink("etc", "/somewhere/absolute").owner(4, 5),
        Entry::new("pipe", b'6').mode(0o622),
        Entry::file("deep/er/x", "implied folders"),
        Entry::file("caps", "").pax("SCHILY.xattr.user.note", "hi").pax("mtime", "12.5"),
        Entry::file(&format!("{0}/{0}", "long".repeat(20)), "").mode(0o600),
    ];
    made(
        &entries,
        &[],
        expect![[r#"
        dir  0711 0:0 n0 @1700000000.0 .
        dir  0755 0:7 n0 @1000.0 bin
        file 4755 0:3 n3 @5.0 bin/doas = #!
        file 4755 0:3 n3 @5.0 bin/su = #!
        file 4755 0:3 n3 @5.0 bin/sudo = #!
        file 0644 0:0 n1 @12.5 caps [user.note=hi]
        dir  0755 0:0 n0 deep
        dir  0755 0:0 n0 deep/er
        file 0644 0:0 n1 @1700000000.0 deep/er/x = implied folders
        link 0777 4:5 n1 @1700000000.0 etc -> /somewhere/absolute
        dir  0755 0:0 n0 longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong
        file 0600 0:0 n1 @1700000000.0 longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong/longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong
        fifo 0622 0:0 n1 @1700000000.0 pipe
    "#]],
    );
}

#[test]
fn the_devices_of_every_distribution_are_passed_over() {
    let entries =
        [Entry::dir("dev"), Entry::new("./dev/null", b'3').device(1, 3), Entry::file("dev/file", "")];
    made(
        &entries,
        &[],
        expect![[r#"
            dir  0755 0:0 n0 .
            dir  0755 0:0 n0 @1700000000.0 dev
            file 0644 0:0 n1 @1700000000.0 dev/file
        "#]],
    );
}

#[test]
fn a_later_entry_replaces_an_earlier_one_of_any_kind() {
    let entries = [
        Entry::file("a", "first"),
        Entry::file("a", "second"),
        Entry::dir("b"),
        Entry::file("b/inner", ""),
        Entry::file("b", "was a folder"),
        Entry::symlink("c", "/etc"),
        Entry::dir("c"),
        Entry::file("c/x", "in the image"),
        Entry::file("d", "x"),
        Entry::symlink("d", "a"),
        Entry::hard_link("a", "a"),
    ];
    made(
        &entries,
        &[],
        expect![[r#"
        dir  0755 0:0 n0 .
        file 0644 0:0 n1 @1700000000.0 a = second
        file 0644 0:0 n1 @1700000000.0 b = was a folder
        dir  0755 0:0 n0 @1700000000.0 c
        file 0644 0:0 n1 @1700000000.0 c/x = in the image
        link 0777 0:0 n1 @1700000000.0 d -> a
    "#]],
    );
}

#[test]
fn deletions_become_the_marks_of_an_overlay() {
    let entries = [
        Entry::file(".wh.gone", ""),
        Entry::dir("emptied"),
        Entry::file("emptied/.wh..wh..opq", ""),
        Entry::file("emptied/new", ""),
        Entry::file(".wh.reborn", ""),
        Entry::dir("reborn"),
        Entry::dir("kept"),
        Entry::file(".wh.kept", ""),
        Entry::file(".wh.implied", ""),
        Entry::file("implied/x", ""),
        Entry::file(".wh.file", ""),
        Entry::file("file", "back"),
        Entry::file(".wh..wh.plnk", ""),
    ];
    made(
        &entries,
        &[],
        expect![[r#"
        dir  0755 0:0 n0 .
        dir  0755 0:0 n0 @1700000000.0 emptied [trusted.overlay.opaque=y]
        file 0644 0:0 n1 @1700000000.0 emptied/new
        file 0644 0:0 n1 @1700000000.0 file = back
        gone 0000 0:0 n1 gone
        dir  0755 0:0 n0 implied [trusted.overlay.opaque=y]
        file 0644 0:0 n1 @1700000000.0 implied/x
        dir  0755 0:0 n0 @1700000000.0 kept [trusted.overlay.opaque=y]
        dir  0755 0:0 n0 @1700000000.0 reborn [trusted.overlay.opaque=y]
    "#]],
    );
}

#[test]
fn a_folder_that_a_layer_does_not_list_looks_as_it_does_below() {
    let low = [
        Entry::dir("srv").mode(0o2750).owner(33, 33).mtime(9),
        Entry::file("srv/old", "content").owner(1, 2),
    ];
    made(
        &[Entry::file("srv/new", "")],
        &[&low],
        expect![[r#"
            dir  0755 0:0 n0 .
            dir  2750 33:33 n0 @9.0 srv
            file 0644 0:0 n1 @1700000000.0 srv/new
        "#]],
    );
    made(
        &[Entry::hard_link("link", "srv/old")],
        &[&low],
        expect![[r#"
            dir  0755 0:0 n0 .
            file 0644 1:2 n2 @1700000000.0 link = content
            dir  2750 33:33 n0 @9.0 srv
            file 0644 1:2 n2 @1700000000.0 srv/old = content
        "#]],
    );
    let opaque = [Entry::dir("srv"), Entry::file("srv/.wh..wh..opq", "")];
    let error = layer_on(&[Entry::hard_link("link", "srv/old")], &[&low, &opaque]).unwrap_err();
    assert_eq!(error.to_string(), "entry `link` links to `srv/old`, which is not in the image");
}

#[test]
fn files_with_holes_keep_them_in_every_dialect() {
    let map_1_0 = |text: &str, content: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(512, 0);
        [&bytes[..], content.as_bytes()].concat()
    };
    let v1 = Entry::file("GNUSparseFile.1/x", map_1_0("2\n0\n4\n1048576\n4\n", "headtail"))
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0")
        .pax("GNU.sparse.name", "holes")
        .pax("GNU.sparse.realsize", "2097152");
    let v01 = Entry::file("holes", "headtail")
        .pax("GNU.sparse.size", "2097152")
        .pax("GNU.sparse.map", "0,4,1048576,4");
    let v00 = Entry::file("holes", "headtail")
        .pax("GNU.sparse.size", "2097152")
        .pax("GNU.sparse.offset", "0")
        .pax("GNU.sparse.numbytes", "4")
        .pax("GNU.sparse.offset", "1048576")
        .pax("GNU.sparse.numbytes", "4");
    for entry in [v1, v01, v00] {
        let dir = layer(&tar(&[entry]), &[]).unwrap();
        let path = dir.path().join("holes");
        let (meta, content) = (fs::metadata(&path).unwrap(), fs::read(&path).unwrap());
        assert_eq!(
            (content.len(), &content[..4], &content[1_048_576..1_048_580]),
            (2 << 20, &b"head"[..], &b"tail"[..])
        );
        assert!(meta.blocks() * 512 < 1 << 20, "the holes take room");
    }
    let wrong = Entry::file("holes", "headtail").pax("GNU.sparse.size", "8").pax("GNU.sparse.map", "4,4,0,4");
    refused(
        &[wrong],
        expect!["the archive is damaged at entry `holes`: its map of holes contradicts its size"],
    );
}

#[test]
fn more_than_the_written_bounds_is_refused() {
    let limits = Limits { layer_bytes: 10, entries: 3, header_bytes: 600, ..Limits::default() };
    let bounded = |entries: &[Entry]| {
        let dir = tempfile::tempdir().unwrap();
        apply(&tar(entries)[..], dir.path(), &[], &limits).unwrap_err().to_string()
    };
    expect!["entry `b` makes the layer larger than 10 B"]
        .assert_eq(&bounded(&[Entry::file("a", "123456"), Entry::file("b", "123456")]));
    expect!["the archive has more than 3 entries"].assert_eq(&bounded(&["a", "b", "c", "d"].map(Entry::dir)));
    expect!["the archive is damaged at entry ``: the extended header behind it is too long"]
        .assert_eq(&bounded(&[Entry::file(&"x".repeat(700), "")]));
}

/// Applies a layer to a new folder.
fn layer(tar: &[u8], lower: &[PathBuf]) -> Result<tempfile::TempDir, LayerError> {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    apply(tar, dir.path(), lower, &Limits::default()).map(|_| dir)
}

/// Applies layers upon each other, given from the lowest up, and `entries` on top.
fn layer_on(entries: &[Entry], below: &[&[Entry]]) -> Result<tempfile::TempDir, LayerError> {
    let mut dirs: Vec<tempfile::TempDir> = Vec::new();
    for entries in below {
        let lower: Vec<PathBuf> = dirs.iter().rev().map(|dir| dir.path().to_owned()).collect();
        dirs.push(layer(&tar(entries), &lower)?);
    }
    let lower: Vec<PathBuf> = dirs.iter().rev().map(|dir| dir.path().to_owned()).collect();
    layer(&tar(entries), &lower)
}

#[track_caller]
fn refused(entries: &[Entry], expected: Expect) {
    let error = layer(&tar(entries), &[]).expect_err("a hostile layer was applied");
    expected.assert_eq(&error.to_string());
}

#[track_caller]
fn made(entries: &[Entry], below: &[&[Entry]], expected: Expect) {
    expected.assert_eq(&listing(layer_on(entries, below).unwrap().path()));
}

/// A folder as text: mode, owner, time, name and content of all that it holds.
fn listing(root: &Path) -> String {
    let mut out = String::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let kind = match meta.file_type() {
            kind if kind.is_dir() => "dir ",
            kind if kind.is_symlink() => "link",
            kind if kind.is_fifo() => "fifo",
            kind if kind.is_char_device() => "gone",
            _ => "file",
        };
        let mut line = format!(
            "{kind} {:04o} {}:{} n{}",
            meta.mode() & 0o7777,
            meta.uid(),
            meta.gid(),
            if meta.is_dir() { 0 } else { meta.nlink() }
        );
        // Times that no entry set are those of the test's run.
        if meta.mtime() < 1_750_000_000 {
            write!(line, " @{}.{}", meta.mtime(), meta.mtime_nsec() / 100_000_000).unwrap();
        }
        write!(line, " {}", if name.is_empty() { "." } else { &name }).unwrap();
        if meta.is_symlink() {
            write!(line, " -> {}", fs::read_link(&path).unwrap().display()).unwrap();
        } else if meta.is_file() && meta.len() > 0 {
            write!(line, " = {}", fs::read_to_string(&path).unwrap()).unwrap();
        }
        if !meta.is_symlink() && !meta.file_type().is_fifo() {
            for key in xattr::list(&path).unwrap() {
                let value = xattr::get(&path, &key).unwrap().unwrap();
                write!(line, " [{}={}]", key.display(), String::from_utf8_lossy(&value)).unwrap();
            }
        }
        writeln!(out, "{line}").unwrap();
        if meta.is_dir() {
            let mut names: Vec<PathBuf> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            left.extend(names.into_iter().rev());
        }
    }
    out
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let name = || {
        prop::sample::select(vec![
            "a",
            "a/b",
            "a/b/c",
            "./a",
            "b",
            "..",
            "../x",
            "/x",
            "a/../b",
            ".wh.a",
            "a/.wh..wh..opq",
            ".wh..",
            "",
            "b/",
        ])
    };
    let kind = prop::sample::select(b"0123456SVLKxg7".to_vec());
    (name(), kind, name(), "[a-z0-9=, \n]{0,30}").prop_map(|(name, kind, link, content)| match kind {
        b'1' => Entry::hard_link(name, link),
        b'2' => Entry::symlink(name, link),
        b'0' => Entry::file(name, content),
        kind => Entry::new(name, kind),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_layer_writes_outside_its_folder(entries in proptest::collection::vec(any_entry(), 0..8)) {
        require_root();
        let outer = tempfile::tempdir().unwrap();
        let diff = outer.path().join("layers/one/diff");
        fs::create_dir_all(&diff).unwrap();
        let _ = apply(&tar(&entries)[..], &diff, &[], &Limits::default());
        let around = |path: &Path| fs::read_dir(path).unwrap().count();
        prop_assert_eq!((around(outer.path()), around(&outer.path().join("layers")), around(&outer.path().join("layers/one"))), (1, 1, 1));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..2048), start in any::<bool>()) {
        require_root();
        if start {
            // A sound beginning lets the noise reach deeper.
            let mut sound = tar(&[Entry::file("a", "b").pax("path", "c")]);
            sound.truncate(sound.len() - 1024);
            sound.append(&mut bytes);
            bytes = sound;
        }
        let dir = tempfile::tempdir().unwrap();
        let _ = apply(&bytes[..], dir.path(), &[], &Limits { layer_bytes: 1 << 20, ..Limits::default() });
    }
}
