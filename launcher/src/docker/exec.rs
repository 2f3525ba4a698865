//! Starts containers, and runs commands in the agent's beside the agent.

use std::time::Duration;

use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use bollard::query_parameters::StopContainerOptionsBuilder;
use futures_util::StreamExt as _;

use super::engine::{Engine, EngineError, Step, ask, dress, is_gone};
use crate::names::Role;
use crate::plan::{ClonePlan, Plan};
use crate::ui::printable;

/// A repository could not be cloned.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "clone {url}: git ended with {code}\n{said}\n  next: bottle logs {bottle} (with --keep), and bottle doctor"
    )]
    Git { url: String, code: i64, said: String, bottle: String },
    #[error("clone {url}: not done within {} s\n  next: bottle run {bottle} again; the mirror goes on from where it is", .within.as_secs())]
    TooSlow { url: String, within: Duration, bottle: String },
}

/// The gate's own deadline for a first mirror is 30 minutes.
const CLONE: Duration = Duration::from_secs(35 * 60);

pub(super) async fn clone(
    engine: &Engine,
    plan: &Plan,
    clone: &ClonePlan,
) -> Result<(), CloneError> {
    let agent = plan.container(Role::Agent).expect("every plan has an agent");
    let words = ["git", "clone", "--", &clone.url, &clone.folder].map(str::to_owned);
    let bottle = plan.bottle.to_string();
    let run = run(engine, &agent.name, words.into(), &bottle);
    let Ok(result) = tokio::time::timeout(CLONE, run).await else {
        return Err(CloneError::TooSlow { url: clone.url.clone(), within: CLONE, bottle });
    };
    match result? {
        (0, _) => Ok(()),
        (code, said) => {
            let said = said
                .lines()
                .map(|line| format!("  | {}", printable(line)))
                .collect::<Vec<_>>()
                .join("\n");
            Err(CloneError::Git { url: clone.url.clone(), code, said, bottle })
        }
    }
}

/// Runs to the end; gives the exit code and all that was said.
async fn run(
    engine: &Engine,
    container: &str,
    words: Vec<String>,
    bottle: &str,
) -> Result<(i64, String), EngineError> {
    const LONGEST: usize = 16 * 1024;
    let step = Step::new("run git in", container, bottle);
    let config = ExecConfig {
        cmd: Some(words),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let id = ask(&step, engine.docker.create_exec(container, config)).await?.id;
    let mut said = String::new();
    if let StartExecResults::Attached { mut output, .. } =
        ask(&step, engine.docker.start_exec(&id, None)).await?
    {
        while let Some(piece) = output.next().await {
            let piece = ask(&step, std::future::ready(piece)).await?;
            if said.len() < LONGEST {
                said.push_str(&piece.to_string());
            }
        }
    }
    let end = ask(&step, engine.docker.inspect_exec(&id)).await?;
    Ok((end.exit_code.unwrap_or(-1), said))
}

impl Engine {
    /// Starts a container that is created.
    ///
    /// # Errors
    /// The engine's refusal.
    pub async fn start(&self, container: &str, bottle: &str) -> Result<(), EngineError> {
        let step = Step::new("start", container, bottle);
        ask(&step, self.docker.start_container(container, None)).await
    }

    /// Makes ready a command in the agent's container; it starts with its stream.
    ///
    /// # Errors
    /// When the container is not running.
    pub async fn create_exec(
        &self,
        container: &str,
        words: Vec<String>,
        tty: bool,
        bottle: &str,
    ) -> Result<String, EngineError> {
        let config = ExecConfig {
            cmd: Some(words),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(tty),
            ..Default::default()
        };
        let step = Step::new("run a command in", container, bottle);
        Ok(ask(&step, self.docker.create_exec(container, config)).await?.id)
    }

    /// Whether a container was made with a terminal.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn has_tty(&self, container: &str, bottle: &str) -> Result<bool, EngineError> {
        let step = Step::new("inspect", container, bottle);
        let found = ask(&step, self.docker.inspect_container(container, None)).await?;
        Ok(found.config.and_then(|config| config.tty).unwrap_or(false))
    }

    /// Asks a container to end, and makes it after that many seconds.
    ///
    /// # Errors
    /// When the engine refuses; a container that is gone has ended.
    pub async fn stop(
        &self,
        container: &str,
        bottle: &str,
        seconds: i32,
    ) -> Result<(), EngineError> {
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        match self.docker.stop_container(container, Some(options)).await {
            Err(refusal) if !is_gone(&refusal) => {
                Err(dress(&Step::new("stop", container, bottle), &refusal))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The exit code of a command that has ended.
    ///
    /// # Errors
    /// When the engine does not know it.
    pub async fn exec_code(&self, id: &str) -> Result<i64, EngineError> {
        let step = Step::new("inspect the command", id, "");
        let end = ask(&step, self.docker.inspect_exec(id)).await?;
        Ok(end.exit_code.unwrap_or_default())
    }
}
