//! Real git clients against the real gate in front of real origins. One binary, so that it links once.
//!
//! `GIT_GATE_BIN` names the gate's binary; without it the debug build is made first. `E2E_STAND_IN=1` puts stock
//! git servers in the gate's place: what then fails is this harness, not the gate.

#![expect(clippy::print_stderr, reason = "a failed test shows the logs of what it started")]

#[macro_use]
mod ways;

mod env;
mod gate;
mod held;
mod hostile;
mod origin;
mod pkt;
mod servers;

mod bad_client;
mod cli;
mod crash;
mod fresh;
mod hostile_origin;
mod http;
mod killed;
mod names;
mod origin_down;
mod policies;
mod push_raw;
mod push_refused;
mod push_verdict;
mod pushing;
mod races;
mod reading;
mod reaping;
mod slow_mirror;
mod ssh_door;

#[test]
fn no_file_is_forgotten() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runner");
    let main = std::fs::read_to_string(dir.join("main.rs")).expect("read main.rs");
    for file in std::fs::read_dir(dir).expect("list tests/runner") {
        let name =
            file.expect("a directory entry").file_name().into_string().expect("a UTF-8 name");
        let Some(module) = name.strip_suffix(".rs") else { continue };
        assert!(
            module == "main" || main.contains(&format!("mod {module};")),
            "{name} is in no module"
        );
    }
}
