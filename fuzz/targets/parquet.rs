//! Parquet files of other programs.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headwater_fuzz::file("list.parquet", data);
});
