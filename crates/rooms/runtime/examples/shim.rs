//! A program that is nothing but a shim: what the tests start in place of the whole `sea`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next()) {
        (Some(role), Some(dir)) if role == "shim" => runtime::shim_main(&PathBuf::from(dir)),
        _ => ExitCode::from(2),
    }
}
