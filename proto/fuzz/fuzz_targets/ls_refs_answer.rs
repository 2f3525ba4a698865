#![no_main]

#[path = "../../tests/fetch/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| drive::ls_refs_answer(input));
