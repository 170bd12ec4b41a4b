//! Catalogs and states of manifests, and positions of our own streams.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_adapters::fuzz::state(data);
    headwater_adapters::fuzz::position(data);
    headwater_fuzz::checkpoint(data);
});
