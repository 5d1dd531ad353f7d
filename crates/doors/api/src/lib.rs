//! Seaworthy's own API, over a unix socket.
