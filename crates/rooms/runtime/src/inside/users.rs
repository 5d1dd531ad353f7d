//! Who a process runs as, by the image's own `/etc/passwd` and `/etc/group`.

use std::io::Read;

use crate::failure::Failure;

/// Who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Further groups.
    pub(super) groups: Vec<u32>,
    /// Where it lives; `/` if nobody says.
    pub(super) home: String,
}

/// What an image says about its users.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    passwd: String,
    group: String,
}

/// As much of the files as is read.
const LIMIT: u64 = 4 << 20;

impl Accounts {
    /// Reads the files of the root that this process is in.
    pub(super) fn read() -> Self {
        Self { passwd: read("/etc/passwd"), group: read("/etc/group") }
    }

    /// Finds `name|uid[:group|gid]`, as docker does: a number need not be known, a name must be.
    pub(super) fn find(&self, text: &str, add: &[String]) -> Result<User, Failure> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (text, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let entry = self.user(user);
        let number = user.parse::<u32>().ok();
        let Some(uid) = entry.as_ref().map(|entry| entry.uid).or(number) else {
            return Err(Failure::invalid(format!(
                "unable to find user {user}: no matching entries in passwd file"
            ))
            .hint("name a user of the image's /etc/passwd, or a number"));
        };
        let mut groups = Vec::new();
        let gid = match group {
            Some(group) => self.group(group)?,
            None => {
                if let Some(entry) = &entry {
                    groups = self.groups_of(&entry.name);
                }
                entry.as_ref().map_or(0, |entry| entry.gid)
            }
        };
        for group in add {
            groups.push(self.group(group)?);
        }
        groups.push(gid);
        groups.sort_unstable();
        groups.dedup();
        let home = entry.map(|entry| entry.home).filter(|home| !home.is_empty());
        Ok(User { uid, gid, groups, home: home.unwrap_or_else(|| "/".to_owned()) })
    }

    fn user(&self, wanted: &str) -> Option<Entry> {
        let number = wanted.parse::<u32>().ok();
        let entries = || self.passwd.lines().filter_map(Entry::parse);
        entries().find(|e| e.name == wanted).or_else(|| entries().find(|e| Some(e.uid) == number))
    }

    fn group(&self, wanted: &str) -> Result<u32, Failure> {
        let found = self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid = fields.nth(1)?.parse().ok()?;
            (name == wanted).then_some(gid)
        });
        found.or_else(|| wanted.parse().ok()).ok_or_else(|| {
            Failure::invalid(format!("unable to find group {wanted}: no matching entries in group file"))
                .hint("name a group of the image's /etc/group, or a number")
        })
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        let member = |line: &str| {
            let mut fields = line.split(':').skip(2);
            let gid = fields.next()?.parse().ok()?;
            fields.next()?.split(',').any(|member| member.trim() == name).then_some(gid)
        };
        self.group.lines().filter_map(member).collect()
    }
}

struct Entry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default().to_owned();
        Some(Self { name, uid, gid, home })
    }
}

/// An image may have anything in the file's place; only a plain file is read, and not without end.
fn read(path: &str) -> String {
    use rustix::fs::{FileType, Mode, OFlags};
    let mut bytes = Vec::new();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(path, flags, Mode::empty())
        && rustix::fs::fstat(&file).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)
    {
        // What cannot be read is as good as absent.
        let _ = std::fs::File::from(file).take(LIMIT).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
