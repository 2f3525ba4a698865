//! What each command does.

mod mind;
mod orphans;
mod run;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use self::orphans::Orphans;
use crate::cli::{Cli, Command};
use crate::docker::{Engine, EngineError, launch, lock};
use crate::host::Host;
use crate::manifest::{self, Manifest};
use crate::names::{BottleName, NameError};
use crate::problem::Problems;
use crate::{plan, template, ui};

/// sysexits.h: the command line or the manifest is wrong.
const EX_USAGE: u8 = 64;
/// sysexits.h: the engine is not reached, or refuses.
const EX_UNAVAILABLE: u8 = 69;
/// sysexits.h: our fault.
const EX_SOFTWARE: u8 = 70;

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    pub host: Host,
    /// The running program, beside which others are looked for.
    pub own: PathBuf,
}

/// Wrong use, told apart from what failed by its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Usage {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Manifest(#[from] Problems),
    #[error("there is no manifest {}{}\n  next: bottle init {bottle}", .path.display(), show_others(.others))]
    NoManifest { bottle: String, path: PathBuf, others: Vec<String> },
    #[error("the manifest {} cannot be read: {cause}\n  next: mend the file, or bottle init {bottle} --force writes another", .path.display())]
    Unreadable { bottle: String, path: PathBuf, cause: std::io::Error },
    #[error("{} is there already\n  next: edit it, or --force writes over it", .0.display())]
    ManifestThere(PathBuf),
    #[error("`{0}` is not NAME=VALUE of a question in the manifest")]
    Answer(String),
}

/// No bottle of that name runs.
#[derive(Debug, thiserror::Error)]
#[error("bottle {bottle} {state}\n  next: {next}")]
pub struct NotThere {
    bottle: String,
    state: &'static str,
    next: String,
}

/// Runs one command; says what went wrong and gives the exit code for it.
pub async fn main(cli: Cli, context: &Context) -> ExitCode {
    match Box::pin(dispatch(cli.command, context)).await {
        Ok(code) => code,
        Err(error) => {
            ui::tell(&format!("error: {error:#}"));
            ExitCode::from(code(&error))
        }
    }
}

async fn dispatch(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(options) => run::run(options, context).await,
        Command::Plan { bottle, json } => show::plan(&bottle, json, context).await,
        Command::Ls { json } => show::ls(json, context).await,
        Command::Doctor { bottle, json } => {
            Box::pin(show::doctor(bottle.as_deref(), json, context)).await
        }
        Command::Attach { bottle } => mind::attach(&bottle, context).await,
        Command::Exec { bottle, command } => mind::exec(&bottle, command, context).await,
        Command::Logs { bottle, follow, denied } => {
            mind::logs(&bottle, follow, denied, context).await
        }
        Command::Stop { bottle, time, dry_run } => {
            mind::stop(&bottle, time, dry_run, context).await
        }
        Command::Cleanup { bottle, force, dry_run, json } => {
            let options = mind::Cleanup { force, dry_run, json };
            mind::cleanup(bottle.as_deref(), &options, context).await
        }
        Command::Init { bottle, agent, force } => init(&bottle, agent, force, context),
    }
}

fn init(
    bottle: &str,
    agent: Option<template::Known>,
    force: bool,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let name = BottleName::parse(bottle).map_err(Usage::from)?;
    let path = manifest::path_of(&context.host, &name);
    let written = match agent {
        None => template::plain(name.as_str()),
        Some(agent) => template::for_agent(name.as_str(), agent, &context.host.config_dir()),
    };
    let next = match agent {
        None => format!("edit the manifest; then bottle plan {name}"),
        Some(agent) => format!("export {}=…; then bottle run {name}", agent.variable()),
    };
    let mut files = vec![(path, written.manifest.as_str())];
    files.extend(written.beside);
    if let Some((there, _)) = files.iter().find(|(path, _)| path.exists() && !force) {
        return Err(Usage::ManifestThere(there.clone()).into());
    }
    for (path, text) in &files {
        let folder = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
        ui::answer(&path.display().to_string())?;
    }
    ui::answer(&format!("next: {next}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the manifest of a bottle.
fn read_manifest(bottle: &str, host: &Host) -> Result<Manifest, anyhow::Error> {
    let name = BottleName::parse(bottle).map_err(Usage::from)?;
    let path = manifest::path_of(host, &name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let others = manifest::names(host);
            return Err(Usage::NoManifest { bottle: bottle.to_owned(), path, others }.into());
        }
        Err(cause) => {
            return Err(Usage::Unreadable { bottle: bottle.to_owned(), path, cause }.into());
        }
    };
    Ok(manifest::read(&text, &path, name, host).map_err(Usage::from)?)
}

async fn connect(context: &Context) -> Result<Engine, EngineError> {
    Engine::connect(context.host.variable("DOCKER_HOST")).await
}

fn code(error: &anyhow::Error) -> u8 {
    let is = |found: bool, code| found.then_some(code);
    is(error.is::<Usage>(), EX_USAGE)
        .or_else(|| is(error.is::<plan::Error>(), EX_USAGE))
        .or_else(|| is(error.is::<EngineError>(), EX_UNAVAILABLE))
        .or_else(|| is(error.is::<launch::Error>(), EX_UNAVAILABLE))
        .or_else(|| is(error.is::<Orphans>(), EX_UNAVAILABLE))
        .or_else(|| is(error.is::<NotThere>(), EX_UNAVAILABLE))
        .or_else(|| is(error.is::<lock::Error>(), EX_UNAVAILABLE))
        .unwrap_or(EX_SOFTWARE)
}

fn show_others(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!("; there are: {}", others.join(", ")) }
}
