//! See `tests::readers::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::readers::config(bytes);
});
