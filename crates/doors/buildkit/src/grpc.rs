//! gRPC over HTTP/2, as much of it as BuildKit's clients use: both ends, unary calls and streams, no compression.
//!
//! Knows no service: paths, messages and metadata are the caller's. A message is at most [`MESSAGE_BYTES`] long, both
//! ways; what does not fit ends the call, not the connection.

mod client;
mod frame;
mod messages;
mod pipe;
mod server;
mod status;

pub(crate) use server::{Answer, Call, Outgoing, serve};
pub(crate) use status::{Code, Status};

pub(crate) use client::{Channel, ClientStream, Sender};
#[cfg(test)]
pub(crate) use pipe::carry_client;
pub(crate) use pipe::pipe;

/// The most bytes of one message: what BuildKit's own ends allow.
pub(crate) const MESSAGE_BYTES: usize = 16 << 20;

/// How many messages wait for a slow reader before the writer waits.
const QUEUE: usize = 16;

#[cfg(test)]
mod tests;
