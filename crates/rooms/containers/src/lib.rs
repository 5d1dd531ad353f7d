//! Containers: create, start, stop, exec, logs, volumes; a Driver.
