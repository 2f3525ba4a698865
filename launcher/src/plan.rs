//! What a launch will do, resolved without doing any of it. `run` does exactly this.

mod agent;
pub mod bundle;
pub mod facts;
mod self_test;
pub mod show;
mod sidecars;
pub mod subnet;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::guest::spec::Spec;
use crate::manifest::{AgentImage, Limits, Manifest, SecretSource};
use crate::names::{BottleName, Role};
use crate::render;
use bundle::{Bundle, MissingBundle};
use facts::Facts;
use subnet::{NoSubnet, Subnet};

/// A whole launch.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    pub bottle: BottleName,
    pub images: Vec<ImagePlan>,
    pub networks: Vec<NetworkPlan>,
    pub volumes: Vec<String>,
    /// In the order in which they are created and started.
    pub containers: Vec<ContainerPlan>,
    pub clone: Vec<ClonePlan>,
    pub self_test: Spec,
    /// What a person should know and the engine need not.
    pub notes: Vec<String>,
}

/// An image a container needs.
#[derive(Debug, Clone, Serialize)]
pub struct ImagePlan {
    pub role: Role,
    pub reference: String,
    pub from: ImageFrom,
}

/// Where an image comes from when the engine does not have it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageFrom {
    /// It is pulled.
    Registry,
    /// It is assembled from programs that lie beside `bottle`.
    Bundle(Bundle),
    /// It is built at every launch; the engine's cache makes that short.
    Dockerfile { dockerfile: PathBuf, context: PathBuf },
}

/// A network of the bottle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkPlan {
    pub name: String,
    pub subnet: Subnet,
    /// Without a way out, and without the host on it.
    pub closed: bool,
    pub options: BTreeMap<String, String>,
}

/// A container as it will be created.
#[derive(Debug, Clone, Serialize)]
pub struct ContainerPlan {
    pub role: Role,
    pub name: String,
    pub image: String,
    pub entrypoint: Option<Vec<String>>,
    /// `None` is the image's own entrypoint and command.
    pub command: Option<Vec<String>>,
    pub user: String,
    pub workdir: Option<String>,
    pub env: Vec<EnvVar>,
    pub mounts: Vec<MountPlan>,
    /// Folder and options.
    pub tmpfs: BTreeMap<String, String>,
    pub read_only: bool,
    /// Capabilities kept; all others are dropped.
    pub capabilities: Vec<String>,
    pub sysctls: BTreeMap<String, String>,
    pub limits: Limits,
    pub runtime: Option<String>,
    pub dns: Vec<IpAddr>,
    pub extra_hosts: BTreeMap<String, IpAddr>,
    /// The sidecars it speaks to, so that it need not ask the engine's resolver, which not every runtime has.
    pub sidecars: BTreeMap<String, Ipv4Addr>,
    pub place: Place,
    pub files: Vec<FilePlan>,
}

/// Which networks a container is in.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In the closed network, by that alias and address, and when `egress` in the other one too.
    Networks { alias: String, address: Ipv4Addr, egress: bool },
    /// In the network namespace of that container.
    InsideOf(String),
}

/// A variable and where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvVar {
    pub name: String,
    pub value: EnvSource,
}

/// The host's value never becomes part of what is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvSource {
    Literal(String),
    Host {
        variable: String,
        #[serde(skip)]
        value: String,
    },
    Asked(String),
}

/// A volume of the bottle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MountPlan {
    /// `None` is a volume without a name, which goes with its container.
    pub volume: Option<String>,
    pub target: String,
}

/// A file copied into a container after it is created and before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilePlan {
    pub path: String,
    #[serde(serialize_with = "octal")]
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub content: Content,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Rendered here; never secret.
    Text(String),
    /// Read at launch, and shown nowhere.
    Secret(SecretSource),
    /// A file of the host that is not secret.
    HostFile(PathBuf),
    /// The image's own roots with this CA behind them.
    Roots {
        with: PathBuf,
    },
    Folder,
}

/// A repository cloned before the command starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClonePlan {
    pub url: String,
    pub folder: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Gate(#[from] render::gate::Error),
    #[error(transparent)]
    Bundle(#[from] MissingBundle),
    #[error(transparent)]
    Subnet(#[from] NoSubnet),
}

/// Resolves a launch. Reads nothing but its arguments.
///
/// # Errors
/// [`Error`] when the gate refuses an upstream, a sidecar's program is not there, or no subnet is free.
pub fn plan(manifest: &Manifest, facts: &Facts) -> Result<Plan, Error> {
    let images = images(manifest, facts)?;
    let reference = |role| {
        let found = images.iter().find(|image: &&ImagePlan| image.role == role);
        found.map(|image| image.reference.clone()).unwrap_or_default()
    };
    let [closed, egress] = subnet::choose(manifest.name.as_str(), &facts.taken)?;
    let networks = networks(&manifest.name, closed, egress, facts);
    let mut containers = vec![sidecars::pipelock(manifest, reference(Role::Pipelock))];
    if !manifest.git.is_empty() {
        containers.push(sidecars::git_gate(manifest, reference(Role::GitGate))?);
    }
    if !manifest.routes.is_empty() {
        containers.push(sidecars::cred_proxy(manifest, reference(Role::CredProxy)));
    }
    let guest = facts.guest.clone().ok_or(MissingBundle { program: "bottle-guest" })?;
    let self_test = self_test::spec(manifest, facts, closed);
    containers.push(agent::agent(manifest, reference(Role::Agent), guest));
    containers.push(agent::probe(manifest, reference(Role::Probe), &self_test));
    settle(&mut containers, closed);
    if let Some(cpus) = facts.cpus {
        for container in &mut containers {
            container.limits.cpus = container.limits.cpus.min(cpus);
        }
    }
    Ok(Plan {
        bottle: manifest.name.clone(),
        images,
        networks,
        volumes: vec![manifest.name.work_volume(), manifest.name.home_volume()],
        containers,
        clone: agent::clones(manifest),
        self_test,
        notes: notes(manifest),
    })
}

impl Plan {
    pub fn container(&self, role: Role) -> Option<&ContainerPlan> {
        self.containers.iter().find(|container| container.role == role)
    }
}

/// Gives each container its address in the closed network, and tells those that ask where the sidecars are.
fn settle(containers: &mut [ContainerPlan], closed: Subnet) {
    let mut found = BTreeMap::new();
    let mut number = 1;
    for container in containers.iter_mut() {
        if let Place::Networks { alias, address, .. } = &mut container.place {
            number += 1;
            *address = closed.host(number);
            found.insert(alias.clone(), *address);
        }
    }
    for container in containers {
        container.sidecars = match container.role {
            Role::Agent => found.clone(),
            Role::CredProxy => {
                found.clone().into_iter().filter(|(name, _)| name == "pipelock").collect()
            }
            Role::Pipelock | Role::GitGate | Role::Probe => BTreeMap::new(),
        };
        container.sidecars.remove("agent");
    }
}

fn images(manifest: &Manifest, facts: &Facts) -> Result<Vec<ImagePlan>, MissingBundle> {
    let mut roles = vec![Role::Pipelock];
    roles.extend((!manifest.git.is_empty()).then_some(Role::GitGate));
    roles.extend((!manifest.routes.is_empty()).then_some(Role::CredProxy));
    roles.push(Role::Probe);
    let mut images = Vec::new();
    for role in roles {
        let (reference, from) = match (manifest.images.get(&role), role) {
            (Some(reference), _) => (reference.clone(), ImageFrom::Registry),
            (None, Role::Pipelock) => (render::pipelock::IMAGE.to_owned(), ImageFrom::Registry),
            (None, _) => {
                let bundle = facts.bundles.get(&role).cloned();
                let bundle = bundle.ok_or(MissingBundle { program: bundle::program(role) })?;
                (bundle.reference.clone(), ImageFrom::Bundle(bundle))
            }
        };
        images.push(ImagePlan { role, reference, from });
    }
    let (reference, from) = match &manifest.agent.image {
        AgentImage::Reference(reference) => (reference.clone(), ImageFrom::Registry),
        AgentImage::Build { dockerfile, context } => (
            format!("bottle/agent:{}", manifest.name),
            ImageFrom::Dockerfile { dockerfile: dockerfile.clone(), context: context.clone() },
        ),
    };
    images.push(ImagePlan { role: Role::Agent, reference, from });
    Ok(images)
}

/// The closed network has no address on the host's side, and where the engine knows the word its
/// gateway is isolated as well. The self-test is what is believed.
fn networks(name: &BottleName, closed: Subnet, egress: Subnet, facts: &Facts) -> Vec<NetworkPlan> {
    const ICC: &str = "com.docker.network.bridge.enable_icc";
    const NO_ADDRESS: &str = "com.docker.network.bridge.inhibit_ipv4";
    const GATEWAY_MODE: &str = "com.docker.network.bridge.gateway_mode_ipv4";
    let option = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut options: BTreeMap<_, _> = [option(NO_ADDRESS, "true")].into();
    if facts.isolated_gateway {
        options.extend([option(GATEWAY_MODE, "isolated")]);
    }
    vec![
        NetworkPlan { name: name.closed_network(), subnet: closed, closed: true, options },
        NetworkPlan {
            name: name.egress_network(),
            subnet: egress,
            closed: false,
            // The sidecars have the closed network to talk to one another.
            options: [option(ICC, "false")].into(),
        },
    ]
}

fn notes(manifest: &Manifest) -> Vec<String> {
    let mut notes = Vec::new();
    for route in &manifest.routes {
        notes.push(format!(
            "pipelock also allows {}, for the route {}",
            route.upstream_host, route.path.value
        ));
    }
    if let Some(runtime) = &manifest.runtime {
        notes.push(format!(
            "where {runtime} has a network of its own inside, the self-test runs in the agent's container"
        ));
    }
    if !manifest.agent.read_only {
        notes.push("the agent may write to its own root".to_owned());
    }
    notes
}

fn octal<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}

#[cfg(test)]
mod tests;
