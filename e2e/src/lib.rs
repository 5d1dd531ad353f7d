//! Black-box runs of the real program.
