//! What Airbyte sources print.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_adapters::fuzz::airbyte(data);
});
