//! The commands that only read: `plan`, `ls`, `doctor`.

use std::path::Path;
use std::process::ExitCode;

use super::{Context, EX_UNAVAILABLE, Usage, connect, read_manifest};
use crate::docker::cleanup::Verdict;
use crate::docker::find::{self, Kind};
use crate::docker::{doctor, look};
use crate::manifest::{self, Manifest};
use crate::names::BottleName;
use crate::plan::show::Text;
use crate::ui;

pub(super) async fn plan(bottle: &str, json: bool, context: &Context) -> anyhow::Result<ExitCode> {
    let manifest = read_manifest(bottle, &context.host)?;
    let mut facts = look::host_facts(&context.host, &context.own)?;
    let engine = connect(context).await;
    let mut orphans = None;
    let mut note = None;
    match &engine {
        Ok(engine) => engine.add_facts(&manifest.name, &mut facts).await?,
        Err(error) => note = Some(format!("not asked: {error}")),
    }
    let plan = crate::plan::plan(&manifest, &facts)?;
    if let Ok(engine) = &engine {
        orphans = super::orphans::find(engine, &plan).await?;
    }
    if json {
        let mut value = serde_json::to_value(&plan)?;
        let orphans = orphans.map(|it| it.orphans).unwrap_or_default();
        value["orphans"] = serde_json::to_value(orphans)?;
        value["engine"] = serde_json::to_value(note)?;
        ui::answer(&serde_json::to_string_pretty(&value)?)?;
    } else {
        ui::answer(&Text(&plan).to_string())?;
        if let Some(note) = note {
            ui::tell(&format!("the engine was {note}"));
        }
        if let Some(orphans) = orphans {
            ui::tell(&orphans.to_string());
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(serde::Serialize)]
struct Row {
    bottle: String,
    /// `running`, `held`, `ended`, `leftover`.
    state: &'static str,
    agent: Option<String>,
    sidecars: Vec<Sidecar>,
    launcher: Option<String>,
}

#[derive(serde::Serialize)]
struct Sidecar {
    role: String,
    name: String,
    state: String,
}

pub(super) async fn ls(json: bool, context: &Context) -> anyhow::Result<ExitCode> {
    let engine = connect(context).await?;
    let mut rows = Vec::new();
    for (bottle, things) in find::by_bottle(engine.find(None).await?) {
        let agent = find::agent(&things);
        let runs = agent.is_some_and(|agent| agent.state == "running");
        let verdict = engine.judge(&context.host, &bottle, &things, false).await;
        let (state, launcher) = match verdict {
            Verdict::Minded { by } if runs => ("running", Some(by)),
            Verdict::Minded { by } => ("launching", Some(by)),
            Verdict::Running => ("running", None),
            Verdict::Remove if agent.is_some_and(|agent| agent.state == "exited") => {
                ("ended", None)
            }
            Verdict::Remove => ("leftover", None),
        };
        let sidecars = things.iter().filter(|it| it.kind == Kind::Container && it.role != "agent");
        rows.push(Row {
            agent: agent.map(|agent| agent.status.clone()),
            sidecars: sidecars
                .map(|it| Sidecar {
                    role: it.role.clone(),
                    name: it.name.clone(),
                    state: it.state.clone(),
                })
                .collect(),
            bottle,
            state,
            launcher,
        });
    }
    if json {
        ui::answer(&serde_json::to_string_pretty(&rows)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{:<20} {:<10} {:<28} SIDECARS", "BOTTLE", "STATE", "AGENT");
    for row in &rows {
        let sidecars: Vec<String> =
            row.sidecars.iter().map(|it| format!("{} {}", it.role, it.state)).collect();
        let agent = row.agent.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "\n{:<20} {:<10} {agent:<28} {}",
            row.bottle,
            row.state,
            sidecars.join(", ")
        ));
    }
    ui::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The name of the bottle in which the self-test is tried.
const DOCTORS: &str = "doctor";

fn doctors_own(context: &Context) -> anyhow::Result<Manifest> {
    let name = BottleName::parse(DOCTORS).map_err(Usage::from)?;
    let text = "[agent]\nimage = \"none\"\n";
    let read = manifest::read(text, Path::new("doctor"), name, &context.host);
    Ok(read.map_err(Usage::from)?)
}

pub(super) async fn doctor(
    bottle: Option<&str>,
    json: bool,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let mut manifest = match bottle {
        Some(bottle) => read_manifest(bottle, &context.host)?,
        None => doctors_own(context)?,
    };
    manifest.name = BottleName::parse(DOCTORS).map_err(Usage::from)?;
    (manifest.git, manifest.routes, manifest.agent.clone) = Default::default();
    let checks = doctor::examine(&context.host, &context.own, &manifest).await;
    let bad = checks.iter().any(|check| check.state == doctor::State::Bad);
    if json {
        ui::answer(&serde_json::to_string_pretty(&checks)?)?;
    } else {
        let mut text = String::new();
        for check in &checks {
            let mark = match check.state {
                doctor::State::Good => "ok  ",
                doctor::State::Note => "note",
                doctor::State::Bad => "BAD ",
            };
            text.push_str(&format!("{mark} {:<10} {}\n", check.name, check.found));
            if !check.next.is_empty() {
                text.push_str(&format!("                next: {}\n", check.next));
            }
        }
        ui::answer(&text)?;
    }
    Ok(if bad { ExitCode::from(EX_UNAVAILABLE) } else { ExitCode::SUCCESS })
}
