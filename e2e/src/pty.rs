//! A command on a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::Result;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Runs a command whose input, output and errors are one terminal; types this; answers with its exit code and all
/// that the terminal showed.
pub fn on_terminal(mut command: Command, typed: &str) -> Result<(i32, String)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?.into_string()?;
    let theirs = File::options().read(true).write(true).open(name)?;
    rustix::termios::tcsetwinsize(
        &theirs,
        rustix::termios::Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 },
    )?;
    command.stdin(Stdio::from(theirs.try_clone()?)).stdout(Stdio::from(theirs.try_clone()?));
    command.stderr(Stdio::from(theirs)).process_group(0);
    let mut child = command.spawn()?;
    // The command holds the only other copies of the terminal's far end.
    drop(command);
    let mut ours = File::from(ours);
    ours.write_all(typed.as_bytes())?;
    let mut shown = Vec::new();
    let mut piece = [0; 4096];
    // Linux answers with an error once nobody has the far end.
    while let Ok(length @ 1..) = ours.read(&mut piece) {
        shown.extend_from_slice(&piece[..length]);
    }
    let code = child.wait()?.code().unwrap_or(-1);
    Ok((code, String::from_utf8_lossy(&shown).into_owned()))
}
