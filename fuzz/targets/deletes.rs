//! Delete files of the lake.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_fuzz::deletes(data);
});
