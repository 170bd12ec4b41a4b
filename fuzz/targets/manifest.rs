//! Airbyte manifests, compiled without a network.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_adapters::fuzz::manifest(data);
});
