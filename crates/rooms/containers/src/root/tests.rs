//! Ways through a container's files, archives out of them and into them.

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use images::{EntryType, Out, TarWriter};
use tempfile::TempDir;

use super::pack::{Packing, pack};
use super::unpack::{UnpackError, Unpacking, unpack};
use super::*;

/// A root in a folder that has a neighbour which nobody may touch.
fn house() -> (TempDir, Root) {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir_all(root.join("data/sub")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:\n").unwrap();
    fs::write(home.path().join("secret"), "outside").unwrap();
    symlink("/etc", root.join("abs")).unwrap();
    symlink("../../../../secret", root.join("data/out")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("/nowhere/x", root.join("broken")).unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(&root, flags, Mode::empty()).unwrap();
    (home, Root::bare(top).unwrap())
}

#[track_caller]
fn leads(root: &Root, path: &str, last: Last, wanted: &str) {
    let told = match root.find(path.as_bytes(), last) {
        Ok(found) => {
            let there = if found.node.is_some() { "" } else { " missing" };
            format!("{}{there}", path_of(&found.way).display())
        }
        Err(error) => error.kind().to_string(),
    };
    assert_eq!(told, wanted, "{path}");
}

#[test]
fn no_way_leads_out_of_the_root() {
    let (_home, root) = house();
    leads(&root, "/etc/passwd", Last::Stay, "/etc/passwd");
    leads(&root, "/../../etc", Last::Stay, "/etc");
    leads(&root, "/abs/passwd", Last::Stay, "/etc/passwd");
    leads(&root, "/abs", Last::Stay, "/abs");
    leads(&root, "/abs/", Last::Stay, "/etc");
    leads(&root, "/abs", Last::Follow, "/etc");
    leads(&root, "/data/out", Last::Follow, "/secret missing");
    leads(&root, "/data/sub/../../etc/passwd", Last::Follow, "/etc/passwd");
    leads(&root, "/broken", Last::Follow, "/nowhere/x missing");
    leads(&root, "/etc/passwd/", Last::Stay, "not a directory");
    leads(&root, "/etc/passwd/x", Last::Stay, "not a directory");
    leads(&root, "/loop", Last::Follow, "filesystem loop or indirection limit (e.g. symlink loop)");
}

/// An archive with these entries.
fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (name, kind, text) in entries {
        let content = if *kind == EntryType::Regular { text.as_bytes() } else { b"" };
        let out = Out {
            name: name.as_bytes(),
            kind: *kind,
            link: text.as_bytes(),
            size: content.len() as u64,
            mode: 0o4750,
            uid: 7,
            gid: 8,
            mtime: 1_000_000_000,
            xattrs: &[(b"user.mark".to_vec(), b"1".to_vec())],
        };
        let out = if *kind == EntryType::Regular { Out { link: b"", ..out } } else { out };
        tar.put(&out, &mut { content }).unwrap();
    }
    tar.finish().unwrap()
}

fn into(root: &Root, path: &str, how: Unpacking, bytes: &[u8]) -> Result<(), UnpackError> {
    let (_, way) = root.find(path.as_bytes(), Last::Follow).and_then(Found::there).unwrap();
    unpack(root, &way, how, bytes)
}

#[test]
fn entries_that_lead_out_are_refused_and_nothing_outside_is_touched() {
    let (home, root) = house();
    for (entries, wanted) in [
        (&[("../x", EntryType::Regular, "a")][..], "invalid entry name \"../x\""),
        (&[("a/../../x", EntryType::Regular, "a")][..], "invalid entry name \"a/../../x\""),
        (&[("h", EntryType::Link, "../../secret")][..], "invalid hardlink target \"../../secret\""),
    ] {
        let error = into(&root, "/data", Unpacking::default(), &archive(entries)).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
    // A link in the archive, and one that is there: both lead no further than the folder.
    let bytes = archive(&[
        ("l", EntryType::Symlink, "../../.."),
        ("l/secret", EntryType::Regular, "changed"),
        ("out", EntryType::Regular, "changed"),
        ("m", EntryType::Symlink, "/"),
        ("m/made", EntryType::Regular, "inside"),
    ]);
    into(&root, "/data", Unpacking::default(), &bytes).unwrap();
    assert_eq!(fs::read_to_string(home.path().join("secret")).unwrap(), "outside");
    let data = home.path().join("root/data");
    assert_eq!(fs::read_to_string(data.join("secret")).unwrap(), "changed");
    assert_eq!(fs::read_to_string(data.join("made")).unwrap(), "inside");
    assert_eq!(fs::read_to_string(data.join("out")).unwrap(), "changed");
    assert!(!home.path().join("root/made").exists());
}

#[test]
fn what_is_put_has_owner_mode_time_and_attributes_of_the_archive() {
    let (home, root) = house();
    let bytes = archive(&[
        ("/new/deep/file", EntryType::Regular, "hello"),
        ("new/deep/other", EntryType::Link, "new/deep/file"),
        ("new/folder/", EntryType::Directory, ""),
        ("new/pipe", EntryType::Fifo, ""),
    ]);
    into(&root, "/data", Unpacking::default(), &bytes).unwrap();
    let new = home.path().join("root/data/new");
    let file = fs::metadata(new.join("deep/file")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777, file.mtime()), (7, 8, 0o4750, 1_000_000_000));
    assert_eq!(file.nlink(), 2);
    let folder = fs::metadata(new.join("folder")).unwrap();
    assert_eq!((folder.uid(), folder.mode() & 0o7777, folder.mtime()), (7, 0o4750, 1_000_000_000));
    let implied = fs::metadata(new.join("deep")).unwrap();
    assert_eq!((implied.uid(), implied.permissions().mode() & 0o7777), (0, 0o755));
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(new.join("deep/file"), "user.mark", &mut value);
    // A file system without attributes loses them, and nothing else.
    assert!(matches!(length, Ok(1) | Err(Errno::OPNOTSUPP)), "{length:?}");
    let own = Unpacking { owner: Some((5, 6)), ..Unpacking::default() };
    into(&root, "/data", own, &archive(&[("mine", EntryType::Regular, "x")])).unwrap();
    let mine = fs::metadata(home.path().join("root/data/mine")).unwrap();
    assert_eq!((mine.uid(), mine.gid()), (5, 6));
}

#[test]
fn kinds_are_kept_where_that_is_asked_for() {
    let (home, root) = house();
    let keep = Unpacking { keep_kinds: true, ..Unpacking::default() };
    let over_folder = archive(&[("sub", EntryType::Regular, "x")]);
    let over_file = archive(&[("etc/passwd", EntryType::Directory, "")]);
    let error = into(&root, "/data", keep, &over_folder).unwrap_err();
    assert!(matches!(error, UnpackError::OverFolder { .. }), "{error}");
    let error = into(&root, "/", keep, &over_file).unwrap_err();
    assert!(matches!(error, UnpackError::OverFile { .. }), "{error}");
    into(&root, "/data", Unpacking::default(), &over_folder).unwrap();
    into(&root, "/", Unpacking::default(), &over_file).unwrap();
    let root = home.path().join("root");
    assert!(root.join("data/sub").is_file() && root.join("etc/passwd").is_dir());
}

#[test]
fn damaged_archives_say_so() {
    let (_home, root) = house();
    let whole = archive(&[("file", EntryType::Regular, &"x".repeat(5000))]);
    let error = into(&root, "/data", Unpacking::default(), &whole[..3000]).unwrap_err();
    assert!(matches!(error, UnpackError::Damaged { .. }), "{error}");
    let error = into(&root, "/data", Unpacking::default(), &[7; 2000]).unwrap_err();
    assert!(matches!(error, UnpackError::Damaged { .. }), "{error}");
}

#[test]
fn what_was_packed_unpacks_to_the_same() {
    let (home, root) = house();
    let data = home.path().join("root/data");
    fs::hard_link(home.path().join("root/etc/passwd"), data.join("sub/linked")).unwrap();
    fs::hard_link(home.path().join("root/etc/passwd"), data.join("sub/twice")).unwrap();
    let mut large = File::create(data.join("large")).unwrap();
    large.write_all(&[9; 300_000]).unwrap();
    let (node, way) = root.find(b"/data", Last::Stay).and_then(Found::there).unwrap();
    let mut bytes = Vec::new();
    pack(&root, Packing { node, way, name: b"copy".to_vec(), itself: true }, &mut bytes).unwrap();
    into(&root, "/", Unpacking::default(), &bytes).unwrap();
    let copy = home.path().join("root/copy");
    assert_eq!(fs::read(copy.join("large")).unwrap(), [9; 300_000]);
    assert_eq!(fs::read_link(copy.join("out")).unwrap(), Path::new("../../../../secret"));
    assert_eq!(fs::metadata(copy.join("sub/linked")).unwrap().nlink(), 2);
    assert_eq!(fs::read(copy.join("sub/twice")).unwrap(), b"root:x:0:0::/:\n");
}

#[test]
fn a_mount_over_a_root_at_rest_hides_what_is_there() {
    let (home, mut root) = house();
    let volume = home.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("inside"), "v").unwrap();
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let node = Node::of(rustix::fs::open(&volume, flags, Mode::empty()).unwrap()).unwrap();
    assert!(!root.lay("/missing/place", node.clone(), false).unwrap());
    assert!(root.lay("/missing/place", node.clone(), true).unwrap());
    assert!(root.lay("/abs/conf", node, true).unwrap());
    leads(&root, "/missing/place/inside", Last::Stay, "/missing/place/inside");
    leads(&root, "/etc/conf/inside", Last::Stay, "/etc/conf/inside");
    into(&root, "/etc/conf", Unpacking::default(), &archive(&[("new", EntryType::Regular, "n")])).unwrap();
    assert_eq!(fs::read(volume.join("new")).unwrap(), b"n");
    // What is mounted is not taken away, nor what is in it.
    let error = into(&root, "/etc", Unpacking::default(), &archive(&[("conf", EntryType::Regular, "x")]));
    assert!(error.unwrap_err().to_string().contains("/etc/conf"), "{volume:?}");
    assert!(volume.join("inside").exists());
    let names = root.find(b"/etc", Last::Stay).unwrap().node.unwrap().names().unwrap();
    assert_eq!(names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>(), [&b"conf"[..], b"passwd"]);
}
