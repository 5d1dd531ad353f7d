//! Running other programs: shown, timed, and with errors that say what was run.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs it with our own output; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("could not start `{}`", shown(command)))?;
    ensure!(status.success(), "`{}` failed: {status}", shown(command));
    Ok(())
}

/// Runs it and returns what it printed to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start `{}`", shown(command)))?;
    ensure!(done.status.success(), "`{}` failed: {}", shown(command), done.status);
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Runs it, passes its lines on to our stderr as they come, and returns them all.
pub(crate) fn watched(command: &mut Command) -> Result<Vec<String>> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{}`", shown(command)))?;
    let stdout = child.stdout.take().expect("stdout was piped");
    let stderr = child.stderr.take().expect("stderr was piped");
    let beside = std::thread::spawn(move || passed_on(stderr));
    let mut lines = passed_on(stdout);
    match beside.join() {
        Ok(more) => lines.extend(more),
        Err(_) => bail!("the reader of `{}` died", shown(command)),
    }
    let status = child.wait()?;
    ensure!(status.success(), "`{}` failed: {status}", shown(command));
    Ok(lines)
}

fn passed_on(stream: impl Read) -> Vec<String> {
    let lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .inspect(|line| eprintln!("{line}"))
        .collect()
}

/// Whether a program is found on `PATH` or in the folders of the system's own programs.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.any(|folder: std::path::PathBuf| folder.join(program).is_file())
}

/// Whether we are root.
pub(crate) fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}
