#![no_main]

#[path = "../../tests/push/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| drive::ref_name(input));
