//! See `tests::readers::tokenizer_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::readers::tokenizer_json(bytes);
});
