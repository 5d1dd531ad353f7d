//! Making processes: `clone3`, what a child does before it runs another program, and its end.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// How to make a process.
#[derive(Default)]
pub(crate) struct CloneOrder<'a> {
    /// `CLONE_NEW…`.
    pub(crate) flags: u64,
    /// A cgroup (second version) that it is born into.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// `CLONE_INTO_CGROUP`, which libc has in a type that is too small for it.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which of the two we are.
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The old one.
    Parent {
        /// Of the child, as seen from here.
        pid: i32,
        /// Tells when it ends, and cannot come to mean another.
        pidfd: OwnedFd,
    },
}

/// `clone3` without shared memory: a fork with namespaces. Only for processes with one thread.
pub(crate) fn clone_process(order: &CloneOrder<'_>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut flags = order.flags | libc::CLONE_PIDFD as u64;
    if order.cgroup.is_some() {
        flags |= INTO_CGROUP;
    }
    let args = libc::clone_args {
        flags,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: order.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // SAFETY: no memory is shared with the child and this process has one thread, so no lock can be left held in
    // the child; `args` is whole and its size is given. No library wraps the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel stored a descriptor there that nobody else owns.
        pid => Ok(Cloned::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
    }
}

/// Closes all descriptors from `first` on.
pub(crate) fn close_from(first: RawFd) {
    // SAFETY: closes descriptors of a process that is about to become another program and uses none of them.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Marks all descriptors from `first` on to be closed by the next `exec`.
pub(crate) fn close_from_on_exec(first: RawFd) {
    // SAFETY: changes flags of descriptors, no memory. 4 is CLOSE_RANGE_CLOEXEC.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 4) };
}

/// Every signal back to what it does by default, and none blocked.
pub(crate) fn default_signals() {
    /// The kernel's own structure: handler, flags, restorer and mask, all at their defaults.
    const DEFAULT: [u64; 4] = [0; 4];
    // SAFETY: an empty set is a valid set, and default actions call nothing of ours. By the system call, because the
    // library refuses the two signals that it has kept for itself, and a container would inherit them ignored.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            );
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Takes no notice of these signals.
pub(crate) fn ignore_signals(signals: &[i32]) {
    for signal in signals {
        // SAFETY: ignoring calls nothing of ours.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// All signals of this process, which come one by one from here on and do nothing by themselves.
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    /// From now on none is lost. A child made after this has them blocked too, see [`default_signals`].
    pub(crate) fn hold() -> Self {
        // SAFETY: the set is filled before it is used.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
            Self(all)
        }
    }

    /// Waits for the next one; its number.
    pub(crate) fn next(&self) -> i32 {
        loop {
            // SAFETY: the set is whole, and the call accepts no place for details.
            let signal = unsafe { libc::sigwaitinfo(&raw const self.0, std::ptr::null_mut()) };
            if signal > 0 {
                return signal;
            }
        }
    }
}

/// Becomes the program at this very path; comes back only with the reason why not.
pub(crate) fn exec(path: &CString, args: &[CString], env: &[CString]) -> io::Result<Infallible> {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: all three are null-terminated and outlive the call. `std` would search and would change signals.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// Ends this process at once, without running what the parent registered for its own end.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: `_exit` always is.
    unsafe { libc::_exit(code) }
}

/// Shows this name in place of the arguments that this process was started with.
///
/// Process 1 of a container is a fork of the shim, whose arguments tell a path of the host.
pub(crate) fn rename_arguments(name: &str) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The fields behind the name in parentheses; the kernel's 48th and 49th are the bounds of the arguments.
    let Some((_, rest)) = stat.rsplit_once(')') else { return };
    let mut fields = rest.split_ascii_whitespace().skip(45);
    let mut next = || fields.next()?.parse::<usize>().ok();
    let (Some(start), Some(end)) = (next(), next()) else { return };
    if start == 0 || end <= start {
        return;
    }
    let len = name.len().min(end - start - 1);
    // SAFETY: the kernel says that the arguments lie there, on our own stack; nothing of Rust's lies between, and
    // this process reads them no more.
    unsafe {
        std::ptr::write_bytes(start as *mut u8, 0, end - start);
        std::ptr::copy_nonoverlapping(name.as_ptr(), start as *mut u8, len);
    }
}

/// Leaves the keys of whoever started us behind, where the kernel has keys.
pub(crate) fn new_keyring() {
    const JOIN_SESSION: libc::c_long = 1;
    // SAFETY: a name is allowed to be null; no memory is touched.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION, std::ptr::null::<libc::c_char>()) };
}

/// Sends a signal by its number, which may be one of the nameless ones.
pub(crate) fn signal_pidfd(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: only numbers and a null pointer, which the call allows, are passed.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, nothing, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a signal by its number to a child that has not been waited for, so that the number is still its own.
pub(crate) fn signal_pid(pid: i32, signal: i32) {
    // SAFETY: only numbers are passed; above 0 it is one process.
    if pid > 0 {
        unsafe { libc::kill(pid, signal) };
    }
}

/// Goes on in a cgroup namespace of its own, whose root is where this process is now.
pub(crate) fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: this namespace concerns names in `/proc` and mounts to come; no descriptor or memory changes meaning.
    let done = unsafe { libc::unshare(libc::CLONE_NEWCGROUP) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A plain fork, which filters of system calls let pass where they hide `clone3`. 0 in the child.
pub(crate) fn fork() -> io::Result<i32> {
    // SAFETY: this process has one thread, so no lock can be left held in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}
