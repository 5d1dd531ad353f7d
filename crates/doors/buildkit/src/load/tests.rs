//! Tests of reading the Dockerfile from a folder that came from a client.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

#[test]
fn links_lead_to_no_place_outside() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("folder");
    fs::create_dir_all(folder.join("sub")).expect("a folder");
    fs::write(dir.path().join("secret"), "secret").expect("a file");
    fs::write(folder.join("sub/real"), "FROM scratch").expect("a file");
    fs::write(folder.join("binary"), [0xff, 0xfe]).expect("a file");
    for (name, to) in
        [("inside", "sub/real"), ("outside", "../secret"), ("absolute", "/sub/real"), ("host", "/etc/passwd")]
    {
        symlink(to, folder.join(name)).expect("a link");
    }
    let text = |name: &str| read(&folder, name, 100).map_err(|status| status.message);
    assert_eq!(text("inside"), Ok(Some("FROM scratch".into())));
    assert_eq!(text("absolute"), Ok(Some("FROM scratch".into())));
    assert_eq!(text("outside"), Ok(None));
    assert_eq!(text("host"), Ok(None));
    assert_eq!(text("missing"), Ok(None));
    assert_eq!(text("sub/real/x"), Ok(None));
    assert_eq!(text("sub"), Err("failed to read dockerfile: read sub: is a directory".into()));
    assert_eq!(text("binary"), Err("`binary` is not text in UTF-8".into()));
    assert_eq!(
        read(&folder, "inside", 3).map_err(|status| status.message),
        Err("`inside` has more than 3 bytes".into())
    );
}
