//! Bodies of answers: JSON, lines, CSV, XML, gzip, zip.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_adapters::fuzz::answer(data);
});
