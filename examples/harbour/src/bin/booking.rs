//! The program of the booking service, and of its migration.

use std::process::ExitCode;

use harbour::booking::{Booking, PORT, migrate};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("migrate") {
        return migrate();
    }
    harbour::run("booking", PORT, Booking::open)
}
