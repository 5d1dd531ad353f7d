//! Making the container: cgroup, namespaces, and the process that will become its program.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::thread::ThreadNameSpaceType;

use super::session::{Session, make_stdio};
use super::watch::{Made, Watch};
use crate::cgroup::{Cgroup, Hierarchies};
use crate::failure::{Doing, Failure};
use crate::inside::{self, talk};
use crate::logs::Writer;
use crate::order::{Namespace, Order};
use crate::sys::{self, CloneOrder, Cloned};

/// Makes the container up to its last step. If it cannot, nothing of it is left.
pub(super) fn boot(dir: &Path, order: Order) -> Result<Watch, Failure> {
    let hierarchies = Hierarchies::find().doing(|| "find the cgroups")?;
    let cgroup = Cgroup::at(&order.cgroup, &hierarchies)?;
    // What an earlier run that was killed has left would count, and could still write.
    let listener = super::listen()?;
    match make(dir, &order, &cgroup) {
        Ok((session, notes)) => {
            base::crash::point("shim: log about to be opened");
            let log = Writer::open(dir, order.log).doing(|| "open the log");
            match log {
                Ok(log) => Ok(Watch::new(dir, order, Made { cgroup, listener, main: session, log, notes })),
                Err(failure) => {
                    undo(&cgroup);
                    Err(failure)
                }
            }
        }
        Err(failure) => {
            undo(&cgroup);
            Err(failure)
        }
    }
}

fn undo(cgroup: &Cgroup) {
    cgroup.kill();
    // The failure itself is what matters; the daemon removes what is left of a lost container.
    let _ = cgroup.remove();
}

fn make(dir: &Path, order: &Order, cgroup: &Cgroup) -> Result<(Session, Vec<String>), Failure> {
    let mut notes = Vec::new();
    cgroup.create(&order.limits, &mut notes)?;
    if !order.process.capabilities.privileged {
        cgroup.allow_devices(&order.devices, &order.device_rules)?;
    }
    base::crash::point("shim: cgroup bounded");
    std::fs::create_dir_all(dir.join("rootfs"))
        .doing(|| format!("make `{}`", dir.join("rootfs").display()))?;
    base::crash::point("shim: folder of the root made");
    if let Namespace::Path(path) = &order.namespaces.pid {
        inside::join_namespace(path, ThreadNameSpaceType::PROCESS_ID)?;
    }
    let (stdio, ends) = make_stdio(&order.process)?;
    let (ours, theirs) = talk::pair()?;
    let second = cgroup.open_second()?;
    let clone =
        CloneOrder { flags: inside::clone_flags(order), cgroup: second.as_ref().map(|fd| fd.as_fd()) };
    let child = match sys::clone_process(&clone).doing(|| "make a process in new namespaces")? {
        Cloned::Child => {
            drop(ours);
            inside::born(inside::Birth { order, dir, cgroup, socket: theirs, stdio })
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    base::crash::point("shim: process made");
    drop((theirs, stdio));
    let mut session = Session::new(0, child, ours, order.process.tty, ends);
    loop {
        if let Some(said) = session.hear()? {
            base::crash::point("shim: process ready");
            notes.extend(said);
            return Ok((session, notes));
        }
        if session.talk.is_none() {
            let ended = || Failure::invalid("the container's first process ended before it was ready");
            return Err(session.failure.take().unwrap_or_else(ended));
        }
    }
}
