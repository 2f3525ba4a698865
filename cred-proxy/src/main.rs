//! Adds a credential to an agent's API calls, so that the agent never holds it.
//!
//! An agent asks `http://cred-proxy:9099/anthropic/v1/messages`; the route `/anthropic/` sends that to
//! `https://api.anthropic.com/v1/messages`, with the token that only this process has read.

mod config;
mod connect;
mod headers;
mod route;
mod serve;
mod tls;

use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{debug, error, info};

use crate::config::Config;
use crate::serve::Proxy;

/// sysexits.h: the command line or the config is wrong.
const EX_USAGE: u8 = 64;
/// How long nothing is accepted once the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// sysexits.h: our fault.
const EX_SOFTWARE: u8 = 70;

#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// Routes, tokens and the way out
    #[arg(long, default_value = "/etc/cred-proxy/config.toml")]
    config: PathBuf,
    /// Reads the config and every token, says what is wrong, and ends
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
    let config = match Config::load(&args.config).context("config") {
        Ok(config) => config,
        Err(wrong) => {
            error!(error = format!("{wrong:#}"), "not started");
            return ExitCode::from(EX_USAGE);
        }
    };
    if args.check {
        info!(routes = config.routes.len(), "config is good");
        return ExitCode::SUCCESS;
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            error!(error = format!("{wrong:#}"), "ended");
            ExitCode::from(EX_SOFTWARE)
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let tls = tls::client(config.ca_file.as_deref())?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("bind {}", config.listen))?;
    info!(listen = %listener.local_addr()?, routes = config.routes.len(), "ready");
    let proxy = Arc::new(Proxy::new(config, tls));
    let open = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(failed) => {
                    // the process is out of descriptors; those that are open will end
                    error!(error = %failed, "accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            _ = terminate.recv() => break,
        };
        // a stream that can't be told this is slower, not wrong
        drop(stream.set_nodelay(true));
        let proxy = Arc::clone(&proxy);
        let mut server = auto::Builder::new(TokioExecutor::new());
        // a client that never ends its headers is cut off after hyper's 30 s
        server.http1().timer(TokioTimer::new());
        let service = service_fn(move |request| {
            let proxy = Arc::clone(&proxy);
            async move { Ok::<_, std::convert::Infallible>(proxy.answer(request).await) }
        });
        let connection =
            open.watch(server.serve_connection(TokioIo::new(stream), service).into_owned());
        tokio::spawn(async move {
            if let Err(ended) = pin!(connection).await {
                debug!(error = %ended, "connection");
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = open.shutdown() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
