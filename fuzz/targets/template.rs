//! Templates of manifests, and behind a NUL the record.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_adapters::fuzz::template(data);
});
