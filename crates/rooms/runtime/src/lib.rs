//! One isolated process tree and the shim that watches over it.
