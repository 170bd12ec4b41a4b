//! Connector files: `connector.yaml` and `sink.yaml`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_fuzz::connector(data);
});
