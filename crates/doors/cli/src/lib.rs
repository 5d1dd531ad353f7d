//! The commands; they talk to the daemon only.
