//! The program of the pricing service.

use std::process::ExitCode;

use harbour::pricing::{PORT, Pricing};

fn main() -> ExitCode {
    harbour::run("pricing", PORT, Pricing::open)
}
