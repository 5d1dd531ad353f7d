//! See `proxy::fuzzing::preface`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proxy::fuzzing::preface(bytes));
