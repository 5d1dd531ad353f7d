//! A process's input and outputs: three pipes, or a terminal of the container's own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{Winsize, tcsetwinsize};

use super::talk::{Word, say};
use crate::failure::{Doing, Failure};
use crate::order::{Process, Size};

/// The child's ends.
pub(crate) enum Stdio {
    /// Three pipes.
    Pipes { stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd },
    /// The child makes one inside and sends the other end.
    Terminal,
}

/// A terminal's size as the kernel has it.
pub(crate) fn winsize(size: Size) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Makes them 0, 1 and 2 of this process, which becomes a session of its own; whether it is a terminal.
pub(super) fn take(stdio: Stdio, process: &Process, socket: BorrowedFd<'_>) -> Result<bool, Failure> {
    let doing = || "set up input and outputs";
    rustix::process::setsid().doing(doing)?;
    let (stdin, stdout, stderr) = match stdio {
        Stdio::Pipes { stdin, stdout, stderr } => (stdin, stdout, stderr),
        Stdio::Terminal => {
            let doing = || "make a terminal";
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            let ours = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty()).doing(doing)?;
            rustix::pty::unlockpt(&ours).doing(doing)?;
            let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
            let flags = flags | rustix::pty::OpenptFlags::CLOEXEC;
            let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags).doing(doing)?;
            if process.size != Size::default() {
                tcsetwinsize(&theirs, winsize(process.size)).doing(doing)?;
            }
            rustix::process::ioctl_tiocsctty(&theirs).doing(doing)?;
            say(socket, &Word::Terminal, Some(ours.as_fd()));
            let again = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
            (again(&theirs).doing(doing)?, again(&theirs).doing(doing)?, theirs)
        }
    };
    rustix::stdio::dup2_stdin(&stdin).doing(doing)?;
    rustix::stdio::dup2_stdout(&stdout).doing(doing)?;
    rustix::stdio::dup2_stderr(&stderr).doing(doing)?;
    Ok(process.tty)
}

/// Shows the terminal as `/dev/console` too. To be called inside the new root.
pub(super) fn console() -> Result<(), Failure> {
    let doing = || "make `/dev/console`";
    let name = rustix::fs::readlink("/proc/self/fd/0", Vec::new()).doing(doing)?;
    let name = name.to_string_lossy().into_owned();
    let root = super::rootfs::open_host(std::path::Path::new("/")).doing(doing)?;
    super::mounts::bind(
        root.as_fd(),
        std::path::Path::new(&name),
        "/dev/console",
        crate::sys::MountChange::default(),
    )
}

/// Gives them to the user, who may want to open `/dev/stdout` again.
pub(super) fn give_to(uid: u32) {
    let owner = rustix::fs::Uid::from_raw(uid);
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        // `/dev/null` is everybody's; what cannot be given away (a file system of others) is left as it is.
        let null = rustix::fs::fstat(fd).is_ok_and(|s| rustix::fs::major(s.st_rdev) == 1);
        if !null {
            let _ = rustix::fs::fchown(fd, Some(owner), None);
        }
    }
}
