//! Packed lists; the first byte chooses how.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((choice, packed)) = data.split_first() {
        let names = ["list.csv.gz", "list.csv.zip", "list.csv.zst", "list.jsonl.zip"];
        headwater_fuzz::file(names[usize::from(*choice) % names.len()], packed);
    }
});
