//! The program of the web service.

use std::process::ExitCode;

use harbour::web::{PORT, Web};

fn main() -> ExitCode {
    harbour::run("web", PORT, Web::open)
}
