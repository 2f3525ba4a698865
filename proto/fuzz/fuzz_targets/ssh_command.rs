#![no_main]

#[path = "../../tests/serve/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| drive::ssh_command(input));
