//! One isolated process tree and the shim that watches over it.
//!
//! The daemon writes an [`Order`], and [`Shims`] starts one small shim process a container, which is this program
//! again in the role of [`shim_main`]. The shim makes namespaces, mounts, cgroup and the process itself, keeps its
//! output, and writes down how it ended. Daemon and shim speak over a socket in the container's folder; either may
//! be killed at any moment.
//!
//! Must never: run `clone` in the daemon, follow a link out of a container's root, or hold state that only memory
//! has.

mod beneath;
mod cgroup;
mod exit;
mod failure;
mod frames;
mod inside;
mod layers;
pub mod logs;
pub mod order;
mod protocol;
mod shim;
mod shims;
mod sys;

pub use beneath::open_beneath;
pub use cgroup::{CgroupGroup, DeviceFigure, Figures, Stats};
pub use exit::Exit;
pub use failure::Failure;
pub use layers::{image_layers, seen_layers, writable_layers};
pub use order::Order;
pub use protocol::{Phase, ProcessSeen, Seen};
pub use shim::shim_main;
pub use shims::{
    Attached, CallError, CreateError, Event, FindError, Found, Input, Output, ReapError, Shim, Shims,
    ShimsError, WaitError,
};
pub use sys::unread;
