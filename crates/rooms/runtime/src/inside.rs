//! What happens inside: from a new process in new namespaces to the container's program.
//!
//! All of it runs in the child, so that the shim stays small and nothing of it is left behind. The child tells the
//! shim about each step through [`talk`]; whatever fails is a word there and the end of the child.

mod devices;
mod init;
mod mounts;
mod program;
mod rights;
mod rootfs;
pub(crate) mod seccomp;
mod stdio;
pub(crate) mod talk;
mod users;
mod volumes;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use base::Kind;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::cgroup::Cgroup;
use crate::failure::{Doing, Failure, NOT_EXECUTABLE, NOT_MADE};
use crate::order::{MASKED, Namespace, Net, Order, Process, READONLY};
use crate::sys;
use talk::{Cue, Word, await_cue, say};

pub(crate) use seccomp::Plan;
pub(crate) use stdio::{Stdio, winsize};

/// What the child is given.
pub(crate) struct Birth<'a> {
    pub(crate) order: &'a Order,
    pub(crate) dir: &'a Path,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) socket: OwnedFd,
    pub(crate) stdio: Stdio,
}

/// The `CLONE_NEW…` flags for what is the container's own from the beginning.
pub(crate) fn clone_flags(order: &Order) -> u64 {
    let spaces = &order.namespaces;
    let mut flags = libc::CLONE_NEWNS;
    for (space, flag) in [
        (&spaces.pid, libc::CLONE_NEWPID),
        (&spaces.ipc, libc::CLONE_NEWIPC),
        (&spaces.uts, libc::CLONE_NEWUTS),
    ] {
        if *space == Namespace::Private {
            flags |= flag;
        }
    }
    if matches!(spaces.net, Net::New | Net::None) {
        flags |= libc::CLONE_NEWNET;
    }
    flags as u64
}

/// Becomes the container's process 1; never comes back.
pub(crate) fn born(birth: Birth<'_>) -> ! {
    base::crash::arm("inside");
    let socket = birth.socket;
    let keep = Given { order: birth.order, dir: birth.dir, cgroup: birth.cgroup };
    let failure = match live(&keep, &socket, birth.stdio) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    say(socket.as_fd(), &Word::Failed(failure), None);
    sys::leave(1)
}

struct Given<'a> {
    order: &'a Order,
    dir: &'a Path,
    cgroup: &'a Cgroup,
}

fn live(given: &Given<'_>, socket: &OwnedFd, stdio: Stdio) -> Result<std::convert::Infallible, Failure> {
    let order = given.order;
    let mut notes = Vec::new();
    sys::default_signals();
    hide();
    rustix::process::umask(rustix::fs::Mode::empty());
    base::crash::point("inside: begun");
    join_namespaces(order)?;
    if let Some(adjust) = order.process.oom_score_adj {
        rights::oom_score(adjust, &mut notes);
    }
    let sources = mounts::Sources::open(order, given.dir)?;
    mounts::detach()?;
    let root = rootfs::mount(&order.rootfs, &given.dir.join("rootfs"))?;
    base::crash::point("inside: root mounted");
    volumes::copy_up(root.as_fd(), &order.copy_up)?;
    base::crash::point("inside: volumes filled");
    mounts::usual(root.as_fd(), order, &sources)?;
    devices::fill(root.as_fd(), order)?;
    base::crash::point("inside: devices made");
    given.cgroup.enter_first()?;
    base::crash::point("inside: cgroup entered");
    if order.namespaces.cgroup == Namespace::Private {
        sys::new_cgroup_namespace().doing(|| "make a cgroup namespace")?;
    }
    mounts::cgroups(root.as_fd(), order, given.cgroup)?;
    mounts::ordered(root.as_fd(), order, sources)?;
    base::crash::point("inside: mounts made");
    rootfs::enter(root.as_fd())?;
    base::crash::point("inside: root entered");
    drop(root);
    name_it(order)?;
    base::crash::point("inside: names set");
    let terminal = stdio::take(stdio, &order.process, socket.as_fd())?;
    if terminal {
        stdio::console()?;
    }
    protect(order)?;
    base::crash::point("inside: protected");
    finish(&order.process, &Plan::of(order), notes, Part::Main { with_init: order.init }, socket)
}

/// Keeps this process, which holds files of the host's, from being looked into by those in the container until it is
/// its program: the kernel lifts this by itself then.
fn hide() {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Enters the namespaces of others. The process namespace holds for children only, so the shim has seen to it.
fn join_namespaces(order: &Order) -> Result<(), Failure> {
    let spaces = &order.namespaces;
    let net = match &spaces.net {
        Net::Path(path) => Some(path),
        Net::New | Net::None | Net::Host => None,
    };
    let path = |space: &'_ Namespace| match space {
        Namespace::Path(path) => Some(path.clone()),
        Namespace::Private | Namespace::Host => None,
    };
    let all = [
        (net.cloned(), ThreadNameSpaceType::NETWORK),
        (path(&spaces.ipc), ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
        (path(&spaces.uts), ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME),
        (path(&spaces.cgroup), ThreadNameSpaceType::CONTROL_GROUP),
    ];
    for (path, kind) in all {
        let Some(path) = path else { continue };
        join_namespace(&path, kind)?;
    }
    Ok(())
}

/// Enters the namespace that a file stands for.
pub(crate) fn join_namespace(path: &Path, kind: ThreadNameSpaceType) -> Result<(), Failure> {
    let doing = || format!("join the namespace `{}`", path.display());
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let space = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).doing(doing)?;
    move_into_thread_name_spaces(space.as_fd(), kind).doing(doing)
}

/// Names, the loopback and kernel settings: what the namespaces themselves hold.
fn name_it(order: &Order) -> Result<(), Failure> {
    if order.namespaces.uts == Namespace::Private {
        if let Some(name) = &order.hostname {
            rustix::system::sethostname(name.as_bytes()).doing(|| format!("set the host name `{name}`"))?;
        }
        if let Some(name) = &order.domainname {
            rustix::system::setdomainname(name.as_bytes())
                .doing(|| format!("set the domain name `{name}`"))?;
        }
    }
    if matches!(order.namespaces.net, Net::New | Net::None) {
        sys::interface_up("lo").doing(|| "bring the loopback up")?;
    }
    for (key, value) in &order.sysctls {
        sysctl(order, key, value)?;
    }
    Ok(())
}

/// Sets a kernel setting, if it belongs to the container alone.
fn sysctl(order: &Order, key: &str, value: &str) -> Result<(), Failure> {
    let ipc =
        ["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax"];
    let ipc_too = ["kernel.shmmni", "kernel.shm_rmid_forced"];
    let own = if key.starts_with("net.") {
        order.namespaces.net != Net::Host
    } else if ipc.contains(&key) || ipc_too.contains(&key) || key.starts_with("fs.mqueue.") {
        order.namespaces.ipc != Namespace::Host
    } else {
        ["kernel.domainname", "kernel.hostname"].contains(&key) && order.namespaces.uts != Namespace::Host
    };
    if !own || key.contains("..") {
        return Err(Failure::invalid(format!("the kernel setting `{key}` is not a container's own"))
            .hint("only settings of its namespaces can be set: net.*, fs.mqueue.*, and those of kernel.* for messages and shared memory"));
    }
    // In names with dots of their own, as of interfaces, people write `/` for the outer ones.
    let path = if key.contains('/') { key.to_owned() } else { key.replace('.', "/") };
    std::fs::write(format!("/proc/sys/{path}"), value).doing(|| format!("set `{key}` to `{value}`"))
}

/// Read-only and empty paths, and the root itself.
fn protect(order: &Order) -> Result<(), Failure> {
    let list = |given: &Option<Vec<String>>, usual: &[&str]| match given {
        Some(paths) => paths.clone(),
        None if order.process.capabilities.privileged => Vec::new(),
        None => usual.iter().map(|path| (*path).to_owned()).collect(),
    };
    mounts::protect(&list(&order.readonly_paths, &READONLY), &list(&order.masked_paths, &MASKED))?;
    if order.read_only {
        mounts::seal_root().doing(|| "make the root read-only")?;
    }
    Ok(())
}

/// What a process is to its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Process 1, or the child of a small init that is.
    Main { with_init: bool },
    /// One that is run beside it.
    Beside,
}

impl Part {
    /// A crash point, by its name for the main process and for others.
    fn passes(self, [main, beside]: [&str; 2]) {
        match self {
            Self::Main { .. } => base::crash::point(main),
            Self::Beside => base::crash::point(beside),
        }
    }
}

/// The last steps, the same for the main process and those run beside it.
fn finish(
    process: &Process,
    filter: &Plan,
    mut notes: Vec<String>,
    part: Part,
    socket: &OwnedFd,
) -> Result<std::convert::Infallible, Failure> {
    let user = users::Accounts::read().find(&process.user, &process.group_add)?;
    let capabilities = rights::bounded(rights::capabilities(&process.capabilities)?);
    rights::limit(process, &mut notes)?;
    stdio::give_to(user.uid);
    let cwd = if process.cwd.is_empty() { "/" } else { &process.cwd };
    if !cwd.starts_with('/') {
        return Err(Failure::invalid(format!("the working directory `{cwd}` is not an absolute path")));
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    match part {
        Part::Main { .. } if !Path::new(cwd).is_dir() => {
            std::fs::create_dir_all(cwd).doing(|| format!("make the working directory `{cwd}`"))?;
        }
        Part::Beside if !Path::new(cwd).exists() => {
            let gone = Failure::invalid(format!("there is no working directory `{cwd}` in the container"));
            return Err(Failure { code: NOT_EXECUTABLE, kind: Kind::NotFound, ..gone });
        }
        Part::Main { .. } | Part::Beside => {}
    }
    part.passes(["inside: about to be ready", "beside: about to be ready"]);
    let early = rustix::process::chdir(cwd);
    let program = filter.compile(capabilities)?;
    say(socket.as_fd(), &Word::Ready { notes }, None);
    if !await_cue(socket, Cue::Start) {
        sys::leave(1);
    }
    part.passes(["inside: let go", "beside: let go"]);
    sys::new_keyring();
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).doing(|| "forbid new privileges")?;
    } else if let Some(program) = &program {
        // While we still may: afterwards only a process without new privileges could.
        sys::install_filter(program).doing(|| "filter the system calls")?;
    }
    rights::become_user(&user, capabilities)?;
    if early.is_err() {
        // A folder that only its owner may enter.
        rustix::process::chdir(cwd).doing(|| format!("enter the working directory `{cwd}`"))?;
    }
    let mut env = process.env.clone();
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    if part == (Part::Main { with_init: true }) {
        sys::rename_arguments("sea-init");
        init::split(process.tty)?;
    }
    if process.no_new_privileges
        && let Some(program) = &program
    {
        sys::install_filter(program).doing(|| "filter the system calls")?;
    }
    sys::close_from_on_exec(3);
    part.passes(["inside: about to be the program", "beside: about to be the program"]);
    Err(program::run(&process.args, &env))
}

/// What a process run beside the main one is given.
pub(crate) struct Visit<'a> {
    pub(crate) process: &'a Process,
    pub(crate) filter: Plan,
    /// The container's process 1.
    pub(crate) init: BorrowedFd<'a>,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) socket: OwnedFd,
    pub(crate) stdio: Stdio,
}

/// Goes into a running container and runs a program there; never comes back.
///
/// It was made inside the container's process namespace, which no process can change for itself, and enters the others.
pub(crate) fn visit(visit: Visit<'_>) -> ! {
    base::crash::arm("inside");
    base::crash::point("beside: begun");
    let socket = visit.socket;
    let enter = || -> Result<(), Failure> {
        sys::default_signals();
        hide();
        visit.cgroup.enter_first()?;
        let flags = ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::CONTROL_GROUP
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
            | ThreadNameSpaceType::NETWORK;
        move_into_thread_name_spaces(visit.init, flags).doing(|| "enter the container")?;
        base::crash::point("beside: container entered");
        Ok(())
    };
    let run = || {
        stdio::take(visit.stdio, visit.process, socket.as_fd())?;
        finish(visit.process, &visit.filter, Vec::new(), Part::Beside, &socket)
    };
    let failure = match enter().map(|()| run()) {
        Ok(Ok(never)) => match never {},
        // The container is there; what cannot be had is this process in it.
        Ok(Err(failure)) if failure.code == NOT_MADE => Failure { code: NOT_EXECUTABLE, ..failure },
        Ok(Err(failure)) | Err(failure) => failure,
    };
    say(socket.as_fd(), &Word::Failed(failure), None);
    sys::leave(1)
}
