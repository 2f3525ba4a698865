//! The connection to the engine, and what its refusals look like.

use std::error::Error as _;
use std::fmt;

use bollard::Docker;
use bollard::errors::Error as Refusal;

/// A connection to an engine.
#[derive(Clone)]
pub struct Engine {
    pub(super) docker: Docker,
    /// `unix:///var/run/docker.sock` or `tcp://host:port`.
    pub(super) address: String,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What was being done when the engine refused.
#[derive(Debug, Clone)]
pub struct Step {
    /// `create`, `start`, `copy files into`, …
    pub verb: &'static str,
    /// The container, network, volume or image.
    pub subject: String,
    /// The bottle, for the next command.
    pub bottle: String,
}

impl Step {
    pub fn new(verb: &'static str, subject: impl Into<String>, bottle: impl Into<String>) -> Self {
        Self { verb, subject: subject.into(), bottle: bottle.into() }
    }
}

/// The engine refused, in its own words, and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{} {}: {words}\n  next: {next}", .step.verb, .step.subject)]
pub struct EngineError {
    pub step: Step,
    pub kind: Kind,
    /// The engine's own words, whole.
    pub words: String,
    /// The next command to run.
    pub next: String,
}

/// The kinds of refusal that need different things done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotRunning,
    NoPermission,
    BadAddress,
    NameTaken,
    NoImage,
    NoNetwork,
    NoContainer,
    SubnetTaken,
    PortTaken,
    BadMount,
    NoRuntime,
    TooSlow,
    Other,
}

const CONNECT: &str = "connect to the engine at";
/// The step in which any refusal means that there is no image.
pub(super) const PULL: &str = "pull the image, which the engine does not have:";

/// Where the engine is when nobody says.
pub const DEFAULT_ADDRESS: &str = "unix:///var/run/docker.sock";

impl Engine {
    /// Connects and agrees on a version of the API.
    ///
    /// # Errors
    /// When there is no engine, or it may not be asked.
    pub async fn connect(address: Option<&str>) -> Result<Self, EngineError> {
        let address = address.filter(|address| !address.is_empty()).unwrap_or(DEFAULT_ADDRESS);
        let step = Step::new(CONNECT, address, "");
        let connect = async {
            // Asked first and by hand: bollard says of a socket it may not open that it is not there.
            if let Some(path) = address.strip_prefix("unix://") {
                tokio::net::UnixStream::connect(path).await?;
            }
            Docker::connect_with_host(address)?.negotiate_version().await
        };
        let docker = ask(&step, connect).await?;
        Ok(Self { docker, address: address.to_owned() })
    }
}

/// Awaits a call and dresses its refusal.
pub(super) async fn ask<T>(
    step: &Step,
    call: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, EngineError> {
    call.await.map_err(|refusal| dress(step, &refusal))
}

/// Whether the refusal says that the thing is not there.
pub(super) fn is_gone(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::DockerResponseServerError { status_code: 404, .. })
}

pub(super) fn dress(step: &Step, refusal: &Refusal) -> EngineError {
    let words = words(refusal);
    let kind = match kind(refusal, &words) {
        Kind::Other if step.verb == PULL => Kind::NoImage,
        kind => kind,
    };
    let next = next(kind, step);
    EngineError { step: step.clone(), kind, words, next }
}

/// The server's message, or the whole chain: bollard hides a connection's cause in it.
fn words(refusal: &Refusal) -> String {
    if let Refusal::DockerResponseServerError { status_code, message } = refusal {
        let message = message.trim();
        return if message.is_empty() {
            format!("status {status_code}")
        } else {
            message.to_owned()
        };
    }
    let mut words = refusal.to_string();
    let mut source = refusal.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        source = error.source();
    }
    words
}

fn kind(refusal: &Refusal, words: &str) -> Kind {
    let lower = words.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    let status = match refusal {
        Refusal::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    };
    match status {
        None if has("permission denied") => Kind::NoPermission,
        None if has("uri scheme is not supported") || has("invalid uri") => Kind::BadAddress,
        None if has("connection refused") || has("no such file") || has("socket not found") => {
            Kind::NotRunning
        }
        None if matches!(refusal, Refusal::RequestTimeoutError) => Kind::TooSlow,
        Some(409) if has("is already in use") => Kind::NameTaken,
        _ if has("no such image") || has("manifest unknown") || has("pull access denied") => {
            Kind::NoImage
        }
        _ if has("network") && (has("not found") || has("no such network")) => Kind::NoNetwork,
        _ if has("no such container") => Kind::NoContainer,
        _ if has("pool overlaps") => Kind::SubnetTaken,
        _ if has("port is already allocated") || has("address already in use") => Kind::PortTaken,
        _ if has("mount") || has("is not a directory") => Kind::BadMount,
        _ if has("runtime") && has("unknown") => Kind::NoRuntime,
        _ => Kind::Other,
    }
}

fn next(kind: Kind, step: &Step) -> String {
    let bottle = &step.bottle;
    match kind {
        Kind::NotRunning if step.verb == CONNECT && step.subject != DEFAULT_ADDRESS => {
            "DOCKER_HOST names that engine: start it, or unset DOCKER_HOST; then bottle doctor"
                .to_owned()
        }
        Kind::NotRunning => "sudo systemctl start docker; then bottle doctor".to_owned(),
        Kind::BadAddress => {
            "set DOCKER_HOST to unix:///path or tcp://host:port, or unset it; then bottle doctor"
                .to_owned()
        }
        Kind::NoPermission => {
            "sudo usermod -aG docker $USER, and log in again; then bottle doctor".to_owned()
        }
        Kind::NameTaken | Kind::NoNetwork | Kind::NoContainer => {
            format!("bottle cleanup {bottle}; then bottle run {bottle}")
        }
        Kind::NoImage => format!(
            "docker pull the image, or name another in the manifest; bottle plan {bottle} shows which"
        ),
        Kind::SubnetTaken => "docker network ls; bottle cleanup removes the leftovers".to_owned(),
        Kind::PortTaken => "docker ps shows who holds the port".to_owned(),
        Kind::BadMount => format!("bottle plan {bottle} shows the mounts; mend the manifest"),
        Kind::NoRuntime => {
            "docker info shows the runtimes; mend `runtime` in the manifest".to_owned()
        }
        Kind::TooSlow | Kind::Other => "bottle doctor".to_owned(),
    }
}
