//! HTTP plumbing: one client, one server, over unix sockets and TCP, with drain.
