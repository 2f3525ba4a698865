//! What `git-gate` is when the scanner calls it `git`.

fn main() -> std::process::ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    assert!(gate_core::scan::is_patch_source(&argv), "only the scanner starts this");
    gate_core::scan::patch_source_main(&argv)
}
