//! `bottle`: see `docs/bottle.md`.

use std::path::PathBuf;
use std::process::ExitCode;

use bottle::cli::Cli;
use bottle::commands::{self, Context};
use bottle::host::Host;
use bottle::ui;
use clap::Parser as _;

/// sysexits.h
const EX_USAGE: u8 = 64;
const EX_SOFTWARE: u8 = 70;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { EX_USAGE } else { 0 };
            // Help that nobody reads is no failure.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui::tell(&format!("error: start: {error}"));
            return ExitCode::from(EX_SOFTWARE);
        }
    };
    let code = runtime.block_on(commands::main(cli, &context()));
    // A thread may still wait for a key that is not pressed.
    runtime.shutdown_background();
    code
}

/// The only place where the environment is read.
fn context() -> Context {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
    let own = std::env::current_exe().unwrap_or_default();
    Context { host: Host { variables, home }, own }
}
