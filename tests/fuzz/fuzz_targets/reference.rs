//! See `tests::readers::reference`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::readers::reference(bytes);
});
