//! The kernel calls that no safe library offers; the only unsafe code of this room.
#![allow(unsafe_code)] // This module is where the workspace lets it live.

mod bpf;
mod mounts;
mod net;
mod spawn;

pub(crate) use bpf::{Filter, attach_device_program, install_filter};
pub(crate) use mounts::{MountChange, change_mount};
pub use net::unread;
pub(crate) use net::{interface_up, peer_pidfd, watch_end};
pub(crate) use spawn::{
    CloneOrder, Cloned, Signals, clone_process, close_from, close_from_on_exec, default_signals, exec, fork,
    ignore_signals, leave, new_cgroup_namespace, new_keyring, rename_arguments, signal_pid, signal_pidfd,
};
