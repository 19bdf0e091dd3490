//! See `tests::readers::vocab_txt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::readers::vocab_txt(bytes);
});
