//! The edge alone, for benchmarks and for tests that need it as a process; users run `sea edge`.

use std::process::ExitCode;

use proxy::{EdgeOptions, HttpsFront, LogFormat, edge_main};

fn main() -> ExitCode {
    let mut options = EdgeOptions::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = match word.as_str() {
            "--no-log" => {
                options.settings.access_log = LogFormat::Off;
                continue;
            }
            _ => words.next().unwrap_or_default(),
        };
        let fine = match word.as_str() {
            "--root" => {
                options.root = value.into();
                true
            }
            "--http" => value.parse().map(|address| options.http.push(address)).is_ok(),
            "--https" => value.parse().map(|address| options.https = HttpsFront::At(vec![address])).is_ok(),
            "--identity" => {
                options.program = value;
                true
            }
            "--handover" => {
                options.handover = value == "stdin";
                options.handover
            }
            "--threads" => value.parse().map(|count| options.threads = Some(count)).is_ok(),
            _ => false,
        };
        if !fine {
            eprintln!("usage: sea-edge --root DIR [--http ADDR]... [--https ADDR] [--threads N] [--no-log]");
            return ExitCode::from(2);
        }
    }
    edge_main(options)
}
