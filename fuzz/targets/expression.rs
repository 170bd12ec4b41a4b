//! The expressions of connector files, and behind a NUL the record.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_fuzz::expression(data);
});
