//! The files that we put into a container's folder: its hosts, resolver and host name, and its secrets and configs.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use crate::record::Record;

/// The names under `/etc` that are ours, and lie under the same names in the container's folder.
pub(crate) const OURS: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// Writes the files that the record asks for. Secrets are readable by whom the record names only.
pub(crate) fn write_sources(folder: &Path, record: &Record) -> io::Result<()> {
    if record.files.is_empty() {
        return Ok(());
    }
    let home = folder.join("files");
    fs::create_dir_all(&home)?;
    for (number, file) in record.files.iter().enumerate() {
        let path = home.join(number.to_string());
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        out.write_all(&file.content.0)?;
        chown(&path, Some(file.uid), Some(file.gid))?;
        fs::set_permissions(&path, Permissions::from_mode(file.mode & 0o7777))?;
    }
    Ok(())
}

/// What a container's `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub hosts: String,
    pub hostname: String,
    pub resolv_conf: String,
}

/// Writes the one of them that names addresses anew.
pub(crate) fn write_hosts(folder: &Path, identity: &Identity) -> io::Result<()> {
    fs::write(folder.join("hosts"), &identity.hosts)
}

/// Writes them in place: the container has these very files mounted.
pub(crate) fn write_identity(folder: &Path, identity: &Identity) -> io::Result<()> {
    for (name, text) in
        OURS.iter().zip([&identity.hosts, &format!("{}\n", identity.hostname), &identity.resolv_conf])
    {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
