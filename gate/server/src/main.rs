//! `git-gate`: parses the command line, builds, serves, drains.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use gate_core::scan;
use git_gate::app::App;
use git_gate::check::Report;
use git_gate::cli::{Cli, Command, Source};
use git_gate::telemetry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

/// sysexits(3)
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;

fn main() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    if scan::is_patch_source(&argv) {
        return scan::patch_source_main(&argv);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => {
            // help and version come this way, too
            drop(refused.print());
            return if refused.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    if let Err(error) = telemetry::init(cli.log_format, &cli.log) {
        return failed(USAGE, &error.context("the value of --log"));
    }
    match cli.command {
        Command::Version => say(&format!("git-gate {}", env!("CARGO_PKG_VERSION"))),
        Command::Serve(serve) => run(serve_until_told(serve.source)),
        Command::Check { source, json } => run(check(source, json)),
    }
}

fn run(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // blocking work was interrupted and ends by itself
            runtime.shutdown_background();
            code
        }
        Err(error) => failed(SOFTWARE, &anyhow::Error::new(error).context("start the runtime")),
    }
}

async fn serve_until_told(source: Source) -> ExitCode {
    let config = match source.load() {
        Ok(config) => config,
        Err(error) => return failed(USAGE, &error),
    };
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) =
        (signal(signals[0]), signal(signals[1]), signal(signals[2]))
    else {
        return failed(SOFTWARE, &anyhow::anyhow!("signals can't be heard"));
    };
    let app = match App::open(config).await {
        Ok(app) => app,
        Err(error) => return failed(SOFTWARE, &error),
    };
    if let Err(error) = app.announce(&mut std::io::stdout().lock()) {
        info!(error.chain = %error, "nobody reads the doors' addresses");
    }
    loop {
        tokio::select! {
            () = told(&mut term, &mut int) => break,
            _ = hup.recv() => reload(&app, &source),
        }
    }
    app.drain(told(&mut term, &mut int)).await;
    ExitCode::SUCCESS
}

async fn check(source: Source, json: bool) -> ExitCode {
    let config = match source.load() {
        Ok(config) => config,
        Err(error) => return failed(USAGE, &error),
    };
    let report = Report::of(&config).await;
    let text = match json {
        true => serde_json::to_string(&report).unwrap_or_default(),
        false => report.lines().trim_end().to_owned(),
    };
    match say(&text) {
        code if report.is_good() => code,
        _ if report.is_unreachable() => UNAVAILABLE.into(),
        _ => USAGE.into(),
    }
}

async fn told(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// A config that is wrong changes nothing.
fn reload(app: &App, source: &Source) {
    match source.load().and_then(|config| app.reload(config)) {
        Ok(()) => info!("config reloaded"),
        Err(error) => error!(error.chain = format!("{error:#}"), "config not reloaded"),
    }
}

fn say(line: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => SOFTWARE.into(),
    }
}

fn failed(code: u8, error: &anyhow::Error) -> ExitCode {
    drop(writeln!(std::io::stderr(), "git-gate: {error:#}"));
    code.into()
}
