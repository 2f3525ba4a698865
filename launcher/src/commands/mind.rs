//! The commands for bottles that are there: `attach`, `exec`, `logs`, `stop`, `cleanup`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use futures_util::StreamExt as _;

use super::run::{exit_code, tell_refusals};
use super::{Context, EX_UNAVAILABLE, NotThere, Usage, connect};
use crate::docker::attach::{Ended, Target};
use crate::docker::cleanup::Verdict;
use crate::docker::find::{self, Found};
use crate::docker::logs::{Entry, denial, legible};
use crate::docker::{Engine, lock};
use crate::names::BottleName;
use crate::ui;

pub(super) async fn attach(bottle: &str, context: &Context) -> anyhow::Result<ExitCode> {
    let (engine, name, things) = look(bottle, context).await?;
    let agent = running_agent(&name, &things)?.id.clone();
    let tty = engine.has_tty(&agent, bottle).await?;
    let target = Target::Container(&agent);
    let stream = engine.attach(target, tty).await?;
    match engine.converse(stream, target).await? {
        Ended::Detached => {
            ui::tell(&format!("bottle {bottle} runs on"));
            Ok(ExitCode::SUCCESS)
        }
        Ended::Closed => {
            let code = exit_code(engine.await_end(&agent).await?);
            // The launcher that minds it, if one does, cleans up.
            if lock::take(&context.host, &name).is_ok() {
                tell_refusals(engine.remove(&things).await);
            }
            Ok(ExitCode::from(code))
        }
    }
}

pub(super) async fn exec(
    bottle: &str,
    command: Vec<String>,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let (engine, name, things) = look(bottle, context).await?;
    let agent = running_agent(&name, &things)?;
    let tty = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let id = engine.create_exec(&agent.id, command, tty, bottle).await?;
    let target = Target::Exec(&id);
    let stream = engine.attach(target, tty).await?;
    match engine.converse(stream, target).await? {
        Ended::Detached => Ok(ExitCode::SUCCESS),
        Ended::Closed => Ok(ExitCode::from(exit_code(engine.exec_code(&id).await?))),
    }
}

pub(super) async fn logs(
    bottle: &str,
    follow: bool,
    denied: bool,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let (engine, name, things) = look(bottle, context).await?;
    if things.is_empty() {
        return Err(not_there(&name, "is not there").into());
    }
    let wanted = |entry: &Entry| !denied || denial(&entry.role, &entry.line).is_some();
    if follow {
        let mut entries = std::pin::pin!(engine.follow_logs(&things));
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            if wanted(&entry) {
                ui::answer(&legible(&entry))?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    for entry in engine.read_logs(&things).await?.iter().filter(|entry| wanted(entry)) {
        ui::answer(&legible(entry))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn stop(
    bottle: &str,
    seconds: i32,
    dry_run: bool,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let (engine, name, things) = look(bottle, context).await?;
    if things.is_empty() {
        return Err(not_there(&name, "is not there").into());
    }
    if dry_run {
        ui::answer(&list("would remove", &things))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(agent) = find::agent(&things).filter(|agent| agent.state == "running") {
        engine.stop(&agent.id, bottle, seconds).await?;
    }
    // A launcher that minds it removes the same things: both may.
    remove(&engine, &things, "removed").await
}

/// The options of `cleanup`.
pub(super) struct Cleanup {
    pub(super) force: bool,
    pub(super) dry_run: bool,
    pub(super) json: bool,
}

#[derive(serde::Serialize)]
struct Judged {
    bottle: String,
    verdict: Verdict,
    things: Vec<Found>,
}

pub(super) async fn cleanup(
    bottle: Option<&str>,
    options: &Cleanup,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let engine = connect(context).await?;
    let name = bottle.map(BottleName::parse).transpose().map_err(Usage::from)?;
    let mut judged = Vec::new();
    for (bottle, things) in find::by_bottle(engine.find(name.as_ref()).await?) {
        let verdict = engine.judge(&context.host, &bottle, &things, options.force).await;
        judged.push(Judged { bottle, verdict, things });
    }
    if options.json {
        ui::answer(&serde_json::to_string_pretty(&judged)?)?;
    } else if judged.is_empty() {
        ui::answer("nothing is left over")?;
    }
    let mut code = ExitCode::SUCCESS;
    for Judged { bottle, verdict, things } in judged {
        let say = |text: String| if options.json { Ok(()) } else { ui::answer(&text) };
        match verdict {
            Verdict::Minded { by } => {
                say(format!("{bottle}: left alone, process {by} minds it (bottle stop {bottle})"))?;
            }
            Verdict::Running => {
                say(format!(
                    "{bottle}: left alone, its agent runs (bottle stop {bottle}, or --force)"
                ))?;
            }
            Verdict::Remove if options.dry_run => {
                say(list(&format!("{bottle}: would remove"), &things))?;
            }
            Verdict::Remove => match engine.remove(&things).await {
                Ok(()) => say(list(&format!("{bottle}: removed"), &things))?,
                Err(refusals) => {
                    tell_refusals(Err(refusals));
                    code = ExitCode::from(EX_UNAVAILABLE);
                }
            },
        }
    }
    Ok(code)
}

/// What there is of a bottle, which may be nothing.
async fn look(bottle: &str, context: &Context) -> anyhow::Result<(Engine, BottleName, Vec<Found>)> {
    let engine = connect(context).await?;
    let name = BottleName::parse(bottle).map_err(Usage::from)?;
    let things = engine.find(Some(&name)).await?;
    Ok((engine, name, things))
}

async fn remove(engine: &Engine, things: &[Found], said: &str) -> anyhow::Result<ExitCode> {
    match engine.remove(things).await {
        Ok(()) => {
            ui::answer(&list(said, things))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(refusals) => {
            tell_refusals(Err(refusals));
            Ok(ExitCode::from(EX_UNAVAILABLE))
        }
    }
}

fn list(head: &str, things: &[Found]) -> String {
    let mut text = head.to_owned();
    for thing in things {
        text.push_str(&format!("\n  {} {}", thing.kind.as_str(), thing.name));
    }
    text
}

fn running_agent<'t>(name: &BottleName, things: &'t [Found]) -> Result<&'t Found, NotThere> {
    find::agent(things)
        .filter(|agent| agent.state == "running")
        .ok_or_else(|| not_there(name, "does not run"))
}

fn not_there(name: &BottleName, state: &'static str) -> NotThere {
    NotThere { bottle: name.to_string(), state, next: format!("bottle ls; bottle run {name}") }
}
