//! The log: lines for people or JSON for machines, on stderr.

use std::io::stderr;

use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One line a person can read.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log. `filter` is in the words of `tracing_subscriber::EnvFilter` (`info`, `gate_core=debug`).
///
/// # Errors
/// A filter that can't be read.
pub fn init(format: Format, filter: &str) -> Result<(), anyhow::Error> {
    let filter = EnvFilter::builder().parse(filter)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match format {
        Format::Text => log.with_ansi(false).with_target(false).init(),
        Format::Json => log.json().flatten_event(true).with_current_span(true).init(),
    }
    Ok(())
}
