//! Delete files of the lake.

#![no_main]

libfuzzer_sys::fuzz_target!(init: headwater_fuzz::damage_is_no_bug(), |data: &[u8]| {
    headwater_fuzz::deletes(data);
});
