//! Names and users in paths.

use super::*;

#[test]
fn paths_are_made_plain_and_keep_what_they_end_with() {
    for (path, plain_path, name) in [
        ("/etc", "/etc", "etc"),
        ("etc", "/etc", "etc"),
        ("/etc/", "/etc/", "etc"),
        ("/etc/.", "/etc/.", "."),
        ("/", "/", "/"),
        (".", "/.", "."),
        ("..", "/", "/"),
        ("/d//e/../a", "/d/a", "a"),
        ("/d/e/..", "/d", "d"),
    ] {
        assert_eq!((plain(path).as_str(), last_name(&plain(path)).as_str()), (plain_path, name), "{path}");
    }
}

#[test]
fn users_are_found_by_name_and_number() {
    let (passwd, group) = ("root:x:0:0::/:\nwww:x:33:34::/:\n", "root:x:0:\nstaff:x:50:\n");
    for (user, ids) in [
        ("www", Some((33, 34))),
        ("33", Some((33, 34))),
        ("77", Some((77, 0))),
        ("www:staff", Some((33, 50))),
        ("77:88", Some((77, 88))),
        ("nobody", None),
        ("www:nobody", None),
    ] {
        assert_eq!(ids_of(user, passwd, group).ok(), ids, "{user}");
    }
}

#[test]
fn what_the_system_says_is_told_without_its_number() {
    let error = io::Error::from(Errno::BUSY);
    assert_eq!(plain_words(&error), "device or resource busy");
}
