//! Which devices a container may use: as lines for the first version, as a small program for the second.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use base::DeviceRule;

use crate::failure::{Doing, Failure};
use crate::order::Device;

/// A character device that may be read, written and made.
fn usual(major: u32, minor: Option<u32>) -> DeviceRule {
    DeviceRule { kind: 'c', major: Some(major), minor, read: true, write: true, make: true }
}

/// The usual devices, leave to make (not to use) any node, and the order's own.
pub(super) fn rules(devices: &[Device], more: &[DeviceRule]) -> Result<Vec<DeviceRule>, Failure> {
    let node = |kind| DeviceRule { kind, major: None, minor: None, read: false, write: false, make: true };
    let mut rules = vec![node('c'), node('b')];
    // null, zero, full, random, urandom; tty, console, ptmx; terminals.
    rules.extend([3, 5, 7, 8, 9].map(|minor| usual(1, Some(minor))));
    rules.extend([0, 1, 2].map(|minor| usual(5, Some(minor))));
    rules.push(usual(136, None));
    for device in devices {
        for (path, _) in each(device)? {
            let meta = path.metadata().doing(|| format!("look at device `{}`", path.display()))?;
            let number = meta.rdev();
            let may = |letter| device.permissions.is_empty() || device.permissions.contains(letter);
            rules.push(DeviceRule {
                kind: if meta.file_type().is_block_device() { 'b' } else { 'c' },
                major: Some(rustix::fs::major(number)),
                minor: Some(rustix::fs::minor(number)),
                read: may('r'),
                write: may('w'),
                make: may('m'),
            });
        }
    }
    for rule in more {
        let kinds: &[char] = if rule.kind == 'a' { &['b', 'c'] } else { &[rule.kind] };
        rules.extend(kinds.iter().map(|kind| DeviceRule { kind: *kind, ..*rule }));
    }
    Ok(rules)
}

/// The device and its place inside; of a folder, each device in it.
pub(crate) fn each(device: &Device) -> Result<Vec<(std::path::PathBuf, String)>, Failure> {
    let doing = || format!("look at device `{}`", device.source.display());
    let meta = device.source.metadata().doing(doing)?;
    if meta.is_dir() {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&device.source).doing(doing)? {
            let entry = entry.doing(doing)?;
            let one = Device {
                source: entry.path(),
                target: format!("{}/{}", device.target, entry.file_name().to_string_lossy()),
                permissions: device.permissions.clone(),
            };
            if is_device(&one.source) || one.source.is_dir() {
                all.extend(each(&one)?);
            }
        }
        return Ok(all);
    }
    if !is_device(&device.source) {
        return Err(Failure::invalid(format!("`{}` is not a device", device.source.display())));
    }
    Ok(vec![(device.source.clone(), device.target.clone())])
}

fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.file_type().is_char_device() || m.file_type().is_block_device())
}

/// One instruction of the kernel's machine.
fn instruction(code: u8, to: u8, from: u8, jump: i16, value: i32) -> u64 {
    u64::from(code)
        | u64::from(to | from << 4) << 8
        | u64::from(jump as u16) << 16
        | u64::from(value as u32) << 32
}

/// The same as a program: register 1 points to kind and access, major, minor; the answer is 1 for yes.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<u64> {
    const LOAD: u8 = 0x61; // 32 bits from memory
    const SET: u8 = 0xb4; // 32 bits, a number
    const COPY: u8 = 0xbc; // 32 bits, a register
    const AND: u8 = 0x54;
    const SHIFT_RIGHT: u8 = 0x74;
    const IF_NOT: u8 = 0x56; // 32 bits, jump if not equal
    const END: u8 = 0x95;
    // 2: kind, 3: access, 4: major, 5: minor.
    let mut program = vec![
        instruction(LOAD, 2, 1, 0, 0),
        instruction(COPY, 3, 2, 0, 0),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD, 4, 1, 4, 0),
        instruction(LOAD, 5, 1, 8, 0),
    ];
    for rule in rules {
        let access = i32::from(rule.make) | i32::from(rule.read) << 1 | i32::from(rule.write) << 2;
        let mut tests = vec![(2u8, if rule.kind == 'b' { 1 } else { 2 })];
        tests.extend(rule.major.map(|major| (4, major as i32)));
        tests.extend(rule.minor.map(|minor| (5, minor as i32)));
        // Behind the tests: three that look for access beyond the rule's, two that say yes.
        let mut left = tests.len() as i16 + 5;
        for (register, value) in tests {
            left -= 1;
            program.push(instruction(IF_NOT, register, 0, left, value));
        }
        program.extend([
            instruction(COPY, 6, 3, 0, 0),
            instruction(AND, 6, 0, 0, 7 & !access),
            instruction(IF_NOT, 6, 0, 2, 0),
            instruction(SET, 0, 0, 0, 1),
            instruction(END, 0, 0, 0, 0),
        ]);
    }
    program.extend([instruction(SET, 0, 0, 0, 0), instruction(END, 0, 0, 0, 0)]);
    program
}
