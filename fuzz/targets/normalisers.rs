//! Addresses, numbers, instants, amounts, countries.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_fuzz::normalise(data);
});
