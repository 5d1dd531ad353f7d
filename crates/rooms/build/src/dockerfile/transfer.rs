//! COPY and ADD: sources, target, flags, and files in heredocs.

use super::command::{Transfer, TransferFlags};
use super::error::Fault;
use super::flags::Flags;
use super::instruction::Line;
use super::words;

pub(super) fn copy(mut line: Line<'_>) -> Result<Transfer, Fault> {
    const FLAGS: &[&str] = &["from", "chown", "chmod", "link", "parents", "exclude"];
    let flags = Flags::check(line.instruction, FLAGS, std::mem::take(&mut line.flags))?;
    let read = TransferFlags {
        from: flags.one("from")?,
        chown: flags.one("chown")?,
        chmod: flags.one("chmod")?,
        link: flags.switch("link")?.unwrap_or(false),
        parents: flags.switch("parents")?.unwrap_or(false),
        exclude: flags.each("exclude")?,
        ..TransferFlags::default()
    };
    transfer(line, read, "COPY [--from=stage] source… target")
}

pub(super) fn add(mut line: Line<'_>) -> Result<Transfer, Fault> {
    const FLAGS: &[&str] = &["chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"];
    let flags = Flags::check(line.instruction, FLAGS, std::mem::take(&mut line.flags))?;
    let read = TransferFlags {
        chown: flags.one("chown")?,
        chmod: flags.one("chmod")?,
        link: flags.switch("link")?.unwrap_or(false),
        exclude: flags.each("exclude")?,
        checksum: flags.one("checksum")?,
        keep_git_dir: flags.switch("keep-git-dir")?,
        unpack: flags.switch("unpack")?,
        ..TransferFlags::default()
    };
    transfer(line, read, "ADD source… target")
}

fn transfer(line: Line<'_>, flags: TransferFlags, form: &'static str) -> Result<Transfer, Fault> {
    let mut sources = line.list(form)?;
    let target = match sources.pop() {
        Some(target) if !sources.is_empty() => target,
        Some(_) | None => return Err(line.wrong(form)),
    };
    if !line.heredocs.is_empty() {
        if words::mark(&target, line.escape).is_some() {
            return Err(line.wrong(form));
        }
        sources.retain(|source| words::mark(source, line.escape).is_none());
    }
    Ok(Transfer { sources, target, heredocs: line.heredocs, flags })
}
