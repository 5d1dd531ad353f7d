//! COPY, ADD and WORKDIR: what lands where, as whom, and what never gets out.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use super::world::{World, brief, describe, show};
use expect_test::{Expect, expect};

/// Builds `FROM base` and these lines over a context of these files; shows what came on top.
#[track_caller]
fn check(files: &[(&str, &str)], lines: &str, made: Expect) {
    let world = World::new();
    world.put(files);
    made.assert_eq(&world.files(&format!("FROM base:1\n{lines}")));
    world.is_clean();
}

/// The same where it must fail; shows what went wrong and what to do.
#[track_caller]
fn check_error(files: &[(&str, &str)], lines: &str, wrong: Expect) {
    let world = World::new();
    world.put(files);
    let built = world.build(&format!("FROM base:1\n{lines}")).built;
    wrong.assert_eq(&brief(&built.expect_err("it must fail")));
    world.is_clean();
}

const SITE: &[(&str, &str)] = &[
    ("site/index.html", "hi"),
    ("site/css/a.css", "a"),
    ("site/css/b.css", "b"),
    ("site/link -> css/a.css", ""),
    ("readme.md", "r"),
    ("notes.md", "n"),
    ("empty/", ""),
];

#[test]
fn files_land_where_docker_puts_them() {
    check(
        SITE,
        "COPY readme.md /a",
        expect![[r#"
        layer 1
          644 0:0 a = r"#]],
    );
    check(
        SITE,
        "COPY readme.md /a/",
        expect![[r#"
        layer 1
          755 0:0 a/
          644 0:0 a/readme.md = r"#]],
    );
    check(
        SITE,
        "COPY readme.md notes.md /docs/",
        expect![[r#"
        layer 1
          755 0:0 docs/
          644 0:0 docs/notes.md = n
          644 0:0 docs/readme.md = r"#]],
    );
    check(
        SITE,
        "COPY *.md ./docs/",
        expect![[r#"
        layer 1
          755 0:0 docs/
          644 0:0 docs/notes.md = n
          644 0:0 docs/readme.md = r"#]],
    );
    check(
        SITE,
        "COPY site /srv/site",
        expect![[r#"
        layer 1
          755 0:0 srv/
          755 0:0 srv/site/
          755 0:0 srv/site/css/
          644 0:0 srv/site/css/a.css = a
          644 0:0 srv/site/css/b.css = b
          644 0:0 srv/site/index.html = hi
          srv/site/link -> css/a.css"#]],
    );
    check(
        SITE,
        "COPY site/css/ /srv/",
        expect![[r#"
        layer 1
          755 0:0 srv/
          644 0:0 srv/a.css = a
          644 0:0 srv/b.css = b"#]],
    );
    check(
        SITE,
        "COPY site/?*/[a].css empty /srv/",
        expect![[r#"
        layer 1
          755 0:0 srv/
          644 0:0 srv/a.css = a"#]],
    );
}

#[test]
fn a_linked_layer_knows_nothing_of_what_is_below() {
    check(
        SITE,
        "COPY site /srv\nCOPY --link readme.md /srv/link/",
        expect![[r#"
        layer 1
          755 0:0 srv/
          755 0:0 srv/css/
          644 0:0 srv/css/a.css = a
          644 0:0 srv/css/b.css = b
          644 0:0 srv/index.html = hi
          srv/link -> css/a.css
        layer 2
          755 0:0 srv/
          755 0:0 srv/link/
          644 0:0 srv/link/readme.md = r"#]],
    );
    check(
        SITE,
        "COPY site /srv\nCOPY --link readme.md /srv",
        expect![[r#"
        layer 1
          755 0:0 srv/
          755 0:0 srv/css/
          644 0:0 srv/css/a.css = a
          644 0:0 srv/css/b.css = b
          644 0:0 srv/index.html = hi
          srv/link -> css/a.css
        layer 2
          644 0:0 srv = r"#]],
    );
    check(
        SITE,
        "COPY site /srv\nADD --link --chown=1:2 readme.md /srv/css/",
        expect![[r#"
        layer 1
          755 0:0 srv/
          755 0:0 srv/css/
          644 0:0 srv/css/a.css = a
          644 0:0 srv/css/b.css = b
          644 0:0 srv/index.html = hi
          srv/link -> css/a.css
        layer 2
          755 1:2 srv/
          755 1:2 srv/css/
          644 1:2 srv/css/readme.md = r"#]],
    );
}

#[test]
fn folders_links_and_patterns_land_where_docker_puts_them() {
    check(
        SITE,
        "COPY readme.md /etc",
        expect![[r#"
        layer 1
          755 0:0 etc/
          644 0:0 etc/readme.md = r"#]],
    );
    check(
        SITE,
        "WORKDIR /w/x\nCOPY readme.md .\nWORKDIR ../y\nCOPY notes.md sub/",
        expect![[r#"
        layer 1
          755 0:0 w/
          755 0:0 w/x/
        layer 2
          755 0:0 w/
          755 0:0 w/x/
          644 0:0 w/x/readme.md = r
        layer 3
          755 0:0 w/
          755 0:0 w/y/
        layer 4
          755 0:0 w/
          755 0:0 w/y/
          755 0:0 w/y/sub/
          644 0:0 w/y/sub/notes.md = n"#]],
    );
    check(
        SITE,
        "COPY site/link /l",
        expect![[r#"
        layer 1
          644 0:0 l = a"#]],
    );
    check(
        SITE,
        "COPY --parents site/css/a.css readme.md /p/",
        expect![[r#"
        layer 1
          755 0:0 p/
          644 0:0 p/readme.md = r
          755 0:0 p/site/
          755 0:0 p/site/css/
          644 0:0 p/site/css/a.css = a"#]],
    );
}

#[test]
fn parents_keep_the_folders_behind_the_pivot() {
    check(
        SITE,
        "COPY --parents site/./css/a.css /p/",
        expect![[r#"
        layer 1
          755 0:0 p/
          755 0:0 p/css/
          644 0:0 p/css/a.css = a"#]],
    );
    check(
        SITE,
        "COPY --parents ./site/./**/*.css readme.* /p/",
        expect![[r#"
        layer 1
          755 0:0 p/
          755 0:0 p/css/
          644 0:0 p/css/a.css = a
          644 0:0 p/css/b.css = b
          644 0:0 p/readme.md = r"#]],
    );
    check(
        SITE,
        "COPY --parents s*/./css /p/",
        expect![[r#"
        layer 1
          755 0:0 p/
          755 0:0 p/css/
          644 0:0 p/css/a.css = a
          644 0:0 p/css/b.css = b"#]],
    );
    check(
        SITE,
        "COPY --parents site/nothing /p/",
        expect![[r#"
        error: Dockerfile line 2: `site/nothing` is not in the context
           1 | FROM base:1
           2 > COPY --parents site/nothing /p/
          hint: paths are relative to the context; what `.dockerignore` takes is not there either"#]],
    );
    check(SITE, "COPY --parents site/n* /p/", expect!["layer 1"]);
}

#[test]
fn what_is_excluded_stays_behind() {
    check(
        SITE,
        "COPY --exclude=**/*.css --exclude=link site /s",
        expect![[r#"
        layer 1
          755 0:0 s/
          755 0:0 s/css/
          644 0:0 s/index.html = hi"#]],
    );
}

#[test]
fn permissions_may_be_said_in_letters() {
    check(
        SITE,
        "COPY --chmod=u=rwX,go=X site /s",
        expect![[r#"
        layer 1
          711 0:0 s/
          711 0:0 s/css/
          600 0:0 s/css/a.css = a
          600 0:0 s/css/b.css = b
          600 0:0 s/index.html = hi
          s/link -> css/a.css"#]],
    );
    check(
        SITE,
        "COPY --chmod=go-r <<EOF /t\nx\nEOF",
        expect![[r#"
        layer 1
          600 0:0 t = x"#]],
    );
    check(
        SITE,
        "COPY --chmod=hello site /s",
        expect![[r#"
        error: Dockerfile line 2: `hello` cannot be permissions
           1 | FROM base:1
           2 > COPY --chmod=hello site /s
          hint: allowed is octal digits up to 7777, as in `0755`, or clauses, as in `u=rwX,go-w`"#]],
    );
}

#[test]
fn owners_and_permissions_are_as_asked() {
    check(
        SITE,
        "COPY --chown=app readme.md /a",
        expect![[r#"
        layer 1
          644 1000:1001 a = r"#]],
    );
    check(
        SITE,
        "COPY --chown=app:staff --chmod=0700 site/css /a/",
        expect![[r#"
        layer 1
          700 1000:50 a/
          700 1000:50 a/a.css = a
          700 1000:50 a/b.css = b"#]],
    );
    check(
        SITE,
        "COPY --chown=7 readme.md /new/a",
        expect![[r#"
        layer 1
          755 7:7 new/
          644 7:7 new/a = r"#]],
    );
    check(
        SITE,
        "USER app\nWORKDIR /home/app\nCOPY readme.md .",
        expect![[r#"
        layer 1
          755 1000:1001 home/
          755 1000:1001 home/app/
        layer 2
          755 1000:1001 home/
          755 1000:1001 home/app/
          644 0:0 home/app/readme.md = r"#]],
    );
}

#[test]
fn heredocs_become_files() {
    check(
        &[],
        "ARG WHO=you\nCOPY <<hello.txt <<'raw' /etc/greet/\nhi $WHO\nhello.txt\nhi $WHO\nraw",
        expect![[r#"
            layer 1
              755 0:0 etc/
              755 0:0 etc/greet/
              644 0:0 etc/greet/hello.txt = hi you
              644 0:0 etc/greet/raw = hi $WHO"#]],
    );
    check(
        &[],
        "COPY <<EOF /robots.txt\nUser-agent: *\nEOF",
        expect![[r#"
        layer 1
          644 0:0 robots.txt = User-agent: *"#]],
    );
}

#[test]
fn a_wrong_copy_says_what_to_do() {
    check_error(
        SITE,
        "COPY redme.md /a",
        expect![[r#"
        error: Dockerfile line 2: `redme.md` is not in the context
          hint: paths are relative to the context; what `.dockerignore` takes is not there either"#]],
    );
    check_error(
        SITE,
        "COPY readme.md notes.md /a",
        expect![[r#"
        error: Dockerfile line 2: there are 2 sources, and the target `/a` is not a folder
          hint: end the target with a slash"#]],
    );
    check_error(
        SITE,
        "COPY --chown=nobody-here readme.md /a",
        expect![[r#"
        error: Dockerfile line 2: the owner cannot be found: there is no user `nobody-here` in the image's /etc/passwd
          hint: use numbers, or make the user in an earlier RUN"#]],
    );
    check_error(
        SITE,
        "COPY --chmod=rwx readme.md /a",
        expect![[r#"
            error: Dockerfile line 2: `rwx` cannot be permissions
              hint: allowed is octal digits up to 7777, as in `0755`, or clauses, as in `u=rwX,go-w`"#]],
    );
    check_error(
        SITE,
        "COPY ../readme.md /a\nCOPY ../../etc/passwd /p",
        expect![[r#"
        error: Dockerfile line 3: `../../etc/passwd` is not in the context
          hint: paths are relative to the context; what `.dockerignore` takes is not there either"#]],
    );
}

#[test]
fn what_cannot_be_copied_or_has_no_place_is_refused() {
    check_error(
        SITE,
        "ADD https://example.org/x.tar /x",
        expect![[r#"
            error: Dockerfile line 2: could not fetch `https://example.org/x.tar`
              because: `https://example.org/x.tar` cannot be fetched: this builder has no way to the network"#]],
    );
    check_error(
        SITE,
        "ADD --checksum=sha256:00 readme.md /x",
        expect![[r#"
        error: Dockerfile line 2: `--checksum` is not supported
          hint: it is for ADD of a URL; check a local file in a RUN"#]],
    );
    check_error(
        SITE,
        "COPY [a /x",
        expect![[r#"
        error: Dockerfile line 2: `[a` cannot be a pattern
          hint: allowed is *, ? and [a-z]; `[` needs its `]`, and `\` a character behind it"#]],
    );
    check_error(
        SITE,
        "COPY readme.md /etc/passwd/x",
        expect![[r#"
        error: Dockerfile line 2: could not read `/etc/passwd/x`
          because: Not a directory (os error 20)"#]],
    );
    check_error(
        SITE,
        "COPY site /etc/passwd",
        expect![
            "error: Dockerfile line 2: `/etc/passwd` is there already and is a file, so a folder cannot take its place"
        ],
    );
    check_error(
        SITE,
        "COPY --from=nowhere:1 / /x",
        expect![[r#"
        error: Dockerfile line 2: there is no image `nowhere:1` here
          hint: load it with `sea image load`, or build `nowhere:1` first"#]],
    );
    check_error(
        &[(".wh.passwd", "")],
        "COPY . /etc/",
        expect![
            "error: Dockerfile line 2: `/etc/.wh.passwd` is named like a deletion in a layer (`.wh.`), which cannot be in an image"
        ],
    );
}

#[test]
fn no_link_leads_out_of_the_context_or_the_image() {
    let outside = tempfile::tempdir().expect("a folder outside");
    fs::write(outside.path().join("secret"), "secret").expect("a file outside");
    let target = outside.path().display().to_string();
    // In the context: a link to an absolute path means that path inside the context.
    let files = [(&*format!("out -> {target}"), ""), (&*format!("file -> {target}/secret"), "")];
    let world = World::new();
    world.put(&files);
    for source in ["out/secret", "file", "out"] {
        let error = world.files(&format!("FROM base:1\nCOPY {source} /x"));
        assert!(error.contains("is not in the context"), "{error}");
    }
    // In the image: a folder that is a link out is a link within the image.
    let shown =
        world.files(&format!("FROM base:1\nRUN ln -s {target} /out\nCOPY <<EOF /out/planted\nx\nEOF"));
    assert!(shown.contains("/planted = x"), "{shown}");
    assert!(!outside.path().join("planted").exists());
    let error = world.files(&format!(
        "FROM base:1 AS a\nRUN ln -s {target} /out\nFROM base:1\nCOPY --from=a /out/secret /x"
    ));
    assert!(error.contains("is not in `a`"), "{error}");
    world.is_clean();
}

#[test]
fn files_come_from_other_stages_and_from_images() {
    check(
        SITE,
        "COPY site /s\nFROM scratch AS two\nCOPY --from=0 /s/css /css\nCOPY --from=base:1 /etc/group /group\nFROM two\nCOPY --from=TWO /css/a.css /copy",
        expect![[r#"
            layer 1
              644 0:0 group = root:x:0:
            app:x:1001:
            staff:x:50:app
            layer 2
              644 0:0 copy = a"#]],
    );
}

fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o640);
        header.set_uid(5);
        header.set_gid(6);
        header.set_mtime(7);
        // Set by hand: the library would refuse the names that we want to see refused.
        header.as_gnu_mut().expect("it is one").name[..name.len()].copy_from_slice(name.as_bytes());
        let data = if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name_literal(text).expect("short");
            ""
        } else {
            text
        };
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, data.as_bytes()).expect("to memory");
    }
    tar.into_inner().expect("to memory")
}

const BZIP2: &str = "425a68393141592653592651d3af00002d5b80d1804000ef00000267001e400808200054564000340c8314693d40c11a0d7718fc8624244ef8952b5e59c10805dd2324432045e04422f812ca9cf0c0896fc66869200f8bb9229c28481328e9d780";
const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3e007ff00425d00320bc8c00e502708fce700a38049b29bc2aa52007ad55b9785fa0d4040a9f4403922fc2969fa0fcb57798ec2a1b915f922818a04b123aa24867aa5aafe833c16a8000000006198defa3461560500015e8010000000575a2e14b1c467fb020000000004595a";
const XZ_LARGE: &str = "fd377a585a000004e6d6b44602002101240000005e1fc7f9e007ff00425d00320bc8c00e502708fce700a38049b29bc2aa52007ad55b9785fa0d4040a9f4403922fc2969fa0fcb57798ec2a1b915f922818a04b123aa24867aa5aafe833c16a8000000006198defa3461560500015e8010000000575a2e14b1c467fb020000000004595a";

/// The bytes that a text of hexadecimal digits stands for.
fn bytes(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    (0..text.len()).step_by(2).map(pair).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("to memory");
    packer.finish().expect("to memory")
}

#[track_caller]
fn check_add(archive: &[u8], lines: &str, made: Expect) {
    let world = World::new();
    fs::write(world.context().join("a.tar"), archive).expect("a file in the context");
    let shown = match world.build(&format!("FROM base:1\n{lines}")).built {
        Ok(built) => show(&world.image(&built)),
        Err(error) => brief(&error),
    };
    made.assert_eq(&shown);
    world.is_clean();
}

#[test]
fn add_unpacks_archives_and_copies_everything_else() {
    use tar::EntryType as T;
    let plain = archive(&[
        ("d/", T::Directory, ""),
        ("d/f", T::Regular, "text"),
        ("d/l", T::Symlink, "/etc/passwd"),
        ("d/h", T::Link, "d/f"),
    ]);
    check_add(
        &plain,
        "ADD a.tar /x",
        expect![[r#"
        layer 1
          755 0:0 x/
          640 5:6 x/d/
          640 5:6 x/d/f = text
          640 5:6 x/d/h = text
          x/d/l -> /etc/passwd"#]],
    );
    check_add(
        &gzip(&plain),
        "ADD --chown=app a.tar /x/",
        expect![[r#"
        layer 1
          755 1000:1001 x/
          640 1000:1001 x/d/
          640 1000:1001 x/d/f = text
          640 1000:1001 x/d/h = text
          x/d/l -> /etc/passwd"#]],
    );
    check_add(
        &zstd::encode_all(&plain[..], 1).expect("to memory"),
        "ADD a.tar /",
        expect![[r#"
        layer 1
          640 5:6 d/
          640 5:6 d/f = text
          640 5:6 d/h = text
          d/l -> /etc/passwd"#]],
    );
    check_add(
        &plain[..0],
        "ADD a.tar /x",
        expect![[r#"
            layer 1
              644 0:0 x (empty)"#]],
    );
    check_add(
        &gzip(b"no archive")[..],
        "ADD a.tar /x\nRUN rm /x",
        expect![[r#"
            layer 1
              644 0:0 x (30 bytes)
            layer 2
              x is special"#]],
    );
}

#[test]
fn add_unpacks_what_old_programs_packed_and_bounds_the_memory_for_it() {
    // A file of four letters, packed by the programs of those names; then one that wants a gigabyte of memory.
    check_add(
        &bytes(BZIP2),
        "ADD a.tar /x",
        expect![[r#"
        layer 1
          755 0:0 x/
          755 0:0 x/d/
          640 5:6 x/d/f = text"#]],
    );
    check_add(
        &bytes(XZ),
        "ADD a.tar /x",
        expect![[r#"
        layer 1
          755 0:0 x/
          755 0:0 x/d/
          640 5:6 x/d/f = text"#]],
    );
    check_add(
        &bytes(XZ_LARGE),
        "ADD a.tar /x",
        expect![
            "error: Dockerfile line 2: the archive `a.tar` cannot be unpacked: it is not whole (its xz dictionary is larger than 128 MiB, or it is packed in a way that xz rarely uses)"
        ],
    );
    check_add(
        b"BZh91AY",
        "ADD a.tar /x",
        expect![[r#"
            layer 1
              644 0:0 x = BZh91AY"#]],
    );
}

#[test]
fn hostile_archives_are_refused_by_the_entry() {
    use tar::EntryType as T;
    check_add(
        &archive(&[("../x", T::Regular, "x")]),
        "ADD a.tar /d/",
        expect![
            "error: Dockerfile line 2: the archive `a.tar` cannot be unpacked: the entry `../x` is refused, because its name climbs out of the target"
        ],
    );
    check_add(
        &archive(&[("n", T::Char, "")]),
        "ADD a.tar /d/",
        expect![
            "error: Dockerfile line 2: the archive `a.tar` cannot be unpacked: the entry `n` is refused, because it is neither a file, a folder nor a link"
        ],
    );
    check_add(
        &archive(&[(".wh.x", T::Regular, "")]),
        "ADD a.tar /d/",
        expect![
            "error: Dockerfile line 2: `/d/.wh.x` is named like a deletion in a layer (`.wh.`), which cannot be in an image"
        ],
    );
    check_add(
        &archive(&[("l", T::Link, "../../etc/passwd")]),
        "ADD a.tar /d/",
        expect![
            "error: Dockerfile line 2: the archive `a.tar` cannot be unpacked: the entry `l` is refused, because its name climbs out of the target"
        ],
    );
    check_add(
        &archive(&[("l", T::Link, "none")]),
        "ADD a.tar /d/",
        expect![
            "error: Dockerfile line 2: the archive `a.tar` cannot be unpacked: the entry `l` is refused, because it links to a file that is not there"
        ],
    );
    // A link out, then a file through it: it lands inside the image.
    let through = archive(&[("l", T::Symlink, "/tmp"), ("l/f", T::Regular, "x")]);
    check_add(
        &through,
        "ADD a.tar /d/",
        expect![[r#"
        layer 1
          755 0:0 d/
          d/l -> /tmp
          755 0:0 tmp/
          640 5:6 tmp/f = x"#]],
    );
    let whole = archive(&[("f", T::Regular, &"x".repeat(5000))]);
    check_add(
        &whole[..2000],
        "ADD a.tar /d/",
        expect![
            "error: Dockerfile line 2: the archive `a.tar` cannot be unpacked: it is not whole (unexpected EOF during skip)"
        ],
    );
}

#[test]
fn a_hard_link_of_an_archive_never_reaches_a_lower_layer() {
    let world = World::new();
    let bytes = archive(&[("copy", tar::EntryType::Link, "etc/passwd")]);
    fs::write(world.context().join("a.tar"), bytes).expect("a file in the context");
    let built = world.build("FROM base:1\nADD a.tar /\nRUN echo evil >> /copy").good();
    let base = world.images.find("base:1").expect("the base image");
    let passwd = fs::read_to_string(base.lower[0].join("etc/passwd")).expect("a layer");
    assert!(!passwd.contains("evil"), "the base image is untouched");
    assert_eq!(built.steps, 3);
}

#[test]
fn capabilities_and_odd_modes_survive_a_copy() {
    let world = World::new();
    let path = world.context().join("tool");
    File::create(&path).expect("a file in the context");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).expect("it is ours");
    // `cap_net_raw+ep`, as the kernel stores it.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rustix::fs::setxattr(&path, "security.capability", &capability, rustix::fs::XattrFlags::empty())
        .expect("the test runs as root");
    let built =
        world.build("FROM base:1 AS a\nCOPY tool /tool\nFROM base:1\nCOPY --from=a /tool /tool2").good();
    let copy = world.image(&built).lower[0].join("tool2");
    let mut value = [0u8; 64];
    let length =
        rustix::fs::getxattr(&copy, "security.capability", &mut value).expect("it has the attribute");
    assert_eq!(value[..length], capability);
    assert_eq!(fs::metadata(&copy).expect("it is there").permissions().mode() & 0o7777, 0o4755);
}

#[test]
fn an_archive_as_the_context_gives_the_same_image_as_the_folder() {
    let world = World::new();
    world.put(SITE);
    world.request.borrow_mut().epoch = Some(1_000_000_000);
    let dockerfile = "FROM base:1\nCOPY . /ctx/";
    let first = world.build(dockerfile).good();
    let mut tar = Vec::new();
    crate::context::pack(
        &world.context(),
        &crate::ignore::Ignore::none(),
        &mut tar,
        crate::context::Limits::default(),
    )
    .expect("the context is sound");
    let archive = crate::Context::Archive(Box::new(std::io::Cursor::new(tar)));
    let request = crate::BuildRequest {
        no_cache: crate::NoCache::Always,
        epoch: Some(1_000_000_000),
        ..crate::BuildRequest::new(archive, crate::DockerfileSource::Text(dockerfile.to_owned()))
    };
    let second = world.builder.build(request, &super::world::Chroot, &|_| ());
    let second = second.unwrap_or_else(|error| panic!("{}", describe(&error)));
    assert_eq!(first.image, second.image);
    world.is_clean();
}
