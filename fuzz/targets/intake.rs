//! Deliveries: signature, key, submissions. The first byte chooses the signature, the second the sender.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_fuzz::runtime::delivery(data);
});
