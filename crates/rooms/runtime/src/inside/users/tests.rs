//! Users and groups as images name them.

use super::*;

fn accounts() -> Accounts {
    Accounts {
        passwd: "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:100:101::/srv:/bin/sh\n7:x:33:34::/seven:\n"
            .into(),
        group: "root:x:0:\nweb:x:101:\nextra:x:202:db, web\n".into(),
    }
}

#[test]
fn users_are_found_as_docker_finds_them() {
    check("", &[], Ok((0, 0, &[0], "/root")));
    check("web", &[], Ok((100, 101, &[101, 202], "/srv")));
    check("100", &[], Ok((100, 101, &[101, 202], "/srv")));
    check("web:extra", &[], Ok((100, 202, &[202], "/srv")));
    check("1234", &[], Ok((1234, 0, &[0], "/")));
    check("1234:99", &["extra", "5"], Ok((1234, 99, &[5, 99, 202], "/")));
    check("7", &[], Ok((33, 34, &[34], "/seven")));
    check("ghost", &[], Err("unable to find user ghost: no matching entries in passwd file"));
    check("web:ghost", &[], Err("unable to find group ghost: no matching entries in group file"));
}

#[track_caller]
fn check(text: &str, add: &[&str], expected: Result<(u32, u32, &[u32], &str), &str>) {
    let add: Vec<String> = add.iter().map(|group| (*group).to_owned()).collect();
    let found = accounts().find(text, &add);
    let found = found.as_ref().map(|u| (u.uid, u.gid, &u.groups[..], &*u.home)).map_err(|f| &*f.message);
    assert_eq!(found, expected, "{text}");
}
