//! How the program is linked; `docs/decisions/0017-the-program-lies-where-it-was-linked.md` says why.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A static program of musl is linked in a way that this word does not fit.
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
