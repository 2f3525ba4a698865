//! `bottle run`

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::{Context, Usage, connect, orphans, read_manifest, show};
use crate::cli::Run;
use crate::docker::attach::{Ended, Target};
use crate::docker::launch::{Launch, Options};
use crate::docker::{Engine, EngineError, lock, look};
use crate::manifest::Manifest;
use crate::names::Role;
use crate::plan::{EnvSource, Plan};
use crate::progress::Progress;
use crate::ui;

/// How often a launch is planned anew because another one took its subnet.
const RACES: usize = 10;

/// The shell's exit codes for a program that a signal ended.
const EX_SIGINT: u8 = 130;
const EX_SIGTERM: u8 = 143;

pub(super) async fn run(options: Run, context: &Context) -> anyhow::Result<ExitCode> {
    if options.dry_run {
        return show::plan(&options.bottle, false, context).await;
    }
    let manifest = read_manifest(&options.bottle, &context.host)?;
    let engine = connect(context).await?;
    let _lock = lock::take(&context.host, &manifest.name)?;
    let progress = Progress::new(options.quiet);
    let mut stop_after = context.host.variable("BOTTLE_STOP_AFTER").map(str::to_owned);
    let mut races = 0;
    loop {
        let plan = resolve(&engine, &manifest, context).await?;
        let answers = answers(&options, &plan)?;
        let launch = Launch::new(
            &engine,
            &plan,
            &context.host,
            &progress,
            Options {
                tty: manifest.agent.tty.unwrap_or(options.detach || std::io::stdin().is_terminal()),
                answers,
                stop_after: stop_after.take(),
            },
        );
        let ended = one_launch(&engine, &plan, &launch, &options).await;
        progress.finish();
        let detached = matches!(ended, Ok(How::Detached));
        if !detached && !options.keep {
            tell_refusals(launch.undo().await);
        }
        match ended {
            Ok(How::Ended(code)) => return Ok(ExitCode::from(code)),
            Ok(How::Detached) => {
                let bottle = &plan.bottle;
                ui::tell(&format!(
                    "bottle {bottle} runs; bottle attach {bottle} takes up its terminal, bottle stop {bottle} ends it"
                ));
                return Ok(ExitCode::SUCCESS);
            }
            Ok(How::Signalled(code)) => return Ok(ExitCode::from(code)),
            Err(error) => {
                let race = error.downcast_ref::<crate::docker::launch::Error>();
                if race.is_some_and(crate::docker::launch::Error::is_subnet_race) && races < RACES {
                    races += 1;
                    continue;
                }
                if options.keep {
                    let bottle = &plan.bottle;
                    ui::tell(&format!("kept as it is; bottle cleanup --force {bottle} removes it"));
                }
                return Err(error);
            }
        }
    }
}

/// Plans, and finds what stands in the way, before anything is made.
pub(super) async fn resolve(
    engine: &Engine,
    manifest: &Manifest,
    context: &Context,
) -> anyhow::Result<Plan> {
    let mut facts = look::host_facts(&context.host, &context.own)?;
    engine.add_facts(&manifest.name, &mut facts).await?;
    let plan = crate::plan::plan(manifest, &facts)?;
    match orphans::find(engine, &plan).await? {
        Some(orphans) => Err(orphans.into()),
        None => Ok(plan),
    }
}

enum How {
    Ended(u8),
    Detached,
    Signalled(u8),
}

async fn one_launch(
    engine: &Engine,
    plan: &Plan,
    launch: &Launch<'_>,
    options: &Run,
) -> anyhow::Result<How> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        how = to_the_end(engine, plan, launch, options) => how,
        _ = interrupt.recv() => Ok(How::Signalled(EX_SIGINT)),
        _ = terminate.recv() => Ok(How::Signalled(EX_SIGTERM)),
    }
}

async fn to_the_end(
    engine: &Engine,
    plan: &Plan,
    launch: &Launch<'_>,
    options: &Run,
) -> anyhow::Result<How> {
    launch.prepare().await?;
    let agent = plan.container(Role::Agent).map(|agent| agent.name.clone()).unwrap_or_default();
    if options.detach {
        launch.open().await.map_err(crate::docker::launch::Error::from)?;
        return Ok(How::Detached);
    }
    launch.finish_progress();
    let target = Target::Container(&agent);
    let stream = engine.attach(target, launch.tty()).await?;
    if let Some((rows, columns)) = crate::terminal::size().filter(|_| launch.tty()) {
        engine.resize(target, rows, columns).await?;
    }
    // Asked for now: when another `bottle stop` removes the agent, its code is gone with it.
    let end = tokio::spawn({
        let (engine, agent) = (engine.clone(), agent.clone());
        async move { engine.await_end(&agent).await }
    });
    launch.open().await.map_err(crate::docker::launch::Error::from)?;
    match engine.converse(stream, target).await? {
        Ended::Detached => Ok(How::Detached),
        Ended::Closed => Ok(How::Ended(exit_code(end.await.context("wait for the agent")??))),
    }
}

/// The agent's own; what does not fit into an exit code is a failure all the same.
pub(super) fn exit_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(super::EX_SOFTWARE)
}

fn answers(options: &Run, plan: &Plan) -> anyhow::Result<HashMap<String, String>> {
    let mut given = HashMap::new();
    for answer in &options.answers {
        let (name, value) = answer.split_once('=').ok_or_else(|| Usage::Answer(answer.clone()))?;
        given.insert(name.to_owned(), value.to_owned());
    }
    let mut answers = HashMap::new();
    let variables = plan.containers.iter().flat_map(|container| &container.env);
    for variable in variables {
        if let EnvSource::Asked(question) = &variable.value {
            let answer = match given.remove(&variable.name) {
                Some(answer) => answer,
                None => ui::ask(question)?,
            };
            answers.insert(variable.name.clone(), answer);
        }
    }
    match given.into_keys().next() {
        Some(unasked) => Err(Usage::Answer(unasked).into()),
        None => Ok(answers),
    }
}

pub(super) fn tell_refusals(result: Result<(), Vec<EngineError>>) {
    for refusal in result.err().into_iter().flatten() {
        ui::tell(&format!("left behind: {refusal}"));
    }
}
