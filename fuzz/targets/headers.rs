//! Headers of answers: links, and how long to wait.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_adapters::fuzz::headers(data);
    let _wait = headwater_sdk::testkit::retry_after(data, jiff::Timestamp::UNIX_EPOCH);
});
