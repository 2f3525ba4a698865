//! The program that runs inside a bottle's containers: `hold` in the agent's, `prove` in the probe's.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use bottle::guest::spec::Spec;
use bottle::guest::{hold, prove};

/// sysexits.h
const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;

/// A launch that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["hold", "--", ..] => run_hold(&arguments[2..], None),
        ["hold", "--in", folder, "--", ..] => run_hold(&arguments[4..], Some(folder)),
        ["prove", spec] => run_prove(spec),
        _ => {
            let error = std::io::Error::other(
                "usage: bottle-guest hold [--in FOLDER] -- COMMAND… | prove SPEC",
            );
            complain(&error, EX_USAGE)
        }
    }
}

fn run_hold(command: &[String], start_in: Option<&str>) -> ExitCode {
    match hold::hold(command, start_in, PATIENCE) {
        Ok(never) => match never {},
        Err(error) => complain(&error, EX_UNAVAILABLE),
    }
}

fn run_prove(spec: &str) -> ExitCode {
    let spec: Spec = match serde_json::from_str(spec) {
        Ok(spec) => spec,
        Err(error) => return complain(&error, EX_USAGE),
    };
    match prove::prove(&spec, &mut std::io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => complain(&error, EX_UNAVAILABLE),
    }
}

fn complain(error: &dyn std::error::Error, code: u8) -> ExitCode {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    // Whoever closed stderr does not want to know.
    drop(writeln!(std::io::stderr(), "bottle: {error}{cause}"));
    ExitCode::from(code)
}
