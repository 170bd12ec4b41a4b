//! What Singer taps print.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_adapters::fuzz::singer(data);
});
