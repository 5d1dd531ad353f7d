//! Bridges, addresses, names and filters for the networks of one root.
