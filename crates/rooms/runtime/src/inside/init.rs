//! A small init: process 1 that hands signals on, reaps what is left to it, and ends as the program ends.
//!
//! It is a fork inside the container, so it works in images that hold nothing but the program.

use std::os::fd::AsFd;

use rustix::process::{Pid, WaitOptions, wait};

use crate::failure::{Doing, Failure};
use crate::sys;

/// Splits in two: comes back in the child, which is to become the program; process 1 stays here for ever.
pub(super) fn split(tty: bool) -> Result<(), Failure> {
    // Before the program is there: one that ends at once would end unheard otherwise, as would what is sent to it.
    let signals = sys::Signals::hold();
    match sys::fork().doing(|| "split off process 1")? {
        0 => {
            // A group of its own: what the terminal sends reaches the program alone, not twice.
            rustix::process::setpgid(None, None).doing(|| "make a process group")?;
            if tty {
                sys::ignore_signals(&[libc::SIGTTOU]);
                let stdin = rustix::stdio::stdin();
                let _ = rustix::termios::tcsetpgrp(stdin.as_fd(), rustix::process::getpid());
            }
            sys::default_signals();
            Ok(())
        }
        pid => {
            sys::close_from(0);
            let _ = rustix::thread::set_name(c"sea-init");
            sys::leave(watch(pid, &signals))
        }
    }
}

/// Hands on and reaps until the program has ended; its exit code.
fn watch(pid: i32, signals: &sys::Signals) -> i32 {
    let Some(program) = Pid::from_raw(pid) else { return 255 };
    loop {
        match signals.next() {
            libc::SIGCHLD => {}
            libc::SIGTTIN | libc::SIGTTOU | libc::SIGTSTP => continue,
            other => {
                sys::signal_pid(pid, other);
                continue;
            }
        }
        while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
            if ended == program {
                return status
                    .exit_status()
                    .or(status.terminating_signal().map(|signal| 128 + signal))
                    .unwrap_or(255);
            }
        }
    }
}
