//! A program that is nothing but a shim: what the tests start in place of the whole `sea`.
//!
//! As `shim DIR` it is one; as `creator DIR` it starts the container ordered there and vanishes at once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use runtime::{Order, Shims};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next()) {
        (Some(role), Some(dir)) if role == "shim" => runtime::shim_main(&PathBuf::from(dir)),
        (Some(role), Some(dir)) if role == "creator" => create_and_vanish(Path::new(&dir)),
        _ => ExitCode::from(2),
    }
}

fn create_and_vanish(dir: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let order = std::fs::read(dir.join("order.json")).map(|text| serde_json::from_slice::<Order>(&text));
    let (Ok(runtime), Ok(Ok(order))) = (runtime, order) else { return ExitCode::from(2) };
    runtime.block_on(async {
        let Ok(shims) = Shims::of_this_program() else { return };
        if let Ok(shim) = shims.create(dir, &order).await {
            let _ = shim.start().await;
            std::process::abort();
        }
    });
    ExitCode::FAILURE
}
