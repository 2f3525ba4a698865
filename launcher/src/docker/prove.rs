//! Runs the self-test in the agent's network namespace, and believes nothing but its success.

use std::fmt::Write as _;
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Refusal;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use bollard::query_parameters::{
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::future::select_all;
use futures_util::{Stream, StreamExt as _};

use super::engine::{Engine, EngineError, Step, ask};
use crate::guest::hold;
use crate::guest::spec::Line;
use crate::names::Role;
use crate::plan::Plan;
use crate::ui::printable;

/// The network is not proved closed.
#[derive(Debug, thiserror::Error)]
pub enum NotClosed {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the self-test failed, and so the agent never ran: {}{}\n  next: mend it, then bottle run {bottle}; bottle doctor looks at the host", show_broken(.broken), show_logs(.logs))]
    Broken { bottle: String, broken: Vec<(String, String)>, logs: Vec<(String, String)> },
    #[error("{container} ended before it was ready ({how}){}\n  next: bottle plan {bottle} shows how it was started", show_logs(.logs))]
    Ended { bottle: String, container: String, how: String, logs: Vec<(String, String)> },
    #[error("the self-test gave no whole answer: {said}\n  next: bottle doctor")]
    Silent { said: String },
}

/// The sidecars' own deadline is 30 s, the questions take one more.
const DEADLINE: Duration = Duration::from_secs(45);

/// How many lines of a sidecar's log are shown.
const TAIL: &str = "15";

pub(super) async fn prove(engine: &Engine, plan: &Plan) -> Result<(), NotClosed> {
    let probe = plan.container(Role::Probe).expect("every plan has a probe");
    let bottle = plan.bottle.as_str();
    let step = Step::new("read the self-test of", &probe.name, bottle);
    let asked = async {
        if let Some(agent) = own_network(plan)
            && let Some(answer) = from_within(engine, agent, plan, &step).await?
        {
            return answer;
        }
        engine.start(&probe.name, bottle).await?;
        match read_answer(log_of(engine, &probe.name, true), &step).await {
            // Engine 20.10 may end a log that it follows before the last lines of a container that ends.
            Err(NotClosed::Silent { .. }) => {
                engine.await_end(&probe.name).await?;
                read_answer(log_of(engine, &probe.name, false), &step).await
            }
            answer => answer,
        }
    };
    let verdict = tokio::select! {
        verdict = tokio::time::timeout(DEADLINE, asked) => {
            verdict.unwrap_or_else(|_| {
                Err(silent(&format!("it did not end within {} s", DEADLINE.as_secs())))
            })
        }
        ended = first_to_end(engine, plan) => Err(ended),
    };
    let broken = match verdict {
        Ok(broken) => broken,
        Err(NotClosed::Ended { container, how, .. }) => {
            let logs = vec![(container.clone(), engine.tail(&container).await)];
            return Err(NotClosed::Ended { bottle: bottle.to_owned(), container, how, logs });
        }
        Err(other) => return Err(other),
    };
    if broken.is_empty() {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let step = Step::new("remove", &probe.name, bottle);
        ask(&step, engine.docker.remove_container(&probe.name, Some(options))).await?;
        return Ok(());
    }
    let mut logs = Vec::new();
    for container in &plan.containers {
        let role = container.role.as_str();
        if broken.iter().any(|(what, _)| what == role) {
            logs.push((container.name.clone(), engine.tail(&container.name).await));
        }
    }
    Err(NotClosed::Broken { bottle: bottle.to_owned(), broken, logs })
}

type Pieces = Pin<Box<dyn Stream<Item = Result<LogOutput, Refusal>> + Send>>;

/// The agent, when its runtime keeps a network stack inside of which the namespace shows nothing
/// (gVisor, Kata): then only what runs in its own container sees what it sees.
fn own_network(plan: &Plan) -> Option<&str> {
    let agent = plan.container(Role::Agent)?;
    agent.runtime.as_ref().map(|_| agent.name.as_str())
}

/// What the probe says, in a container of its own in the agent's network namespace.
fn log_of(engine: &Engine, probe: &str, follow: bool) -> Pieces {
    let options = LogsOptionsBuilder::default().follow(follow).stdout(true).stderr(true).build();
    engine.docker.logs(probe, Some(options)).boxed()
}

type Answer = Result<Vec<(String, String)>, NotClosed>;

/// Our program in the agent's container, as root with every capability; the agent is still held back.
///
/// `None` when the runtime does not give it these (runc: the agent's own bounds hold for all): it works
/// in the host's own namespaces then, and is asked from beside.
async fn from_within(
    engine: &Engine,
    agent: &str,
    plan: &Plan,
    reading: &Step,
) -> Result<Option<Answer>, NotClosed> {
    /// What the engine gives as the exit code of a program that did not start.
    const NOT_STARTED: i64 = 126;
    let spec = serde_json::to_string(&plan.self_test).expect("a spec has a JSON form");
    let config = ExecConfig {
        cmd: Some(vec![hold::PROGRAM.to_owned(), "prove".to_owned(), spec]),
        user: Some("0:0".to_owned()),
        privileged: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let step = Step::new("run the self-test in", agent, plan.bottle.as_str());
    let id = ask(&step, engine.docker.create_exec(agent, config)).await?.id;
    let answer = match engine.docker.start_exec(&id, None).await {
        Ok(StartExecResults::Attached { output, .. }) => read_answer(output, reading).await,
        Ok(StartExecResults::Detached) => Err(silent("it was not attached to")),
        Err(refusal) => Err(super::engine::dress(&step, &refusal).into()),
    };
    let end = ask(&step, engine.docker.inspect_exec(&id)).await?;
    Ok((end.exit_code != Some(NOT_STARTED)).then_some(answer))
}

/// Reads the self-test's lines to their end. Without the last line nothing is proved.
async fn read_answer(mut stream: Pieces, step: &Step) -> Answer {
    let (mut out, mut said) = (Vec::new(), String::new());
    while let Some(piece) = stream.next().await {
        match ask(step, std::future::ready(piece)).await? {
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                out.extend_from_slice(&message);
            }
            LogOutput::StdErr { message } => said.push_str(&String::from_utf8_lossy(&message)),
            LogOutput::StdIn { .. } => {}
        }
    }
    let mut broken = Vec::new();
    let mut done = None;
    for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Line::Ready { .. }) => {}
            Ok(Line::Broken { what, why }) => broken.push((what, why)),
            Ok(Line::Done { checks, broken }) => done = Some((checks, broken)),
            Err(error) => return Err(silent(&format!("{error}: {}", line.escape_ascii()))),
        }
    }
    match done {
        Some((checks, count)) if checks > 0 && count as usize == broken.len() => Ok(broken),
        Some(_) | None => Err(silent(said.trim())),
    }
}

/// Resolves when a container that should be running ends.
async fn first_to_end(engine: &Engine, plan: &Plan) -> NotClosed {
    let running = plan.containers.iter().filter(|container| container.role != Role::Probe);
    let ends = running.map(|container| {
        Box::pin(async move {
            let how = engine.await_end(&container.name).await;
            (container.name.clone(), how)
        })
    });
    let ((container, how), _, _) = select_all(ends).await;
    let how = match how {
        Ok(code) => format!("exit code {code}"),
        Err(error) => error.words,
    };
    NotClosed::Ended { bottle: String::new(), container, how, logs: Vec::new() }
}

impl Engine {
    /// Waits until a container ends, and gives its exit code.
    ///
    /// # Errors
    /// When the engine cannot say.
    pub async fn await_end(&self, container: &str) -> Result<i64, EngineError> {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let mut stream = self.docker.wait_container(container, Some(options));
        let step = Step::new("wait for", container, "");
        match stream.next().await {
            Some(Ok(end)) => Ok(end.status_code),
            // bollard makes an error of an exit code that is not 0.
            Some(Err(Refusal::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(refusal)) => Err(super::engine::dress(&step, &refusal)),
            None => {
                let state = ask(&step, self.docker.inspect_container(container, None)).await?.state;
                Ok(state.and_then(|state| state.exit_code).unwrap_or_default())
            }
        }
    }

    /// The last lines of a container's log; empty when there are none to be had.
    pub(super) async fn tail(&self, container: &str) -> String {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(TAIL).build();
        let mut stream = self.docker.logs(container, Some(options));
        let mut text = String::new();
        while let Some(Ok(piece)) = stream.next().await {
            text.push_str(&piece.to_string());
        }
        text
    }
}

fn silent(said: &str) -> NotClosed {
    let said = if said.is_empty() { "it ended without its last line" } else { said };
    NotClosed::Silent { said: said.to_owned() }
}

fn show_broken(broken: &[(String, String)]) -> String {
    let mut text = String::new();
    for (what, why) in broken {
        write!(text, "\n  {what}: {why}").expect("a String takes every write");
    }
    text
}

fn show_logs(logs: &[(String, String)]) -> String {
    let mut text = String::new();
    for (container, lines) in logs {
        write!(text, "\nthe last lines of {container}:").expect("a String takes every write");
        for line in lines.lines() {
            write!(text, "\n  | {}", printable(line)).expect("a String takes every write");
        }
    }
    text
}
