//! Whether two folders hold the same files.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The first name, in order, at which two folders differ. Times are not compared: packing rounds them.
pub(crate) fn first_difference(one: &Path, other: &Path) -> io::Result<Option<String>> {
    let mut left = vec![PathBuf::new()];
    while let Some(inside) = left.pop() {
        if !same_entry(&one.join(&inside), &other.join(&inside))? {
            return Ok(Some(if inside.as_os_str().is_empty() {
                ".".into()
            } else {
                inside.display().to_string()
            }));
        }
        if fs::symlink_metadata(one.join(&inside))?.is_dir() {
            let names = names(&one.join(&inside))?;
            if let Some(odd) = names.symmetric_difference(&self::names(&other.join(&inside))?).next() {
                return Ok(Some(inside.join(odd).display().to_string()));
            }
            left.extend(names.into_iter().rev().map(|name| inside.join(name)));
        }
    }
    Ok(None)
}

fn names(dir: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}

fn same_entry(one: &Path, other: &Path) -> io::Result<bool> {
    let (a, b) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    let looks = |meta: &fs::Metadata| (meta.mode(), meta.uid(), meta.gid(), meta.rdev());
    if looks(&a) != looks(&b) {
        return Ok(false);
    }
    if a.is_symlink() {
        return Ok(fs::read_link(one)? == fs::read_link(other)?);
    }
    if !a.is_file() {
        return Ok(true);
    }
    Ok(a.len() == b.len() && same_content(&mut File::open(one)?, &mut File::open(other)?)?)
}

fn same_content(one: &mut impl Read, other: &mut impl Read) -> io::Result<bool> {
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let n = one.read(&mut a)?;
        other.read_exact(&mut b[..n])?;
        if a[..n] != b[..n] {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}
