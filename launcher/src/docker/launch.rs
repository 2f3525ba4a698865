//! Does what a plan says, and undoes it when something fails.

use std::collections::HashMap;

use bollard::errors::Error as Refusal;
use bollard::models::{
    EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest,
    VolumeCreateRequest,
};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use futures_util::future::join_all;
use tokio_util::task::TaskTracker;

use super::cleanup::PATIENCE;
use super::engine::{Engine, EngineError, Kind, Step, ask};
use super::prove::{self, NotClosed};
use super::spec::{self, Launching};
use super::{archive, exec, images};
use crate::guest::hold;
use crate::host::Host;
use crate::names::Role;
use crate::plan::{ContainerPlan, NetworkPlan, Place, Plan};
use crate::progress::Progress;

/// What a launch is given besides its plan.
#[derive(Debug)]
pub struct Options {
    pub tty: bool,
    /// Answers to the manifest's questions, by variable.
    pub answers: HashMap<String, String>,
    /// For tests of crashes: after this step the launcher stops itself (SIGSTOP).
    pub stop_after: Option<String>,
}

/// Why a launch failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Files(#[from] archive::Error),
    #[error(transparent)]
    Image(#[from] images::Error),
    #[error(transparent)]
    NotClosed(#[from] NotClosed),
    #[error(transparent)]
    Clone(#[from] exec::CloneError),
    #[error("{image} has no command of its own\n  next: write command = [\"…\"] in [agent]")]
    NoCommand { image: String },
}

impl Error {
    /// Another launch was given the same subnet a moment before: planning again finds another.
    pub fn is_subnet_race(&self) -> bool {
        matches!(self, Self::Engine(error) if error.kind == Kind::SubnetTaken)
    }
}

/// A launch under way.
#[derive(Debug)]
pub struct Launch<'l> {
    engine: &'l Engine,
    plan: &'l Plan,
    host: &'l Host,
    progress: &'l Progress,
    options: Options,
    id: String,
    /// What the engine was asked to make, and has not answered.
    asked: TaskTracker,
}

impl<'l> Launch<'l> {
    pub fn new(
        engine: &'l Engine,
        plan: &'l Plan,
        host: &'l Host,
        progress: &'l Progress,
        options: Options,
    ) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let id = format!("{:x}-{}", now.unwrap_or_default().as_nanos(), std::process::id());
        Self { engine, plan, host, progress, options, id, asked: TaskTracker::new() }
    }

    /// Makes everything, up to an agent whose network is proved closed and which is still held back.
    ///
    /// # Errors
    /// [`Error`]; what was made until then stays, for [`Launch::undo`] or for a look.
    pub async fn prepare(&self) -> Result<(), Error> {
        self.progress.step("images");
        for image in &self.plan.images {
            self.engine.ensure_image(image, self.bottle(), self.progress).await?;
        }
        self.reached("images");
        self.progress.step("networks");
        let mut launching = Launching {
            bottle: self.bottle().to_owned(),
            id: self.id.clone(),
            tty: self.options.tty,
            closed_network: String::new(),
            answers: self.options.answers.clone(),
        };
        let mut egress = String::new();
        for network in &self.plan.networks {
            let id = self.create_network(network, &launching).await?;
            *(if network.closed { &mut launching.closed_network } else { &mut egress }) = id;
            self.reached(if network.closed { "network" } else { "networks" });
        }
        for volume in &self.plan.volumes {
            self.create_volume(volume, &launching).await?;
        }
        self.reached("volumes");
        self.progress.step("containers");
        let sidecars = self
            .plan
            .containers
            .iter()
            .filter(|container| !matches!(container.role, Role::Agent | Role::Probe));
        let sidecars = join_all(sidecars.map(|it| self.start_sidecar(it, &launching, &egress)));
        let (sidecars, agent) = tokio::join!(sidecars, self.create_agent(&launching));
        sidecars.into_iter().collect::<Result<(), _>>()?;
        agent?;
        self.start(self.container(Role::Agent)).await?;
        self.reached("start agent");
        self.progress.step("self-test: the sidecars are ready, and nothing else is reached");
        prove::prove(self.engine, self.plan).await?;
        self.reached("self-test");
        self.progress.done();
        for clone in &self.plan.clone {
            self.progress.step(&format!("clone {}", clone.folder));
            exec::clone(self.engine, self.plan, clone).await?;
            self.reached("clone");
        }
        self.progress.done();
        Ok(())
    }

    /// Lets the agent go.
    ///
    /// # Errors
    /// When the engine does not take the mark.
    pub async fn open(&self) -> Result<(), EngineError> {
        let agent = &self.container(Role::Agent).name;
        self.engine.write_marker(agent, self.bottle(), hold::FOLDER, "open").await?;
        self.reached("open");
        Ok(())
    }

    /// Whether the agent has a terminal.
    pub fn tty(&self) -> bool {
        self.options.tty
    }

    /// The screen is the agent's from now on.
    pub fn finish_progress(&self) {
        self.progress.done();
        self.progress.finish();
    }

    /// Removes what this launch made, and nothing else.
    ///
    /// # Errors
    /// What the engine refuses to remove.
    pub async fn undo(&self) -> Result<(), Vec<EngineError>> {
        self.asked.close();
        if tokio::time::timeout(PATIENCE, self.asked.wait()).await.is_err() {
            tracing::warn!("the engine may still make something: bottle cleanup finds it");
        }
        self.engine.remove_launch(&self.plan.bottle, &self.id).await
    }

    fn bottle(&self) -> &str {
        self.plan.bottle.as_str()
    }

    fn container(&self, role: Role) -> &ContainerPlan {
        self.plan.container(role).expect("every plan has an agent and a probe")
    }

    fn step(&self, verb: &'static str, subject: &str) -> Step {
        Step::new(verb, subject, self.bottle())
    }

    async fn create_network(
        &self,
        network: &NetworkPlan,
        launching: &Launching,
    ) -> Result<String, EngineError> {
        let config = IpamConfig {
            subnet: Some(network.subnet.to_string()),
            gateway: Some(network.subnet.gateway().to_string()),
            ..Default::default()
        };
        let role = if network.closed { "closed-network" } else { "egress-network" };
        let request = NetworkCreateRequest {
            name: network.name.clone(),
            driver: Some("bridge".to_owned()),
            internal: Some(network.closed),
            enable_ipv6: Some(false),
            ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
            options: Some(network.options.clone().into_iter().collect()),
            labels: Some(spec::labels(launching, role)),
            ..Default::default()
        };
        let step = self.step("create network", &network.name);
        let docker = self.engine.docker.clone();
        Ok(self.make(&step, async move { docker.create_network(request).await }).await?.id)
    }

    async fn create_volume(&self, name: &str, launching: &Launching) -> Result<(), EngineError> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(spec::labels(launching, "volume")),
            ..Default::default()
        };
        let step = self.step("create volume", name);
        let docker = self.engine.docker.clone();
        self.make(&step, async move { docker.create_volume(request).await }).await.map(|_| ())
    }

    async fn start_sidecar(
        &self,
        container: &ContainerPlan,
        launching: &Launching,
        egress: &str,
    ) -> Result<(), Error> {
        let role = container.role;
        self.create(container, launching).await?;
        self.reached(&format!("create {role}"));
        self.engine.copy_files(container, self.bottle(), self.host).await?;
        self.reached(&format!("copy {role}"));
        if let Place::Networks { egress: true, .. } = container.place {
            let request = NetworkConnectRequest {
                container: container.name.clone(),
                endpoint_config: Some(EndpointSettings::default()),
            };
            let step = self.step("connect to the egress network:", &container.name);
            ask(&step, self.engine.docker.connect_network(egress, request)).await?;
            self.reached(&format!("connect {role}"));
        }
        self.start(container).await?;
        self.reached(&format!("start {role}"));
        Ok(())
    }

    /// The probe comes along: it gives the volumes their owner, and only then files are copied in.
    async fn create_agent(&self, launching: &Launching) -> Result<(), Error> {
        let agent = self.container(Role::Agent);
        self.create(agent, launching).await?;
        self.reached("create agent");
        let probe = self.container(Role::Probe);
        self.create(probe, launching).await?;
        self.reached("create probe");
        self.engine.copy_files(probe, self.bottle(), self.host).await?;
        self.engine.copy_files(agent, self.bottle(), self.host).await?;
        self.reached("copy agent");
        Ok(())
    }

    async fn create(&self, container: &ContainerPlan, launching: &Launching) -> Result<(), Error> {
        let mut command = container.command.clone();
        if command.is_none() && container.entrypoint.is_some() {
            let own = self.engine.own_command(&container.image, self.bottle()).await?;
            if own.is_empty() {
                return Err(Error::NoCommand { image: container.image.clone() });
            }
            command = Some(own);
        }
        let body = spec::body(container, command, launching);
        let options = CreateContainerOptionsBuilder::default().name(&container.name).build();
        let step = self.step("create", &container.name);
        let docker = self.engine.docker.clone();
        self.make(&step, async move { docker.create_container(Some(options), body).await }).await?;
        Ok(())
    }

    async fn start(&self, container: &ContainerPlan) -> Result<(), EngineError> {
        self.engine.start(&container.name, self.bottle()).await
    }

    /// Asks the engine to make something. It makes it even when nobody listens any more, as after a signal.
    async fn make<T: Send + 'static>(
        &self,
        step: &Step,
        call: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, EngineError> {
        let made = self.asked.spawn(call).await;
        ask(step, std::future::ready(made.expect("a call does not panic, and nobody aborts it")))
            .await
    }

    /// Stops the launcher after the step a test asked for, so that it can be killed there.
    fn reached(&self, step: &str) {
        if self.options.stop_after.as_deref() != Some(step) {
            return;
        }
        let own = rustix::process::getpid();
        // A launcher that cannot stop itself goes on, and the test sees that.
        let _ = rustix::process::kill_process(own, rustix::process::Signal::STOP);
        // The kernel may stop another thread first; this one does no more until it is its turn.
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
}
