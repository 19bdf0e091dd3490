//! See `tests::readers::vocab_merges`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::readers::vocab_merges(bytes);
});
