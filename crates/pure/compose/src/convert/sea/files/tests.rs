//! Folders as the file says them, and what is said of those that make no sense.

use expect_test::expect;

use crate::{LoadError, MemoryFiles, Request, load};

/// The folders of a service, a line each, or what is wrong.
fn said(files: &str) -> String {
    let text =
        format!("services: {{a: {{image: x, x-sea: {{route: a.b -> 80, edge: {{files: {files}}}}}}}}}");
    let disk = MemoryFiles::default().with("/app/compose.yaml", text);
    match load(&Request::new("/app"), &disk).and_then(|loaded| loaded.project.app()) {
        Ok(converted) => {
            let line = |files: &spec::Files| {
                let cache = files.cache.as_deref().unwrap_or("-");
                format!("{} at {} {:?} {cache}", files.folder, files.path, files.missing)
            };
            let files = &converted.app.services[0].edge.files;
            files.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Err(LoadError::Invalid(findings)) => {
            let line = |f: &crate::Finding| {
                let key = f.key.trim_start_matches("services.a.x-sea.edge.");
                format!("{key}: {} | {}", f.message, f.help.clone().unwrap_or_default())
            };
            findings.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn folders_are_read_in_every_form() {
    let forms = [
        "./public",
        "{from: ../dist/, path: /static, missing: 404, cache: 'public, max-age=3600'}",
        "[{from: /srv/a, path: /a, missing: index}, {from: b, missing: app}]",
    ];
    expect![[r#"
        /app/public at / App -
        /dist at /static NotFound public, max-age=3600
        /srv/a at /a Index -
        /app/b at / App -"#]]
    .assert_eq(&forms.map(said).join("\n"));
}

#[test]
fn folders_that_make_no_sense_are_told() {
    let flaws = [
        "5",
        "''",
        "{path: /a}",
        "{from: a, path: static}",
        "{from: a, path: /a/../b}",
        "{from: a, missing: 500}",
        "{from: a, cache: \"a\\nb\"}",
        "{from: a, spa: true}",
        "[{from: a}, {from: b, path: /}]",
    ];
    expect![[r#"
        files: a folder cannot be an integer | write a folder, as in `./public`, or as in `{from: ./public, path: /static, missing: 404}`
        files: the folder has no name | write a folder, as in `./public`, or as in `{from: ./public, path: /static, missing: 404}`
        files.from: the folder is missing | write a folder, as in `./public`, or as in `{from: ./public, path: /static, missing: 404}`
        files.path: `static` is no path: a path begins with one `/` | write as in `/static`
        files.path: `/a/../b` is no path: `.` and `..` lead to different places with different servers | write as in `/static`
        files.missing: `500` is not a value of this key | allowed are app, 404 and index
        files.cache: no field can have this value | write what `Cache-Control` says, as in `public, max-age=3600`
        files.spa: there is no such key | the keys here are from, path, missing, cache
        files[1].path: two folders are at `/` | give each a `path` of its own"#]].assert_eq(&flaws.map(said).join("\n"));
}
