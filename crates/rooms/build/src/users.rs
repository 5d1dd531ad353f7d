//! Names of users and groups to numbers, by a tree's own `/etc/passwd` and `/etc/group`.

use std::io;

use crate::tree::Tree;

/// Who owns a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Why `user:group` gives no numbers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoOwner {
    #[error("there is no user `{0}` in the image's /etc/passwd")]
    User(String),
    #[error("there is no group `{0}` in the image's /etc/group")]
    Group(String),
    #[error("could not read the image's list of users")]
    Read(#[source] io::Error),
}

/// Reads `user`, `user:group`, or numbers in place of either.
///
/// A user by name brings the group of its entry; a number without a group is the group's number too.
pub(crate) fn owner(text: &str, tree: &Tree) -> Result<Owner, NoOwner> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let mut owner = match user.parse::<u32>() {
        Ok(uid) => Owner { uid, gid: uid },
        Err(_) if user.is_empty() => Owner::default(),
        Err(_) => entry(tree, "/etc/passwd", user)?
            .and_then(|fields| {
                Some(Owner { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
            })
            .ok_or_else(|| NoOwner::User(user.to_owned()))?,
    };
    if let Some(group) = group {
        owner.gid = match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => entry(tree, "/etc/group", group)?
                .and_then(|fields| fields.get(2)?.parse().ok())
                .ok_or_else(|| NoOwner::Group(group.to_owned()))?,
        };
    }
    Ok(owner)
}

/// The fields of the line that begins with this name.
fn entry(tree: &Tree, file: &str, name: &str) -> Result<Option<Vec<String>>, NoOwner> {
    let text = tree.read(file).map_err(NoOwner::Read)?.unwrap_or_default();
    let mut lines = text.lines().map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
    Ok(lines.find(|fields| fields.first().is_some_and(|first| first == name)))
}
