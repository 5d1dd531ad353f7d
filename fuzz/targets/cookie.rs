//! See `proxy::fuzzing::cookie`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proxy::fuzzing::cookie(bytes));
