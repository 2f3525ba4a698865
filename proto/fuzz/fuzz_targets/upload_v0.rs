#![no_main]

#[path = "../../tests/serve/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| drive::upload_v0(input));
