//! See `tests::readers::safetensors`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::readers::safetensors(bytes);
});
