//! HTTP plumbing: one client and one server, over unix sockets, with drain.
//!
//! The server takes an `axum` router; the client speaks JSON, lines of JSON, uploads, and upgrades to a raw
//! stream. A failure crosses the socket as a [`base::Report`] and comes out as one.

mod client;
mod server;
mod socket;
mod status;

pub use client::{Body, CallError, Client, Lines, Upgraded};
pub use server::{Accepted, ServeError, Server};
pub use socket::{connect, listen};
pub use status::{kind_of, status_of};
