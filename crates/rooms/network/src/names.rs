//! Names within networks: which name means which addresses, and the server that says so.
//!
//! A container asks its network's gateway. Questions about the network's own names are answered from a table,
//! others are passed on to the host's name servers, or nowhere if the network is internal.
//!
//! The server is a role of its own ([`names_main`]), since containers run on, and must find each other, while
//! the daemon is away. It holds the last table that it was given and nothing else; the next daemon finds it by
//! its socket `names.sock`. Why the gateway's address and not 127.0.0.11, as docker has it: a socket inside
//! every container's namespace would have to be made again, and its traffic turned, for each of them; one
//! socket a network does the same for all, and needs no rules inside containers.

mod client;
mod control;
mod forward;
mod message;
mod server;
pub(crate) mod table;

pub(crate) use client::Publisher;
pub use control::names_main;
#[cfg(test)]
pub(crate) use control::{run, tell};
pub use server::{Confirmation, Serving, serve};
pub use table::{Member, NamesOfNetwork, NamesTable};

/// For how many seconds an answer may be kept.
///
/// An instance leaves its shared names when it begins to drain, and whoever drains it waits at least this long
/// before it stops. Zero would be as correct, but some programs then ask anew for every request.
pub const TTL_SECS: u32 = 1;
