//! Tests of loading: every layout gives the same image, hostile archives are refused, and crashes leave it whole.

use std::io::{self, Write as _};
use std::process::Command;

use base::Problem as _;
use expect_test::{Expect, expect};
use oci::{Compression, Digest, Platform};
use testkit::{Entry, TestImage, docker_save, gzip_stored, oci_layout, real_images, tar};

use crate::tests::{Fixture, archive, names, small};
use crate::{ImageId, Images, Limits};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

#[test]
fn every_layout_and_packing_gives_the_same_image() {
    let image = small("web:1");
    let id = ImageId(image.id());
    let ours = || vec![(Platform::new("linux", "s390x"), small("other")), (Platform::ours(), image.clone())];
    let docker = docker_save(std::slice::from_ref(&image));
    let archives = [
        docker.clone(),
        gzip(&docker),
        zstd(&docker),
        gzip_stored(&docker),
        oci_layout("web:1", &ours(), Compression::None, <[u8]>::to_vec),
        oci_layout("web:1", &ours(), Compression::Gzip, gzip),
        oci_layout("docker.io/library/web:1", &ours(), Compression::Zstd, zstd),
    ];
    for (number, archive) in archives.iter().enumerate() {
        let fixture = Fixture::new();
        let loaded = fixture.load(archive);
        assert_eq!(
            (loaded.len(), &loaded[0].id, loaded[0].names[0].familiar()),
            (1, &id, "web:1".into()),
            "{number}"
        );
        let found = fixture.images.find("web:1").unwrap();
        assert_eq!(std::fs::read_to_string(found.lower[0].join("name")).unwrap(), "web:1");
        assert_eq!(found.lower.len(), 2);
        assert!(fixture.load(archive)[0].known);
        assert_eq!(fixture.images.fsck().unwrap().damage, []);
        assert!(fixture.strays().is_empty());
    }
}

#[test]
fn a_layer_that_two_images_share_is_kept_once_even_when_linked() {
    let fixture = Fixture::new();
    fixture.load(&archive(&["a", "b"]));
    assert_eq!(names(&fixture.path("layers")).len(), 3);
    // Old docker writes the second copy of a layer as a link to the first.
    let image = small("c");
    let hex = |layer: &[u8]| Digest::sha256(layer).hex().to_owned();
    let config = format!("{}.json", image.id().hex());
    let manifest =
        format!(r#"[{{"Config":"{config}","RepoTags":["c"],"Layers":["one/layer.tar","two/layer.tar"]}}]"#);
    let linked = tar(&[
        Entry::file(&hex(&image.layers[0]), &image.layers[0]),
        Entry::symlink("one/layer.tar", &format!("../{}", hex(&image.layers[0]))),
        Entry::file("two/layer.tar", &image.layers[1]),
        Entry::file(&config, image.config_bytes()),
        Entry::file("manifest.json", manifest),
    ]);
    assert_eq!(fixture.load(&linked)[0].id.0, image.id());
}

#[test]
fn what_is_no_sound_image_is_refused_and_named() {
    let image = small("x");
    let config = image.config_bytes();
    let config_name = format!("{}.json", image.id().hex());
    let manifest = |layers: &str| {
        Entry::file(
            "manifest.json",
            format!(r#"[{{"Config":"{config_name}","RepoTags":["x"],"Layers":[{layers}]}}]"#),
        )
    };
    let config_entry = Entry::file(&config_name, &config);
    refused(
        &[],
        expect![
            "the archive holds no image: there is neither a `manifest.json` nor an `index.json` with one"
        ],
    );
    refused(&[manifest("")], expect!["entry `#.json`, which manifest.json names, is not in the archive"]);
    refused(
        &[Entry::file(&config_name, "{}"), manifest("")],
        expect!["entry `#.json` is damaged: its content is sha256:#, not sha256:#"],
    );
    refused(
        &[config_entry.clone(), manifest("")],
        expect!["an image has 0 layers, and its configuration lists 2"],
    );
    refused(
        &[config_entry.clone(), manifest("\"a\",\"b\"")],
        expect!["entry `a`, which an image names, is not in the archive"],
    );
    let swapped = [Entry::file("a", &image.layers[1]), Entry::file("b", &image.layers[0])];
    refused(
        &[&swapped[..], &[config_entry.clone(), manifest("\"a\",\"b\"")]].concat(),
        expect!["layer `sha256:#` is damaged: its content is sha256:#"],
    );
}

#[test]
fn documents_that_make_no_sense_are_refused_and_named() {
    refused(
        &[Entry::file("manifest.json", "[")],
        expect![
            "entry `manifest.json` is not the document that it should be; because EOF while parsing a list at line 1 column 1"
        ],
    );
    refused(
        &[Entry::file("../manifest.json", "[]")],
        expect![
            "could not read the archive of images; because entry `../manifest.json` climbs out of the image"
        ],
    );
    refused(
        &[Entry::new("manifest.json", b'3')],
        expect!["could not read the archive of images; because entry `manifest.json` is a device node"],
    );
    refused(
        &[Entry::symlink("manifest.json", "/etc/passwd")],
        expect![
            "could not read the archive of images; because entry `manifest.json` links to `/etc/passwd`, which climbs out of the image"
        ],
    );
    refused(
        &[Entry::symlink("manifest.json", "../../etc/passwd")],
        expect![
            "could not read the archive of images; because entry `manifest.json` links to `../../etc/passwd`, which climbs out of the image"
        ],
    );
    refused(
        &[Entry::file("index.json", r#"{"schemaVersion":2,"manifests":[]}"#)],
        expect![
            "the archive holds no image: there is neither a `manifest.json` nor an `index.json` with one"
        ],
    );
    let named = small("x").id().hex().to_owned();
    let wrong = Entry::file("manifest.json", format!(r#"[{{"Config":"blobs/sha256/{named}"}}]"#));
    refused(
        &[Entry::file(&format!("blobs/sha256/{named}"), "{}"), wrong],
        expect!["entry `blobs/sha256/#` is damaged: its content is sha256:#, not sha256:#"],
    );
}

#[test]
fn archives_that_are_not_for_us_are_refused_and_say_why() {
    check(
        &oci_layout(
            "x:1",
            &[(Platform::new("plan9", "mips"), small("x"))],
            Compression::None,
            <[u8]>::to_vec,
        ),
        expect!["the image is not for OURS, only for plan9/mips"],
    );
    let hostile = TestImage::new("x", vec![tar(&[Entry::file("../../evil", "")])]);
    check(
        &docker_save(&[hostile]),
        expect!["could not unpack layer `sha256:#`; because entry `../../evil` climbs out of the image"],
    );
    let bad_name = TestImage::new("Not A Name", vec![]);
    check(
        &docker_save(&[bad_name]),
        expect![
            "the archive gives an image a name that is none; because `Not A Name` is not an image name: the repository has upper-case letters"
        ],
    );
    check(
        b"BZh9 and so on",
        expect![
            "could not read the archive of images; because could not read the archive; because it is packed with bzip2; gzip, zstd and plain tar are read"
        ],
    );
    let whole = archive(&["x"]);
    check(
        &whole[..700],
        expect![
            "could not read the archive of images; because the archive is damaged at entry `#.json`: the archive ends within it"
        ],
    );
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_disk() {
    let bomb = tar(&[Entry::file("zeros", vec![0; 4 << 20])]);
    let limits = Limits { free_bytes: 1 << 20, ratio: 20, ..Limits::default() };
    let image = TestImage::new("bomb", vec![bomb]);
    let archives = [
        oci_layout("bomb:1", &[(Platform::ours(), image.clone())], Compression::Gzip, gzip),
        gzip(&docker_save(std::slice::from_ref(&image))),
        zstd(&docker_save(&[image])),
    ];
    for archive in archives {
        let fixture = Fixture::with(limits.clone());
        let error = fixture.images.load(&archive[..], &mut |_| {}).unwrap_err();
        let report = base::Report::of(&error).to_string();
        assert!(report.contains("a decompression bomb"), "{report}");
        assert!(fixture.strays().is_empty() && fixture.images.list().is_empty());
    }
}

#[test]
fn a_crash_at_any_point_of_a_load_leaves_the_store_whole() {
    let archives = [archive(&["first"]), archive(&["first", "second"])];
    let mut finished = false;
    for crash in 0..100 {
        let fixture = Fixture::new();
        fixture.load(&archives[0]);
        fixture.images.0.faults.crash_at(crash);
        finished = fixture.images.load(&archives[1][..], &mut |_| {}).is_ok();
        let fixture = fixture.reopened();
        assert!(fixture.images.find("first").is_ok(), "crash at {crash}");
        assert_eq!(fixture.images.fsck().unwrap().damage, [], "crash at {crash}");
        assert!(fixture.strays().is_empty(), "crash at {crash}");
        fixture.images.collect(&crate::Keep::default(), false).unwrap();
        fixture.load(&archives[1]);
        assert_eq!(fixture.images.list().len(), 2, "crash at {crash}");
        assert_eq!(fixture.images.fsck().unwrap().damage, [], "crash at {crash}");
        if finished {
            break;
        }
    }
    assert!(finished, "the points never ran out");
}

#[test]
fn loads_side_by_side_share_their_layers() {
    let fixture = Fixture::new();
    let archives: Vec<Vec<u8>> = ["a", "b", "c", "d"].map(|name| archive(&[name, "shared"])).into();
    std::thread::scope(|scope| {
        for archive in &archives {
            let images = fixture.images.clone();
            scope.spawn(move || images.load(&archive[..], &mut |_| {}).unwrap());
            let images = fixture.images.clone();
            scope.spawn(move || images.collect(&crate::Keep::default(), false).unwrap());
        }
    });
    assert_eq!(fixture.images.list().len(), 5);
    assert_eq!(names(&fixture.path("layers")).len(), 6);
    assert_eq!(fixture.images.fsck().unwrap().damage, []);
}

#[test]
fn a_full_disk_is_told_as_such_and_loses_nothing() {
    testkit::require_root();
    let dir = tempfile::tempdir().unwrap();
    let disk = Mounted::tmpfs(dir.path(), "2m");
    let images = Images::open(dir.path().join("images")).unwrap();
    images.load(&archive(&["small"])[..], &mut |_| {}).unwrap();
    let noise: Vec<u8> = {
        let mut rng = base::Rng::seeded(7);
        (0..400_000).flat_map(|_| rng.next_u64().to_le_bytes()).collect()
    };
    let large = docker_save(&[TestImage::new("large", vec![tar(&[Entry::file("noise", noise)])])]);
    let error = images.load(&large[..], &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), base::Kind::Exhausted, "{error:?}");
    assert!(error.hint().unwrap().contains("nothing is lost"));
    assert!(images.find("small").is_ok() && names(&dir.path().join("images/unpacking")).is_empty());
    assert_eq!(images.fsck().unwrap().damage, []);
    disk.read_only();
    let error = images.load(&archive(&["other"])[..], &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), base::Kind::Unavailable, "{error:?}");
    assert!(images.find("small").is_ok());
    drop(images);
    let Err(error) = Images::open(dir.path().join("images")) else { panic!("a read-only folder opened") };
    assert!(error.hint().unwrap().contains("read-only"), "{error:?}");
}

/// A file system of a test's own, gone with it.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(path: &std::path::Path, size: &str) -> Self {
        let options = std::ffi::CString::new(format!("size={size}")).unwrap();
        rustix::mount::mount("tmpfs", path, "tmpfs", rustix::mount::MountFlags::empty(), options.as_c_str())
            .unwrap();
        Self(path.to_owned())
    }

    fn read_only(&self) {
        rustix::mount::mount_remount(&self.0, rustix::mount::MountFlags::RDONLY, "").unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn saved_archives_load_as_the_same_and_equal_images_make_equal_archives() {
    let fixture = Fixture::new();
    fixture.load(&oci_layout("z:1", &[(Platform::ours(), small("z"))], Compression::Zstd, zstd));
    fixture.load(&archive(&["a", "b:2"]));
    let saved = |fixture: &Fixture| {
        let mut out = Vec::new();
        fixture.images.save(["z:1", "a", "b:2"], &mut out).unwrap();
        out
    };
    let first = saved(&fixture);
    let other = Fixture::new();
    let loaded = other.load(&first);
    assert_eq!(loaded.len(), 3);
    for image in &loaded {
        assert_eq!(fixture.images.find(&image.names[0].familiar()).unwrap().id, image.id);
    }
    assert!(saved(&other) == first, "two archives of the same images differ");
}

#[test]
fn skopeo_reads_what_we_save_and_we_read_what_skopeo_writes() {
    let fixture = Fixture::new();
    fixture.load(&archive(&["web:1"]));
    let saved = fixture.path("saved.tar");
    fixture.images.save(["web:1"], std::fs::File::create(&saved).unwrap()).unwrap();
    let at = |kind: &str, name: &str| format!("{kind}:{}", fixture.path(name).display());
    let seen = skopeo(&["inspect", &at("docker-archive", "saved.tar"), "--config"]);
    assert!(seen.contains("\"rootfs\""), "{seen}");
    for (kind, name, suffix) in [("docker-archive", "d.tar", ":web:2"), ("oci-archive", "o.tar", ":web:2")] {
        let target = at(kind, name) + suffix;
        skopeo(&["--insecure-policy", "copy", &at("docker-archive", "saved.tar"), &target]);
        let other = Fixture::new();
        let loaded = other.load(&std::fs::read(fixture.path(name)).unwrap());
        assert_eq!(loaded[0].names[0].familiar(), "web:2", "{kind}");
        let lower = &other.images.find("web:2").unwrap().lower;
        assert_eq!(std::fs::read_to_string(lower[0].join("name")).unwrap(), "web:1", "{kind}");
    }
}

fn skopeo(arguments: &[&str]) -> String {
    let done = Command::new("skopeo").args(arguments).output().expect("skopeo is installed (Debian package)");
    assert!(done.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn images_load_save_and_load_as_themselves() {
    let made_up = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(made_up.path(), archive(&["made-up:1"])).unwrap();
    for path in real_images().into_iter().chain([made_up.path().to_owned()]) {
        let fixture = Fixture::new();
        let loaded = fixture.images.load(std::fs::File::open(&path).unwrap(), &mut |_| {}).unwrap();
        let name = loaded[0].names[0].to_string();
        assert_eq!(fixture.images.fsck().unwrap().damage, [], "{}", path.display());
        let saved = fixture.path("saved.tar");
        fixture.images.save([name.as_str()], std::fs::File::create(&saved).unwrap()).unwrap();
        let other = Fixture::new();
        let again = other.images.load(std::fs::File::open(&saved).unwrap(), &mut |_| {}).unwrap();
        assert_eq!((&again[0].id, &again[0].names), (&loaded[0].id, &loaded[0].names), "{}", path.display());
    }
}

#[test]
fn a_reader_that_fails_is_told_from_a_damaged_archive() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the network went away"))
        }
    }
    let error = Fixture::new().images.load(Broken, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), base::Kind::Unavailable);
}

#[track_caller]
fn refused(entries: &[Entry], expected: Expect) {
    check(&tar(entries), expected);
}

/// What a refused archive is answered with, causes and all; nothing of it may stay.
#[track_caller]
fn check(archive: &[u8], expected: Expect) {
    let fixture = Fixture::new();
    let error = fixture.images.load(archive, &mut |_| {}).expect_err("a broken archive was loaded");
    let report = base::Report::of(&error);
    let text = std::iter::once(report.message).chain(report.because).collect::<Vec<_>>().join("; because ");
    expected.assert_eq(&blurred(&text).replace(&Platform::ours().to_string(), "OURS"));
    assert!(fixture.images.list().is_empty() && fixture.strays().is_empty());
    assert!(names(&fixture.path("layers")).is_empty() && names(&fixture.path("blobs/sha256")).is_empty());
}

/// The text with every digest as `#`: they depend on the machine that the images are for.
fn blurred(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let len = rest[start..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len() - start);
        out += &rest[..start];
        out += if len == 64 { "#" } else { &rest[start..start + len] };
        rest = &rest[start + len..];
    }
    out + rest
}
