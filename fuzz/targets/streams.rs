//! See `proxy::fuzzing::streams`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proxy::fuzzing::streams(bytes));
